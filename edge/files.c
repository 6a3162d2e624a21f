/* SPDX-License-Identifier: Apache-2.0
 * Files of workspaces: listed, read, written, removed. Which workspace, here; then a
 * grant of it from the supervisor; then a jail of our launcher does it (transfer.c). A
 * path is never more to this process than a string that it hands on. */
#include "edge/files.h"

#include "common/json.h"
#include "edge/content.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/reply.h"
#include "edge/store.h"
#include "edge/transfer.h"

#define PATH_MOST 4095

enum stage { FILES_START, FILES_AGENT, FILES_SESSION, FILES_GRANT, FILES_RUN };
enum { LIST = 1, REMOVE = 2, GET = 4, PUT = 8, ALL = 15 };

struct files {
	unsigned what; /* one of them */
	struct slice path, session, after;
	int64_t depth, limit;
	bool recursive;
	struct agent_row agent;
	struct uuid session_id;
	uint64_t grant;
	enum err error;
	const char *message;
	bool counted;
};

static bool wrong(struct call *c, const char *param, const char *message)
{
	reply_err(c->request, ERR_BAD_REQUEST, param, message, 0);
	return false;
}

/* ---- the query */

static bool take_path(struct call *c, struct files *f, struct slice v)
{
	f->path = v;
	return v.n <= PATH_MOST || wrong(c, "path", "path has at most 4095 bytes");
}

static bool take_session(struct call *c, struct files *f, struct slice v)
{
	f->session = v;
	return (v.n && v.n <= LIMIT_SESSION_KEY) ||
	       wrong(c, "session", "session must be a session's key");
}

static bool take_after(struct call *c, struct files *f, struct slice v)
{
	f->after = v;
	return v.n <= PATH_MOST || wrong(c, "after", "after must be a page's next");
}

static bool take_number(struct slice v, int64_t most, int64_t *out)
{
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > most)
		return false;
	*out = n;
	return true;
}

static bool take_depth(struct call *c, struct files *f, struct slice v)
{
	return take_number(v, 100, &f->depth) ||
	       wrong(c, "depth", "depth must be an integer from 1 to 100");
}

static bool take_limit(struct call *c, struct files *f, struct slice v)
{
	return take_number(v, 1000, &f->limit) ||
	       wrong(c, "limit", "limit must be an integer from 1 to 1000");
}

static bool take_recursive(struct call *c, struct files *f, struct slice v)
{
	f->recursive = slice_is(v, "true");
	return f->recursive || slice_is(v, "false") ||
	       wrong(c, "recursive", "recursive must be true or false");
}

static const struct {
	const char *name;
	unsigned of;
	bool (*take)(struct call *c, struct files *f, struct slice v);
} params[] = {{"path", ALL, take_path},    {"session", ALL, take_session},
	      {"depth", LIST, take_depth}, {"limit", LIST, take_limit},
	      {"after", LIST, take_after}, {"recursive", REMOVE, take_recursive}};

static bool refuse(struct call *c, struct slice name, const char *why)
{
	struct arena *a = c->request->arena;
	const char *text = arena_strndup(a, name.p, name.n < 63 ? name.n : 63);
	return wrong(c, text, arena_printf(a, "%s%s", text, why));
}

static bool take_pair(struct call *c, struct files *f, struct slice pair, unsigned *seen)
{
	struct slice name = slice_cut(&pair, '=');
	char *text = arena_alloc(c->request->arena, pair.n + 1);
	size_t n;
	for (size_t i = 0; i < ARRAY_LEN(params); i++) {
		if (!slice_is(name, params[i].name) || !(params[i].of & f->what))
			continue;
		if (*seen & 1u << i)
			return refuse(c, name, " stands in the query twice");
		*seen |= 1u << i;
		if (!http_unescape(pair, text, &n))
			return refuse(c, name, " is badly percent-encoded");
		return params[i].take(c, f, slice_of(text, n));
	}
	return refuse(c, name, " is no parameter of this path");
}

static bool read_query(struct call *c, struct files *f)
{
	struct slice rest = c->request->head.query;
	unsigned seen = 0;
	f->depth = 1;
	f->limit = 200;
	while (rest.p) {
		struct slice pair = slice_cut(&rest, '&');
		if (pair.n > 0 && !take_pair(c, f, pair, &seen))
			return false;
	}
	return f->what == LIST || f->path.n ||
	       wrong(c, "path", "path is needed: the file's, from the workspace");
}

/* ---- which workspace */

static bool find_agent(struct call *c, struct files *f)
{
	enum cache_verdict v = lookup_agent(c, c->match.params[0], &f->agent);
	if (v == CACHE_ABSENT)
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such agent", 0);
	else if (v == CACHE_FAILED)
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
	if (v != CACHE_FOUND)
		return false;
	if (f->agent.by_session && !f->session.n)
		return wrong(c, "session",
			     "this agent has a workspace a session: name one by its key");
	if (!f->agent.by_session && f->session.n)
		return wrong(c, "session",
			     "the sessions of this agent share one workspace: leave "
			     "session out");
	c->stage = FILES_SESSION;
	if (f->session.n)
		store_find_session(c, f->agent.id, f->session, &f->session_id);
	return true;
}

