/* SPDX-License-Identifier: Apache-2.0
 * memory_store: one transaction that writes a document and its version; the same call
 * again finds what it wrote (tb.memory_store). */
#include "common/backoff.h"
#include "common/crypto.h"
#include "common/loop.h"
#include "common/pg/error.h"
#include "common/pg/pool.h"
#include "proto/tools/memory_path.h"
#include "worker/sql.h"
#include "worker/tools/memory.h"

void tool_memory_store(struct tool_call *c);

static void put_tags(struct pg_params *p, json_t tags)
{
	struct json_iter it = json_iter(tags);
	pg_array(p, PG_TEXT);
	for (json_t t; (t = json_next(&it, NULL));)
		pg_text(p, json_str(t));
	pg_array_end(p);
}

/* ---- one try, and the next one when another transaction has the document */

struct store {
	struct tool_call *call;
	struct loop_timer *pause;
	int64_t until_us;
	unsigned tries;
	bool asking; /* the database has it */
	enum err cancelled;
};

static const struct backoff pauses = {.first_us = 40000, .cap_us = 1000000};

static void finish(struct store *s, enum err e)
{
	loop_timer_free(s->pause);
	op_finish(s->call->op, e);
}

/* A definite refusal is the model's to read; an unknown outcome is tried again under the
 * same key. */
static void refused(struct store *s, const struct pg_answer *a)
{
	bool full = a->sqlstate[0] == '5' && a->sqlstate[1] == '4';
	tool_error(s->call, "%s", full ? a->message : "the memory could not be written");
	finish(s, a->fate == PG_ROLLED_BACK ? ERR_TOOL_FAILED : ERR_DATABASE);
}

static void try_later(struct store *s)
{
	uint32_t dice;
	if (s->cancelled) {
		finish(s, s->cancelled);
		return;
	}
	if (loop_now_us(s->call->env->loop) >= s->until_us) {
		tool_error(s->call, "another transaction in the database holds this "
				    "agent's memory; nothing was written, try again");
		finish(s, ERR_TOOL_FAILED);
		return;
	}
	crypto_random(&dice, sizeof dice);
	loop_timer_start(s->pause, backoff_us(&pauses, ++s->tries, dice, 10000));
}

static bool is_held(const struct pg_answer *a)
{
	enum pg_error kind = pg_error_kind(a->sqlstate);
	return a->fate == PG_ROLLED_BACK &&
	       (kind == PG_ERROR_LOCK || kind == PG_ERROR_AGAIN);
}

static void on_stored(void *arg, const struct pg_answer *a)
{
	struct store *s = arg;
	struct tool_call *c = s->call;
	s->asking = false;
	if (a->err && is_held(a)) {
		try_later(s);
		return;
	}
	if (a->err) {
		refused(s, a);
		return;
	}
	const struct pg_result *r = a->results[a->result_count - 1];
	struct json_out o = json_out(&c->output);
	json_obj(&o);
	json_kv_str(&o, "path", memory_path(c));
	json_kv_i64(&o, "version", pg_get_i64(r, 0, 1));
	json_kv_bool(&o, "created", pg_get_bool(r, 0, 2));
	json_obj_end(&o);
	finish(s, ERR_OK);
}

/* The connection is that of every run's reads: nobody may wait on it for a lock. */
static void ask(void *arg)
{
	struct store *s = arg;
	struct tool_call *c = s->call;
	const struct tool_env *e = c->env;
	struct pg_request *r = pg_begin(e->pool);
	struct pg_params *p = pg_add(r, SQL_LOCK_TIMEOUT);
	pg_text(p, SLICE("10ms"));
	p = pg_add(r, SQL_MEMORY_STORE);
	pg_text(p, slice_str(e->cap));
	pg_uuid(p, e->run);
	pg_i64(p, e->fence);
	pg_uuid(p, e->agent);
	pg_uuid(p, uuid7_new());
	pg_text(p, memory_path(c));
	pg_text(p, json_str(json_get(c->args, "text")));
	put_tags(p, json_get(c->args, "tags"));
	pg_bool(p, !slice_is(json_str(json_get(c->args, "mode")), "replace"));
	pg_text(p, slice_str(c->idem_key));
	s->asking = true;
	pg_submit(r, CONN_READS, (int)(c->tool->deadline_us / 1000), on_stored, s);
}

/* What the database has is waited for: it is over in a moment, and then known. */
static void on_cancel(struct op *op, enum err why, void *provider)
{
	struct store *s = provider;
	(void)op;
	s->cancelled = why;
	if (!s->asking)
		finish(s, why);
}

void tool_memory_store(struct tool_call *c)
{
	const char *problem = memory_path_problem(memory_path(c));
	if (problem) {
		op_start(c->op, NULL, NULL, 0);
		tool_error(c, "argument 'path' %s", problem);
		op_finish(c->op, ERR_TOOL_ARGUMENTS);
		return;
	}
	struct store *s = arena_zalloc(c->arena, sizeof *s);
	s->call = c;
	s->pause = loop_timer_new(c->env->loop, ask, s);
	s->until_us = loop_now_us(c->env->loop) + c->tool->deadline_us;
	op_start(c->op, on_cancel, s, 0);
	ask(s);
}
