/* SPDX-License-Identifier: Apache-2.0
 * One try, and the next one when another transaction has what it needs. */
#include "worker/tools/keyed_write.h"

#include "common/backoff.h"
#include "common/crypto.h"
#include "common/fault.h"
#include "common/loop.h"
#include "common/pg/error.h"
#include "common/pg/pool.h"
#include "worker/sql.h"

struct store {
	struct tool_call *call;
	const struct keyed_write *write;
	struct slice document;
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
	tool_error(s->call, "%s", full ? a->message : s->write->failed);
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
		tool_error(s->call, "%s", s->write->held);
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

static void on_written(void *arg, const struct pg_answer *a)
{
	struct store *s = arg;
	s->asking = false;
	if (!a->err) {
		FAULT(TOOL_DONE);
		finish(s, s->write->take(s->call, a->results[a->result_count - 1]));
	} else if (is_held(a)) {
		try_later(s);
	} else {
		refused(s, a);
	}
}

/* The connection is that of every run's reads: nobody may wait on it for a lock. */
static void ask(void *arg)
{
	struct store *s = arg;
	struct tool_call *c = s->call;
	struct pg_request *r = pg_begin(c->env->pool);
	pg_text(pg_add(r, SQL_LOCK_TIMEOUT), SLICE("10ms"));
	s->write->put(r, c, s->document);
	s->asking = true;
	pg_submit(r, CONN_READS, (int)(c->tool->deadline_us / 1000), on_written, s);
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

void keyed_write_start(struct tool_call *c, const struct keyed_write *w,
		       struct slice document)
{
	struct store *s = arena_zalloc(c->arena, sizeof *s);
	s->call = c;
	s->write = w;
	s->document = document;
	s->pause = loop_timer_new(c->env->loop, ask, s);
	s->until_us = loop_now_us(c->env->loop) + c->tool->deadline_us;
	op_start(c->op, on_cancel, s, 0);
	ask(s);
}