static bool has_session(struct call *c, const struct files *f)
{
	if (c->asking)
		return false;
	if (f->session.n && c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (f->session.n && uuid_is_nil(f->session_id))
		reply_err(c->request, ERR_NOT_FOUND, "session",
			  "there is no such session", 0);
	else
		return true;
	return false;
}

/* ---- the grant */

static void on_end(struct call *c)
{
	struct files *f = c->state;
	if (f->counted)
		transfer_uncount(c->edge, c->caller.tenant);
	if (f->grant)
		link_files_done(c->edge, f->grant);
}

static void ask_grant(struct call *c, struct files *f)
{
	struct wire_files_ask m = {.req = c->handle,
				   .tenant = c->caller.tenant,
				   .agent = f->agent.id,
				   .session = f->session_id,
				   .most_bytes = f->agent.workspace_bytes,
				   .most_files = f->agent.workspace_files};
	if (!transfer_may(c))
		return;
	f->counted = true;
	c->on_end = on_end;
	c->stage = FILES_GRANT;
	if (!link_files(c->edge, &m))
		reply_err(c->request, ERR_UNAVAILABLE, NULL, NULL, 1);
	else
		c->at_supervisor = true;
}

bool files_answered(struct call *c, const struct wire_files *m)
{
	struct files *f = c->state;
	struct arena *a = c->request->arena;
	if (c->stage != FILES_GRANT || !c->at_supervisor)
		return false;
	c->at_supervisor = false;
	f->grant = m->handle;
	if (m->error.n) {
		f->error = err_from_code(arena_slice(a, m->error).p);
		f->message = arena_slice(a, m->message).p;
	}
	c->stage = FILES_RUN;
	call_wake(c);
	return true;
}

/* ---- the operation */

static const char *const words[] = {
	[LIST] = "list", [REMOVE] = "remove", [GET] = "get", [PUT] = "put"};

static void compose(struct strbuf *b, const struct files *f)
{
	struct json_out o = json_out(b);
	json_obj(&o);
	json_kv_cstr(&o, "op", words[f->what]);
	json_kv_str(&o, "path", f->path.p ? f->path : SLICE(""));
	if (f->what == LIST) {
		json_kv_i64(&o, "depth", f->depth);
		json_kv_i64(&o, "limit", f->limit);
		json_kv_str(&o, "after", f->after.p ? f->after : SLICE(""));
	}
	if (f->what == REMOVE)
		json_kv_bool(&o, "recursive", f->recursive);
	json_obj_end(&o);
	strbuf_add_char(b, '\n');
}

static void start(struct call *c, struct files *f)
{
	AUTO(strbuf_fini) struct strbuf line = STRBUF_INIT;
	uint64_t grant = f->grant;
	const char *slash = f->path.n ? memrchr(f->path.p, '/', f->path.n) : NULL;
	size_t skip = slash ? (size_t)(slash - f->path.p) + 1 : 0;
	compose(&line, f);
	struct slice name = slice_of(f->path.p + skip, f->path.n - skip);
	struct transfer_order o = {.kind = f->what == PUT ? JAIL_KIND_IN : JAIL_KIND_OUT,
				   .answer =
					   f->what == GET ? TRANSFER_FILE : TRANSFER_JSON,
				   .line = strbuf_slice(&line),
				   .type = content_type_of(name),
				   .name = name};
	f->counted = false; /* both are the transfer's from here on */
	f->grant = 0;
	transfer_start(c, grant, &o);
}

static void step(struct call *c, struct files *f)
{
	if (c->stage == FILES_AGENT && !find_agent(c, f))
		return;
	if (c->stage == FILES_SESSION && has_session(c, f)) {
		ask_grant(c, f);
		return;
	}
	if (c->stage != FILES_RUN || (!f->grant && !f->error))
		return;
	if (f->error)
		reply_err(c->request, f->error, NULL, f->message, 0);
	else
		start(c, f);
}

static void run(struct call *c, unsigned what)
{
	if (c->stage == FILES_START) {
		struct files *f = arena_zalloc(c->request->arena, sizeof *f);
		f->what = what;
		c->state = f;
		if (c->edge->draining) {
			reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
			return;
		}
		if (!read_query(c, f))
			return;
		c->stage = FILES_AGENT;
	}
	/* A running transfer has put itself into c->state: nothing wakes it so. */
	if (c->on_end && c->on_end != on_end)
		return;
	step(c, c->state);
}

void files_list(struct call *c)
{
	run(c, LIST);
}

void files_remove(struct call *c)
{
	run(c, REMOVE);
}

void file_get(struct call *c)
{
	run(c, GET);
}

void file_put(struct call *c)
{
	run(c, PUT);
}
