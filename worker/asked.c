/* SPDX-License-Identifier: Apache-2.0
 * A few numbers and two digests. */
#include "worker/asked.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/json.h"
#include "worker/commit.h"
#include "worker/keys.h"
#include "worker/run.h"

#define TELL_US (86400 * 1000000ll)

/* Messages that show nothing are not what it begins with. */
static int64_t first_shown(const struct run *r)
{
	const struct session *s = r->session;
	int64_t first = r->head_seq;
	for (size_t i = 0; i < s->count; i++)
		if (s->messages[i]->item.role != PLAN_MARK && s->messages[i]->seq < first)
			first = s->messages[i]->seq;
	return first;
}

static uint64_t tools_of(const struct run *r, const struct llm_question *q)
{
	uint64_t set = 0;
	for (size_t i = 0; i < q->tool_count - q->foreign; i++)
		set |= (uint64_t)1 << agent_tool_index(r->agent, q->tools[i]);
	return set;
}

void asked_take(struct run *r, const struct llm_question *q)
{
	struct asked *a = &r->asked;
	struct slice body = llm_body(r->llm);
	size_t said = asking_system(r).n;
	*a = (struct asked){.known = body.n,
			    .step = r->step_no + 1,
			    .head = r->head_seq,
			    .from = first_shown(r),
			    .summary = r->session->summary_seq,
			    .window = r->context.window.size,
			    .most = r->context.most,
			    .tools = tools_of(r, q)};
	if (!a->known)
		return;
	crypto_digest(body, a->digest);
	if (q->params.max_tokens != asking_params(r).max_tokens)
		a->max_tokens = q->params.max_tokens;
	if (q->system.n <= said)
		return;
	a->beside = slice_of(q->system.p + said, q->system.n - said);
	crypto_digest(a->beside, a->beside_digest);
}

bool asked_is_open(const struct run *r)
{
	return r->asked.known && r->asked.step == r->step_no + 1;
}

static void put_digest(struct json_out *o, const char *key, const uint8_t *digest)
{
	char text[2 * CRYPTO_DIGEST + 1];
	crypto_hex(digest, CRYPTO_DIGEST, text);
	json_kv_cstr(o, key, text);
}

static void put_number(struct json_out *o, const char *key, int64_t n)
{
	if (n)
		json_kv_i64(o, key, n);
}

void asked_put(const struct run *r, struct json_out *o, bool alone)
{
	const struct asked *a = &r->asked;
	char tools[20], key[UUID_TEXT_LEN + 1];
	if (!a->known)
		return;
	json_key(o, "asked");
	json_obj(o);
	put_digest(o, "digest", a->digest);
	json_kv_cstr(o, "provider", r->target.provider->name);
	json_kv_i64(o, "from", a->from);
	snprintf(tools, sizeof tools, "%llx", (unsigned long long)a->tools);
	json_kv_cstr(o, "tools", tools);
	put_number(o, "summary", a->summary);
	put_number(o, "most", a->most);
	put_number(o, "maxTokens", a->max_tokens);
	if (a->beside.n)
		put_digest(o, "beside", a->beside_digest);
	if (!uuid_is_nil(r->key_id)) {
		uuid_format(r->key_id, key);
		json_kv_cstr(o, "key", key);
	}
	if (alone) {
		json_kv_i64(o, "step", a->step);
		json_kv_i64(o, "head", a->head);
		json_kv_str(o, "model", r->model);
		json_kv_i64(o, "window", a->window);
	}
	json_obj_end(o);
}

/* ---- what is told beside */

static size_t place_of(const uint8_t *digest)
{
	uint32_t n;
	memcpy(&n, digest, sizeof n);
	return n % ASKED_TOLD;
}

static bool text_is_due(const struct run *r)
{
	const struct asked *a = &r->asked;
	const struct asked_told *t = r->worker->asked_told;
	size_t i = place_of(a->beside_digest);
	return t && a->beside.n &&
	       (t->of[i].tenant != r->tenant ||
		memcmp(t->of[i].digest, a->beside_digest, CRYPTO_DIGEST) != 0 ||
		clock_mono_us() - t->of[i].told_us > TELL_US);
}

void asked_tell(struct run *r)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct asked *a = &r->asked;
	char key[UUID_TEXT_LEN + 1];
	bool used = key_use_is_due(r->key);
	a->tells = a->known && text_is_due(r);
	if (!used && !a->tells)
		return;
	json_obj(&o);
	if (used) {
		uuid_format(r->key_id, key);
		json_kv_cstr(&o, "key", key);
	}
	if (a->tells) {
		put_digest(&o, "digest", a->beside_digest);
		json_kv_str(&o, "text", a->beside);
	}
	json_obj_end(&o);
	commit_act(r, "asked", strbuf_slice(&b));
}

void asked_landed(struct run *r)
{
	struct asked *a = &r->asked;
	struct asked_told *t = r->worker->asked_told;
	size_t i = place_of(a->beside_digest);
	if (!a->tells || !t)
		return;
	a->tells = false;
	t->of[i].tenant = r->tenant;
	t->of[i].told_us = clock_mono_us();
	memcpy(t->of[i].digest, a->beside_digest, CRYPTO_DIGEST);
}
