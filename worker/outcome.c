/* SPDX-License-Identifier: Apache-2.0
 * The cache follows the database: what a commit appended, the messages it took included,
 * is what the next question shows and the next run finds. */
#include "worker/outcome.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "worker/commit.h"
#include "worker/emit.h"
#include "worker/run.h"
#include "worker/usage.h"

/* Of a commit's taken messages in one answer; beyond it they are read back. */
#define TAKEN_MOST (64u << 20)

static bool is_message(json_t taken)
{
	return json_kind(json_get(taken, "body")) == JSON_OBJECT;
}

static bool read_entry(json_t taken, struct uuid *run, int64_t *seq)
{
	return uuid_parse(json_str(json_get(taken, "run")), run) &&
	       json_i64(json_get(taken, "seq"), seq);
}

/* How many messages they are: of several runs folded into one message only the first has
 * a body. -1 when it cannot be read. */
static int64_t count_messages(json_t taken)
{
	struct json_iter it = json_iter(taken);
	int64_t count = 0, seq;
	struct uuid run;
	if (json_kind(taken) > JSON_NULL && json_kind(taken) != JSON_ARRAY)
		return -1;
	for (json_t t; (t = json_next(&it, NULL)); count += is_message(t))
		if (!read_entry(t, &run, &seq))
			return -1;
	return count;
}

static void add_taken(struct session *s, json_t taken)
{
	struct json_iter it = json_iter(taken);
	AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
	struct uuid run;
	int64_t seq;
	for (json_t t; (t = json_next(&it, NULL));) {
		if (!is_message(t) || !read_entry(t, &run, &seq))
			continue;
		strbuf_reset(&body);
		json_print(&body, json_get(t, "body"));
		session_add(s, seq, SLICE("user"), 0, run, strbuf_slice(&body));
	}
}

/* Any act may, but those of budgets and skills. */
static bool moves_context(const struct commit *c)
{
	for (size_t i = 0; i < c->act_count; i++)
		if (strcmp(c->acts[i].what, "settle") &&
		    strcmp(c->acts[i].what, "skills"))
			return true;
	return false;
}

static void append_to_session(struct run *r, json_t taken, int64_t taken_messages)
{
	const struct commit *c = &r->commit;
	struct session *s = r->session;
	int64_t seq = r->head_seq - taken_messages - (int64_t)c->message_count;
	if (s->fence != r->fence)
		return;
	if (taken_messages < 0 || s->head_seq != seq || moves_context(c)) {
		session_clear(s);
		return;
	}
	for (size_t i = 0; i < c->message_count; i++)
		session_add(s, ++seq, slice_str(c->messages[i].role), c->messages[i].step,
			    r->id, c->messages[i].content);
	add_taken(s, taken);
	if (s->head_seq != r->head_seq)
		session_clear(s);
}

static void tell_taken(struct run *r, json_t taken)
{
	struct json_iter it = json_iter(taken);
	struct uuid run;
	int64_t seq;
	for (json_t t; (t = json_next(&it, NULL));)
		if (read_entry(t, &run, &seq))
			emit_taken(r, run);
}

/* What it took is told before anything later of the run. When that is not known, the
 * database is asked first: r->unread. */
static void take_taken(struct run *r, const struct commit_result *res)
{
	char err[160];
	AUTO(auto_json_free) struct json_doc *d = NULL;
	bool unknown = r->commit.take && res->unseen;
	if (res->taken.p) {
		d = json_parse(res->taken, TAKEN_MOST, err, sizeof err);
		if (!d)
			log_error("taken-unreadable", "message=\"%s\"", err);
		unknown = !d || count_messages(json_root(d)) < 0;
	}
	r->head_seq = res->head_seq;
	r->unread |= unknown;
	append_to_session(r, json_root(d), unknown ? -1 : count_messages(json_root(d)));
	if (!unknown)
		tell_taken(r, json_root(d));
}

static void settle_calls(struct run *r, enum commit_outcome o)
{
	for (size_t i = 0; i < r->call_count; i++) {
		r->calls[i].settled |= r->calls[i].settling && o == COMMIT_LANDED;
		r->calls[i].settling = false;
	}
}

static void take_landed(struct run *r, const struct commit_result *res)
{
	r->answer_stored = true;
	r->commit_no++;
	r->ended_us = res->at_us ? res->at_us : clock_real_us();
	r->retry_at_us = res->at_us ? res->at_us + r->commit.retry.pause_us : 0;
	r->asks_until_us = res->asks_until_us;
	r->goes_on = res->goes_on;
	usage_landed(r);
	skills_landed(r);
	if (res->versions.p && r->permit && !slice_is(res->versions, r->permit->versions))
		r->permit_is_old = r->judges_again = true;
	take_taken(r, res);
	for (size_t i = 0; i < r->commit.event_count; i++)
		emit_durable(r, &r->commit.events[i]);
	if (r->commit.clear) {
		r->suspect = false;
		emit_progress(r);
	}
}

void outcome_take(void *run, const struct commit_result *res)
{
	struct run *r = run;
	r->committing = false;
	r->outcome = res->outcome;
	settle_calls(r, res->outcome);
	if (res->outcome == COMMIT_LANDED) {
		take_landed(r, res);
	} else {
		r->ev_seq = r->ev_base; /* its events never were */
		snprintf(r->refusal, sizeof r->refusal, "%s",
			 res->refusal ? res->refusal : "");
		r->lost = res->outcome == COMMIT_STALE;
	}
	run_wake(r);
}
