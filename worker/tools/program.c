/* SPDX-License-Identifier: Apache-2.0
 * Arguments to a jail, and what came of it to JSON. */
#include "worker/tools/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/loop.h"
#include "worker/tools/environment.h"
#include "worker/tools/processes.h"

/* Until its launcher has ended what took too long, and said so. */
#define MARGIN_US 5000000
/* In which what cannot be started at all has said so. */
#define YIELD_MS 50

struct program *program_new(void)
{
	return xcalloc(1, sizeof(struct program));
}

static void free_program(void *arg)
{
	struct program *p = arg;
	loop_timer_free(p->yield);
	show_fini(&p->show);
	jail_call_fini(&p->jail);
	free(p);
}

void program_free(struct program *p)
{
	if (op_is_active(&p->jail.op))
		op_cancel(&p->jail.op, ERR_CANCELLED); /* on_ended comes back here */
	else
		loop_reap(p->jail.op.loop, free_program, p);
}

/* ---- what is said of it */

static const char *state_of(const struct program *p)
{
	static const char *const words[] = {[JAIL_END_EXITED] = "exited",
					    [JAIL_END_SIGNALLED] = "signalled",
					    [JAIL_END_TIMED_OUT] = "timed_out",
					    [JAIL_END_OUT_OF_MEMORY] = "out_of_memory",
					    [JAIL_END_KILLED] = "killed",
					    [JAIL_END_QUOTA] = "over_quota"};
	unsigned end = p->jail.work.closed.end;
	if (!p->over)
		return "running";
	if (p->jail.result || end >= ARRAY_LEN(words) || !words[end])
		return "failed";
	return words[end];
}

void program_put_line(const struct program *p, struct json_out *o)
{
	char name[16], text[400];
	const char *problem =
		p->over ? jail_call_problem(&p->jail, text, sizeof text) : NULL;
	snprintf(name, sizeof name, "p%u", p->number);
	json_kv_cstr(o, "process", name);
	json_kv_cstr(o, "state", state_of(p));
	if (problem)
		json_kv_cstr(o, "problem", problem);
}

static void put_end(struct json_out *o, const struct wire_jail_closed *m)
{
	if (m->end == JAIL_END_EXITED)
		json_kv_i64(o, "exit", m->number);
	if (m->end == JAIL_END_SIGNALLED)
		json_kv_cstr(o, "signal", sigabbrev_np((int)m->number));
	if (m->end == JAIL_END_TIMED_OUT)
		json_kv_bool(o, "timed_out", true);
	if (m->end == JAIL_END_OUT_OF_MEMORY)
		json_kv_bool(o, "out_of_memory", true);
	if (m->end == JAIL_END_KILLED)
		json_kv_bool(o, "killed", true);
	if (m->end == JAIL_END_QUOTA)
		json_kv_str(o, "error", m->message);
}

/* Of what was ended by force nobody learns what it used: no figure then, not 0. */
static void put_use(struct json_out *o, const struct wire_jail_closed *m)
{
	json_kv_i64(o, "wall_ms", (int64_t)(m->wall_us / 1000));
	if (!m->rss_peak_bytes)
		return;
	json_kv_i64(o, "cpu_ms", (int64_t)((m->user_us + m->system_us) / 1000));
	json_kv_i64(o, "max_rss_kib", (int64_t)(m->rss_peak_bytes / 1024));
}

static void put_all(const struct program *p, struct strbuf *out, const uint64_t from[2],
		    size_t most)
{
	const struct jail_work *w = &p->jail.work;
	bool ran = p->over && !p->jail.result;
	uint64_t next[2];
	struct json_out o = json_out(out);
	json_obj(&o);
	if (p->number)
		program_put_line(p, &o);
	if (ran)
		put_end(&o, &w->closed);
	next[0] = output_put_from(&w->out, &o, "stdout", from[0], most, !p->over);
	next[1] = output_put_from(&w->err, &o, "stderr", from[1], most, !p->over);
	if (p->number && !p->over) {
		json_kv_i64(&o, "next", (int64_t)next[0]);
		json_kv_i64(&o, "next_stderr", (int64_t)next[1]);
	}
	if (ran)
		put_use(&o, &w->closed);
	json_obj_end(&o);
}

static uint64_t printed(const struct output *o, uint64_t from)
{
	return o->total > from ? o->total - from : 0;
}

static void take_facts(const struct program *p, struct tool_facts *f)
{
	const struct wire_jail_closed *m = &p->jail.work.closed;
	if (!p->over || p->jail.result)
		return;
	f->has_exit = m->end == JAIL_END_EXITED;
	f->exit = f->has_exit ? (int)m->number : 0;
	if (m->end == JAIL_END_SIGNALLED)
		f->signal = sigabbrev_np((int)m->number);
	if (m->end == JAIL_END_TIMED_OUT)
		f->error_class = err_code(ERR_TIMEOUT);
	if (m->end == JAIL_END_OUT_OF_MEMORY)
		f->error_class = err_code(ERR_TOOL_MEMORY);
	if (m->end == JAIL_END_QUOTA)
		f->error_class = err_code(ERR_QUOTA);
}

