/* SPDX-License-Identifier: Apache-2.0
 * One op inside another: the jail's completes the tool's. */
#include "worker/tools/jail_call.h"

#include <stdio.h>
#include <string.h>

#include "common/loop.h"

const char *jail_call_problem(const struct jail_call *j, char *text, size_t size)
{
	const struct wire_jail_closed *m = &j->work.closed;
	if (j->result)
		return j->work.message[0] ? j->work.message : err_text(j->result);
	switch ((enum jail_end)m->end) {
	case JAIL_END_NOT_EXECUTED:
		snprintf(text, size, "the program could not be started: %s",
			 strerrordesc_np((int)m->number));
		return text;
	case JAIL_END_NO_DIRECTORY:
		snprintf(text, size,
			 "argument 'cwd': '%.*s' cannot be entered in the workspace: %s",
			 j->work.open.cwd.n > 200 ? 200 : (int)j->work.open.cwd.n,
			 j->work.open.cwd.p, strerrordesc_np((int)m->number));
		return text;
	case JAIL_END_QUOTA:
		return j->work.open.kind == JAIL_KIND_EXEC ? NULL : j->work.message;
	case JAIL_END_FAILED:
		snprintf(text, size, "its jail could not be made (%s)", j->work.message);
		return text;
	default:
		return NULL;
	}
}

static enum err answer(struct jail_call *j)
{
	char text[400];
	const char *problem = jail_call_problem(j, text, sizeof text);
	if (j->result == ERR_CANCELLED)
		return ERR_CANCELLED;
	if (!problem)
		return j->take(j);
	tool_error(j->call, "%s", problem);
	if (j->work.full || j->work.closed.end == JAIL_END_QUOTA)
		return ERR_QUOTA;
	return j->result ? j->result : ERR_TOOL_FAILED;
}

static void on_done(struct op *op, enum err result, void *arg)
{
	struct jail_call *j = arg;
	struct tool_call *c = j->call;
	(void)op;
	j->result = result;
	if (c) {
		result = answer(j);
		j->call = NULL;
		op_finish(c->op, result);
	}
	if (j->ended)
		j->ended(j);
}

static void on_cancel(struct op *op, enum err why, void *provider)
{
	struct jail_call *j = provider;
	(void)op;
	op_cancel(&j->op, why);
}

static struct slice lent(const struct strbuf *b)
{
	return b->p ? strbuf_slice(b) : SLICE("");
}

void jail_call_start(struct jail_call *j, struct tool_call *c, size_t out_bytes,
		     size_t err_bytes, int64_t deadline_us)
{
	j->call = c;
	j->work.open.handle = c->env->workspace;
	j->work.open.argv = lent(&j->argv);
	j->work.open.env = lent(&j->env);
	j->work.open.cwd = lent(&j->cwd);
	j->work.input = lent(&j->input);
	output_init(&j->work.out, out_bytes);
	output_init(&j->work.err, err_bytes);
	op_init(&j->op, c->env->loop, on_done, j);
	op_start(c->op, on_cancel, j, 0);
	jails_start(c->env->jails, &j->work, &j->op, deadline_us);
}

void jail_call_let_go(struct jail_call *j)
{
	j->call = NULL;
}

void jail_call_fini(struct jail_call *j)
{
	output_fini(&j->work.out);
	output_fini(&j->work.err);
	strbuf_fini(&j->argv);
	strbuf_fini(&j->env);
	strbuf_fini(&j->cwd);
	strbuf_fini(&j->input);
}
