/* SPDX-License-Identifier: Apache-2.0
 * Answers and their parts, and the list of providers. */
#include "worker/llm/llm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/die.h"

static const struct llm_provider *const providers[] = {
#define PROVIDER(symbol) &llm_##symbol,
#include "worker/llm/providers.tbl"
#undef PROVIDER
};

const struct llm_provider *llm_provider_at(size_t i)
{
	return i < ARRAY_LEN(providers) ? providers[i] : NULL;
}

const struct llm_provider *llm_provider_named(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		if (slice_is(name, providers[i]->name))
			return providers[i];
	return NULL;
}

const struct llm_provider *llm_provider_of(struct slice full, struct slice *model)
{
	struct slice rest = full, name = slice_cut(&rest, '/');
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		if (rest.n && slice_is(name, providers[i]->name)) {
			*model = rest;
			return providers[i];
		}
	return NULL;
}

void llm_put_key(struct llm_headers *h, const struct llm_target *t, const char *name)
{
	if (t->bearer)
		llm_put_bearer(h, t->api_key);
	else if (t->api_key.n)
		h->put(h, name, t->api_key);
}

bool llm_is_local(struct slice url)
{
	return slice_has_prefix(url, SLICE("http://127.")) ||
	       slice_has_prefix(url, SLICE("http://localhost")) ||
	       slice_has_prefix(url, SLICE("http://[::1]"));
}

void llm_put_bearer(struct llm_headers *h, struct slice key)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (!key.n)
		return;
	strbuf_add_str(&b, "Bearer ");
	strbuf_add_slice(&b, key);
	h->put(h, "Authorization", strbuf_slice(&b));
	crypto_wipe(b.p, b.n);
}

/* ---- answers */

void llm_answer_init(struct llm_answer *a)
{
	memset(a, 0, sizeof *a);
}

/* The texts of a part, for what is done with each. */
#define EACH_TEXT(p, f)                                                                  \
	do {                                                                             \
		f(&(p)->id);                                                             \
		f(&(p)->name);                                                           \
		f(&(p)->arguments);                                                      \
		f(&(p)->thought);                                                        \
		f(&(p)->opaque);                                                         \
	} while (0)

void llm_answer_reset(struct llm_answer *a)
{
	struct strbuf text = a->text;
	struct llm_part *parts = a->parts;
	size_t cap = a->part_cap;
	strbuf_reset(&text);
	memset(a, 0, sizeof *a);
	a->text = text;
	a->parts = parts;
	a->part_cap = cap;
}

void llm_answer_fini(struct llm_answer *a)
{
	strbuf_fini(&a->text);
	for (size_t i = 0; i < a->part_cap; i++)
		EACH_TEXT(&a->parts[i], strbuf_fini);
	free(a->parts);
	llm_answer_init(a);
}

struct llm_part *llm_part_new(struct llm_answer *a, enum llm_part_kind kind,
			      int64_t index)
{
	if (a->part_count >= LLM_PARTS_MOST)
		return NULL;
	if (a->part_count == a->part_cap) {
		size_t cap = a->part_cap ? a->part_cap * 2 : 2;
		a->parts = xrealloc(a->parts, cap * sizeof *a->parts);
		memset(a->parts + a->part_cap, 0, (cap - a->part_cap) * sizeof *a->parts);
		a->part_cap = cap;
	}
	struct llm_part *p = &a->parts[a->part_count++];
	EACH_TEXT(p, strbuf_reset);
	p->kind = kind;
	p->index = index;
	p->n = 0;
	a->call_count += kind == LLM_CALL;
	p->from = a->text.n;
	return p;
}

struct llm_part *llm_part_at(struct llm_answer *a, enum llm_part_kind kind, int64_t index)
{
	for (size_t i = a->part_count; i-- > 0;)
		if (a->parts[i].kind == kind && (index < 0 || a->parts[i].index == index))
			return &a->parts[i];
	return NULL;
}

bool llm_add_text(struct llm_answer *a, int64_t index, struct slice text)
{
	struct llm_part *p = a->part_count ? &a->parts[a->part_count - 1] : NULL;
	if (!text.n)
		return true;
	if (!p || p->kind != LLM_TEXT || p->index != index)
		p = llm_part_new(a, LLM_TEXT, index);
	if (!p)
		return false;
	if (!p->n && a->text.n) {
		strbuf_add_str(&a->text, "\n\n");
		p->from = a->text.n;
	}
	strbuf_add_slice(&a->text, text);
	p->n += text.n;
	return true;
}

struct llm_part *llm_call_at(const struct llm_answer *a, size_t i)
{
	check(i < a->call_count);
	struct llm_part *p = a->parts;
	for (;; p++)
		if (p->kind == LLM_CALL && i-- == 0)
			return p;
}

struct slice llm_part_text(const struct llm_answer *a, const struct llm_part *p)
{
	return slice_of(a->text.p ? a->text.p + p->from : "", p->n);
}

enum err llm_too_many(struct llm_answer *a)
{
	snprintf(a->error, sizeof a->error,
		 "the model's answer has more than %d parts or tool calls",
		 LLM_PARTS_MOST);
	return ERR_MODEL_BROKEN;
}

/* ---- messages */

enum llm_choice_kind llm_choice_of(const struct llm_question *q)
{
	return q->tool_count ? q->choice.kind : LLM_CHOICE_FREE;
}

struct slice llm_wire(const struct llm_provider *p, struct llm_message *m)
{
	if (!m->wire_of || m->wire_of->write_message != p->write_message) {
		AUTO(auto_json_free)
		struct json_doc *d = json_parse(m->content, m->content.n, NULL, 0);
		strbuf_reset(&m->wire);
		p->write_message(&m->wire, m->role, json_get(json_root(d), "blocks"));
		m->wire_of = p;
	}
	return strbuf_slice(&m->wire);
}