/* Escaped, text may be six times as long as it is: then less of it is told. */
void program_say(struct program *p, struct tool_call *c, const uint64_t from[2])
{
	const struct jail_work *w = &p->jail.work;
	size_t most = PROGRAM_OUTPUT_BYTES;
	put_all(p, &c->output, from, most);
	for (; c->output.n > c->tool->output_most && most > 1024; most /= 2) {
		strbuf_reset(&c->output);
		put_all(p, &c->output, from, most / 2);
	}
	take_facts(p, &c->facts);
	c->facts.bytes = printed(&w->out, from[0]) + printed(&w->err, from[1]);
	c->facts.truncated = output_is_cut(&w->out, from[0], most) ||
			     output_is_cut(&w->err, from[1], most);
}

/* ---- its course */

static enum err take_result(struct jail_call *j)
{
	struct program *p = container_of(j, struct program, jail);
	p->over = true;
	show_end(&p->show);
	program_say(p, j->call, (const uint64_t[2]){0, 0});
	return ERR_OK;
}

static void on_ended(struct jail_call *j)
{
	struct program *p = container_of(j, struct program, jail);
	p->over = true;
	show_fini(&p->show);
	if (p->home)
		processes_changed(p->home);
	else
		program_free(p);
}

static void on_printed(struct jail_work *w, int fd, struct slice bytes)
{
	struct program *p = container_of(w, struct program, jail.work);
	show_add(&p->show, fd, bytes);
	if (p->home)
		processes_changed(p->home);
}

/* Its call goes on without it. */
static void on_yield(void *arg)
{
	struct program *p = arg;
	struct tool_call *c = p->jail.call;
	if (!c) /* it ended in this very turn */
		return;
	show_end(&p->show);
	jail_call_let_go(&p->jail);
	processes_adopt(c->env->processes, p);
	program_say(p, c, (const uint64_t[2]){0, 0});
	op_finish(c->op, ERR_OK);
}

/* ---- its start */

/* "a/b" of "/workspace/a/b", "./a/b" and "a/b". What it leads to is the jail's affair. */
static struct slice below_workspace(struct slice cwd)
{
	static const struct slice root = {"/workspace", 10};
	if (cwd.n >= root.n && !memcmp(cwd.p, root.p, root.n) &&
	    (cwd.n == root.n || cwd.p[root.n] == '/')) {
		cwd.p += root.n;
		cwd.n -= root.n;
	} else if (cwd.n && *cwd.p == '/') {
		return SLICE_NONE;
	}
	while (cwd.n && *cwd.p == '/') {
		cwd.p++;
		cwd.n--;
	}
	for (struct slice rest = cwd, part; rest.n;) {
		part = slice_cut(&rest, '/');
		if (slice_is(part, ".."))
			return SLICE_NONE;
	}
	return cwd;
}

/* False: the sentence says why not. */
static bool take_arguments(struct program *p, const struct tool_call *c, char *why,
			   size_t size)
{
	struct slice input = json_str(json_get(c->args, "stdin"));
	struct slice asked = json_str(json_get(c->args, "cwd"));
	struct slice cwd = below_workspace(asked.p ? asked : SLICE(""));
	if (!environment_add(&p->jail.env, json_get(c->args, "env"), why, size))
		return false;
	if (!cwd.p) {
		snprintf(why, size,
			 "argument 'cwd' leads out of the workspace: it is a directory "
			 "below /workspace, for example src");
		return false;
	}
	if (p->jail.argv.n > LIMIT_ARGV_BYTES) {
		snprintf(why, size,
			 "it is longer than %u KiB: write it to a file and run "
			 "that",
			 LIMIT_ARGV_BYTES >> 10);
		return false;
	}
	strbuf_add_slice(&p->jail.cwd, cwd);
	strbuf_add_slice(&p->jail.input, input);
	return true;
}

/* Milliseconds after which its call stops waiting; -1: it waits for the end. */
static int64_t yield_ms(const struct tool_call *c)
{
	int64_t ms = json_bool(json_get(c->args, "background"), false) ? YIELD_MS : -1;
	json_i64(json_get(c->args, "yield_ms"), &ms);
	return ms;
}

static void refuse(struct program *p, struct tool_call *c, enum err e, const char *why)
{
	op_start(c->op, NULL, NULL, 0);
	p->jail.op.loop = c->env->loop;
	program_free(p);
	tool_error(c, "%s", why);
	op_finish(c->op, e);
}

void program_start(struct program *p, struct tool_call *c)
{
	int64_t yield = yield_ms(c);
	int64_t timeout_s = yield < 0 ? PROGRAM_TIMEOUT_S : PROGRAM_TIMEOUT_MOST_S;
	char why[300];
	json_i64(json_get(c->args, "timeout_s"), &timeout_s);
	if (!take_arguments(p, c, why, sizeof why)) {
		refuse(p, c, ERR_TOOL_ARGUMENTS, why);
		return;
	}
	if (yield >= 0 && !processes_have_room(c->env->processes)) {
		refuse(p, c, ERR_TOOL_FAILED,
		       "this run has 8 processes, which is all it may have: end one with "
		       "the tool process, or wait for an end");
		return;
	}
	p->jail.take = take_result;
	p->jail.ended = on_ended;
	p->jail.work.on_printed = on_printed;
	p->jail.work.open.kind = JAIL_KIND_EXEC;
	p->jail.work.open.timeout_ms = (uint32_t)timeout_s * 1000;
	show_init(&p->show, c);
	if (yield >= 0) {
		p->yield = loop_timer_new(c->env->loop, on_yield, p);
		loop_timer_start(p->yield, yield * 1000);
	}
	jail_call_start(&p->jail, c, PROGRAM_OUTPUT_BYTES, PROGRAM_OUTPUT_BYTES,
			timeout_s * 1000000 + MARGIN_US);
}
