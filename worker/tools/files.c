/* SPDX-License-Identifier: Apache-2.0
 * read, write, edit and list_directory: built-in functions of the jail. Their arguments
 * go in as they came from the model, their result comes out as it goes to the model. */
#include <stdio.h>

#include "common/loop.h"
#include "sandbox/client/jails.h"
#include "worker/tools/tool.h"

#define RESULT_BYTES (256u << 10)
#define TIMEOUT_MS 50000

struct file_work {
	struct tool_call *call;
	struct jail_work work;
	struct op op;
	struct strbuf args;
};

static void free_work(void *arg)
{
	struct file_work *f = arg;
	output_fini(&f->work.out);
	output_fini(&f->work.err);
	strbuf_fini(&f->args);
}

/* What it wrote is one JSON object, unless it was ended in between. */
static enum err take_result(struct file_work *f)
{
	struct tool_call *c = f->call;
	const struct wire_jail_closed *m = &f->work.closed;
	char err[160] = "";
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&f->work.out.head), RESULT_BYTES,
					err, sizeof err);
	if (m->end == JAIL_END_EXITED && d && !f->work.out.tail.n) {
		strbuf_add_slice(&c->output, strbuf_slice(&f->work.out.head));
		return json_get(json_root(d), "error") ? ERR_TOOL_FAILED : ERR_OK;
	}
	if (m->end == JAIL_END_FAILED)
		tool_error(c, "its jail could not be made (%s)", f->work.message);
	else if (m->end == JAIL_END_QUOTA)
		tool_error(c, "%s", f->work.message);
	else if (m->end == JAIL_END_TIMED_OUT)
		tool_error(c, "it took longer than %d s and was ended",
			   TIMEOUT_MS / 1000);
	else
		tool_error(c, "it ended without a result (%s %u)",
			   m->end == JAIL_END_EXITED ? "status" : "signal", m->number);
	return ERR_TOOL_FAILED;
}

static void on_done(struct op *op, enum err result, void *arg)
{
	struct file_work *f = arg;
	(void)op;
	if (!result)
		result = take_result(f);
	else if (result != ERR_CANCELLED)
		tool_error(f->call, "%s",
			   f->work.message[0] ? f->work.message : err_text(result));
	op_finish(f->call->op, result);
}

static void on_cancel(struct op *op, enum err why, void *provider)
{
	struct file_work *f = provider;
	(void)op;
	op_cancel(&f->op, why);
}

static void start(struct tool_call *c, enum jail_kind kind)
{
	struct file_work *f = arena_zalloc(c->arena, sizeof *f);
	arena_cleanup(c->arena, free_work, f);
	f->call = c;
	json_print(&f->args, c->args);
	f->work.open = (struct wire_jail_open){
		.handle = c->env->workspace, .kind = kind, .timeout_ms = TIMEOUT_MS};
	f->work.input = strbuf_slice(&f->args);
	output_init(&f->work.out, 2 * RESULT_BYTES); /* all of it in the head */
	output_init(&f->work.err, 4096);
	op_init(&f->op, c->env->loop, on_done, f);
	op_start(c->op, on_cancel, f, 0);
	jails_start(c->env->jails, &f->work, &f->op, c->tool->deadline_us);
}

#define FILE_TOOL(name, KIND)                                                            \
	void tool_##name(struct tool_call *c);                                           \
	void tool_##name(struct tool_call *c)                                            \
	{                                                                                \
		start(c, JAIL_KIND_##KIND);                                              \
	}

FILE_TOOL(read, READ)
FILE_TOOL(write, WRITE)
FILE_TOOL(edit, EDIT)
FILE_TOOL(list_directory, LIST)
