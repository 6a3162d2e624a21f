/* SPDX-License-Identifier: Apache-2.0
 * read, write, edit and list_directory: built-in functions of the jail. Their arguments
 * go in as they came from the model, their result comes out as it goes to the model. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/loop.h"
#include "worker/context/skill_list.h"
#include "worker/tools/jail_call.h"

#define RESULT_BYTES (256u << 10)
#define TIMEOUT_MS 50000

static enum err ended_by_force(struct tool_call *c, const struct wire_jail_closed *m)
{
	if (m->end == JAIL_END_TIMED_OUT) {
		tool_error(c, "it took longer than %d s and was ended",
			   TIMEOUT_MS / 1000);
		c->facts.error_class = err_code(ERR_TIMEOUT);
	} else {
		tool_error(c, "it ended without a result (%s %u)",
			   m->end == JAIL_END_EXITED ? "status" : "signal", m->number);
	}
	return ERR_TOOL_FAILED;
}

/* ---- skills: what is read of one is what its session pinned */

/* Where a path leads as it is written, "/workspace/..."; "" where that is nowhere. */
static struct slice written(struct tool_call *c, struct slice path)
{
	const bool absolute = path.n && path.p[0] == '/';
	char *out = arena_alloc(c->arena, path.n + sizeof "/workspace/");
	size_t n = absolute ? 0 : sizeof "/workspace" - 1;
	memcpy(out, "/workspace", n);
	while (path.p) {
		struct slice name = slice_cut(&path, '/');
		if (slice_is(name, "..")) {
			while (n && out[--n] != '/')
				;
		} else if (name.n && !slice_is(name, ".")) {
			out[n++] = '/';
			memcpy(out + n, name.p, name.n);
			n += name.n;
		}
	}
	return slice_of(out, n);
}

/* True: it is not what the session pinned, and the model reads that instead. A link in
 * the place of a skill's file is no skill's file, whatever it leads to. */
static bool is_another_skill(struct tool_call *c, json_t result)
{
	struct slice asked = written(c, json_str(json_get(c->args, "path")));
	struct slice real = written(c, json_str(json_get(result, "path")));
	const struct skill *s = skill_list_at(c->env->skills, asked);
	bool moved = s && !slice_eq(asked, real);
	if (!s)
		s = skill_list_at(c->env->skills, real);
	if (!s || (!moved && slice_is(json_str(json_get(result, "sha256")), s->sha256)))
		return false;
	tool_error(
		c,
		"the skill '%s' is not what it was when this session took it over: "
		"its file was changed since. A person can let the session take it as "
		"it is now: POST /v1/sessions/ID/skills, or terabitsctl session skills "
		"KEY --refresh",
		s->name);
	c->facts.error_class = err_code(ERR_CONFLICT);
	return true;
}

/* A result that says where to go on is not all there is. */
static bool is_partial(json_t result)
{
	return json_get(result, "next") || json_get(result, "lines_cut") ||
	       json_get(result, "left_out") || json_get(result, "left_out_at_least");
}

/* What it wrote is one JSON object, unless it was ended in between. */
static enum err take_result(struct jail_call *j)
{
	struct tool_call *c = j->call;
	const struct strbuf *out = &j->work.out.head;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(out), RESULT_BYTES, NULL, 0);
	if (j->work.closed.end != JAIL_END_EXITED || !d || j->work.out.tail.n)
		return ended_by_force(c, &j->work.closed);
	if (j->work.open.kind == JAIL_KIND_READ && c->env->skills &&
	    !json_get(json_root(d), "error") && is_another_skill(c, json_root(d)))
		return ERR_TOOL_FAILED;
	strbuf_add_slice(&c->output, strbuf_slice(out));
	c->facts.truncated = is_partial(json_root(d));
	if (!json_get(json_root(d), "error"))
		return ERR_OK;
	return slice_is(json_str(json_get(json_root(d), "code")), err_code(ERR_QUOTA))
		       ? ERR_QUOTA
		       : ERR_TOOL_FAILED;
}

static void free_call(void *p)
{
	jail_call_fini(p);
	free(p);
}

static void on_ended(struct jail_call *j)
{
	loop_reap(j->op.loop, free_call, j);
}

static void start(struct tool_call *c, enum jail_kind kind)
{
	struct jail_call *j = xcalloc(1, sizeof *j);
	j->take = take_result;
	j->ended = on_ended;
	j->work.open.kind = kind;
	j->work.open.timeout_ms = TIMEOUT_MS;
	json_print(&j->input, c->args);
	/* all of its result in the head */
	jail_call_start(j, c, 2 * RESULT_BYTES, 4096, c->tool->deadline_us);
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
