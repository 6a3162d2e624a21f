/* SPDX-License-Identifier: Apache-2.0
 * exec and bash: a program, or a script, in a jail of the agent's workspace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/loop.h"
#include "sandbox/client/jails.h"
#include "worker/tools/tool.h"

void tool_exec(struct tool_call *c);
void tool_bash(struct tool_call *c);

#define TIMEOUT_DEFAULT_S 120
#define OUTPUT_BYTES (100u << 10) /* of each of its two outputs */
/* Until its launcher has ended what took too long, and said so. */
#define MARGIN_US 5000000

/* What a program finds, before what the call adds. */
static const char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
					  "HOME=/workspace", "LANG=C.UTF-8",
					  "TMPDIR=/tmp", "USER=tool"};

struct program {
	struct tool_call *call;
	struct jail_work work;
	struct op op;
	struct strbuf argv, env;
};

/* ---- the end */

static const char *how_it_failed(const struct program *p, char *text, size_t size)
{
	const struct wire_jail_closed *m = &p->work.closed;
	switch ((enum jail_end)m->end) {
	case JAIL_END_NOT_EXECUTED:
		snprintf(text, size, "the program could not be started: %s",
			 strerrordesc_np((int)m->number));
		return text;
	case JAIL_END_FAILED:
		snprintf(text, size, "its jail could not be made (%s)", p->work.message);
		return text;
	default:
		return NULL;
	}
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

static void put_result(struct program *p)
{
	const struct wire_jail_closed *m = &p->work.closed;
	struct json_out o = json_out(&p->call->output);
	json_obj(&o);
	put_end(&o, m);
	output_put(&p->work.out, &o, "stdout");
	output_put(&p->work.err, &o, "stderr");
	json_kv_i64(&o, "wall_ms", (int64_t)(m->wall_us / 1000));
	json_kv_i64(&o, "cpu_ms", (int64_t)((m->user_us + m->system_us) / 1000));
	json_obj_end(&o);
}

static void free_program(void *arg)
{
	struct program *p = arg;
	output_fini(&p->work.out);
	output_fini(&p->work.err);
	strbuf_fini(&p->argv);
	strbuf_fini(&p->env);
}

static void on_done(struct op *op, enum err result, void *arg)
{
	struct program *p = arg;
	struct tool_call *c = p->call;
	char text[200];
	const char *failed = result ? NULL : how_it_failed(p, text, sizeof text);
	(void)op;
	if (failed)
		tool_error(c, "%s", failed);
	else if (!result)
		put_result(p);
	else if (result != ERR_CANCELLED)
		tool_error(c, "%s",
			   p->work.message[0] ? p->work.message : err_text(result));
	op_finish(c->op, failed ? ERR_TOOL_FAILED : result);
}

static void on_cancel(struct op *op, enum err why, void *provider)
{
	struct program *p = provider;
	(void)op;
	op_cancel(&p->op, why);
}

/* ---- the start */

static void add_word(struct strbuf *b, struct slice word)
{
	strbuf_add(b, word.p, word.n);
	strbuf_add_char(b, 0);
}

/* NULL, or what is wrong: of names the schema knows only that they are there. */
static const char *add_environment(struct strbuf *b, json_t env)
{
	struct json_iter it = json_iter(env);
	struct slice name;
	for (size_t i = 0; i < ARRAY_LEN(environment); i++)
		add_word(b, slice_str(environment[i]));
	for (json_t v; (v = json_next(&it, &name));) {
		if (json_kind(v) != JSON_STRING || !name.n || memchr(name.p, '=', name.n))
			return "argument 'env' needs names without '=' and texts as "
			       "their "
			       "values";
		strbuf_add(b, name.p, name.n);
		strbuf_add_char(b, '=');
		add_word(b, json_str(v));
	}
	return b->n > LIMIT_ENV_BYTES ? "argument 'env' is too long" : NULL;
}

/* "a/b" of "/workspace/a/b", "./a/b" and "a/b". What it leads to is the jail's affair. */
static struct slice below_workspace(struct slice cwd)
{
	static const struct slice root = {"/workspace", 10};
	if (cwd.n >= root.n && !memcmp(cwd.p, root.p, root.n) &&
	    (cwd.n == root.n || cwd.p[root.n] == '/')) {
		cwd.p += root.n;
		cwd.n -= root.n;
	}
	while (cwd.n && *cwd.p == '/') {
		cwd.p++;
		cwd.n--;
	}
	return cwd;
}

static void start(struct tool_call *c, struct program *p)
{
	int64_t timeout_s = TIMEOUT_DEFAULT_S;
	const char *wrong = add_environment(&p->env, json_get(c->args, "env"));
	struct slice cwd = json_str(json_get(c->args, "cwd"));
	struct slice input = json_str(json_get(c->args, "stdin"));
	json_i64(json_get(c->args, "timeout_s"), &timeout_s);
	if (!wrong && p->argv.n > LIMIT_ARGV_BYTES)
		wrong = "it is longer than 128 KiB: write it to a file and run that";
	if (wrong) {
		op_start(c->op, NULL, NULL, 0);
		tool_error(c, "%s", wrong);
		op_finish(c->op, ERR_TOOL_ARGUMENTS);
		return;
	}
	p->call = c;
	p->work.open =
		(struct wire_jail_open){.handle = c->env->workspace,
					.kind = JAIL_KIND_EXEC,
					.argv = strbuf_slice(&p->argv),
					.env = strbuf_slice(&p->env),
					.cwd = below_workspace(cwd.p ? cwd : SLICE("")),
					.timeout_ms = (uint32_t)timeout_s * 1000};
	p->work.input = input.p ? input : SLICE("");
	output_init(&p->work.out, OUTPUT_BYTES);
	output_init(&p->work.err, OUTPUT_BYTES);
	op_init(&p->op, c->env->loop, on_done, p);
	op_start(c->op, on_cancel, p, 0);
	jails_start(c->env->jails, &p->work, &p->op, timeout_s * 1000000 + MARGIN_US);
}

static struct program *make(struct tool_call *c)
{
	struct program *p = arena_zalloc(c->arena, sizeof *p);
	arena_cleanup(c->arena, free_program, p);
	return p;
}

void tool_bash(struct tool_call *c)
{
	struct program *p = make(c);
	add_word(&p->argv, SLICE("/bin/bash"));
	add_word(&p->argv, SLICE("-c"));
	add_word(&p->argv, json_str(json_get(c->args, "script")));
	start(c, p);
}

/* A name without a slash is looked for by env(1), along PATH. */
void tool_exec(struct tool_call *c)
{
	struct program *p = make(c);
	struct json_iter it = json_iter(json_get(c->args, "argv"));
	struct slice first = json_str(json_at(json_get(c->args, "argv"), 0));
	if (!first.n || *first.p != '/') {
		add_word(&p->argv, SLICE("/usr/bin/env"));
		add_word(&p->argv, SLICE("--"));
	}
	for (json_t word; (word = json_next(&it, NULL));)
		add_word(&p->argv, json_str(word));
	start(c, p);
}
