/* SPDX-License-Identifier: Apache-2.0
 * process: what became of the programs that a run started in the background. Nothing that
 * it does outlives the worker: a call may be repeated by another one, and learns there
 * that its process is gone. Idempotent rather than pure, because a poll may wait long: a
 * run can be steered, or move, before the calls behind it. */
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/loop.h"
#include "worker/tools/processes.h"
#include "worker/tools/program.h"

void tool_process(struct tool_call *c);

#define WAIT_DEFAULT_MS 0
#define KILL_WAIT_MS 5000

struct poll {
	struct tool_call *call;
	struct program *program;
	struct loop_timer *timer;
	uint64_t from[2];
	bool for_end; /* what it prints meanwhile is no reason to answer */
};

static void free_poll(void *arg)
{
	struct poll *p = arg;
	loop_timer_free(p->timer);
	free(p);
}

static void finish(struct poll *p, enum err result)
{
	struct tool_call *c = p->call;
	processes_watch(c->env->processes, NULL, NULL);
	loop_reap(c->env->loop, free_poll, p);
	if (!result)
		program_say(p->program, c, p->from);
	op_finish(c->op, result);
}

static bool has_news(const struct poll *p)
{
	const struct jail_work *w = &p->program->jail.work;
	if (p->program->over || p->for_end)
		return p->program->over;
	return w->out.total > p->from[0] || w->err.total > p->from[1];
}

static void on_change(void *arg)
{
	if (has_news(arg))
		finish(arg, ERR_OK);
}

static void on_time(void *arg)
{
	finish(arg, ERR_OK);
}

static void on_cancel(struct op *op, enum err why, void *provider)
{
	(void)op;
	finish(provider, why);
}

static void wait_for(struct tool_call *c, struct program *program, int64_t wait_ms,
		     bool for_end)
{
	struct poll *p = xcalloc(1, sizeof *p);
	int64_t from[2] = {0, 0};
	json_i64(json_get(c->args, "from"), &from[0]);
	json_i64(json_get(c->args, "from_stderr"), &from[1]);
	*p = (struct poll){.call = c,
			   .program = program,
			   .from = {(uint64_t)from[0], (uint64_t)from[1]},
			   .for_end = for_end};
	op_start(c->op, on_cancel, p, 0);
	if (wait_ms == 0 || has_news(p)) {
		finish(p, ERR_OK);
		return;
	}
	p->timer = loop_timer_new(c->env->loop, on_time, p);
	loop_timer_start(p->timer, wait_ms * 1000);
	processes_watch(c->env->processes, on_change, p);
}

static void list(struct tool_call *c)
{
	struct processes *s = c->env->processes;
	struct json_out o = json_out(&c->output);
	json_obj(&o);
	json_key(&o, "processes");
	json_arr(&o);
	for (struct program *p = NULL; (p = processes_next(s, p));) {
		json_obj(&o);
		program_put_line(p, &o);
		json_obj_end(&o);
	}
	json_arr_end(&o);
	json_obj_end(&o);
	op_start(c->op, NULL, NULL, 0);
	op_finish(c->op, ERR_OK);
}

static void refuse(struct tool_call *c, enum err e, const char *why)
{
	op_start(c->op, NULL, NULL, 0);
	tool_error(c, "%s", why);
	op_finish(c->op, e);
}

void tool_process(struct tool_call *c)
{
	struct slice action = json_str(json_get(c->args, "action"));
	struct slice id = json_str(json_get(c->args, "id"));
	int64_t wait_ms = WAIT_DEFAULT_MS;
	char why[400];
	if (slice_is(action, "list")) {
		list(c);
		return;
	}
	if (!id.p) {
		refuse(c, ERR_TOOL_ARGUMENTS, "argument 'id' is missing: for example p1");
		return;
	}
	struct program *p = processes_find(c->env->processes, id, why, sizeof why);
	if (!p) {
		refuse(c, ERR_TOOL_FAILED, why);
		return;
	}
	bool kills = slice_is(action, "kill");
	if (kills && !p->over)
		jails_stop(&p->jail.work);
	json_i64(json_get(c->args, "wait_ms"), &wait_ms);
	wait_for(c, p, kills ? KILL_WAIT_MS : wait_ms, kills);
}
