/* SPDX-License-Identifier: Apache-2.0
 * Files of workspaces and of the tenant's skills: listed, read, written, removed; and the
 * skills that an agent would get. Which workspace, here; then a
 * grant of it from the supervisor; then a jail of our launcher does it (transfer.c). A
 * path is never more to this process than a string that it hands on. */
#include "edge/files.h"

#include "common/json.h"
#include "edge/change.h"
#include "edge/content.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "edge/store.h"
#include "edge/store_context.h"
#include "edge/transfer.h"

#define PATH_MOST 4095

enum stage {
	FILES_START,
	FILES_AGENT,
	FILES_SESSION,
	FILES_ALLOWED,
	FILES_NOTED,
	FILES_GRANT,
	FILES_RUN
};
enum { LIST = 1, REMOVE = 2, GET = 4, PUT = 8, ALL = 15, SKILLS = 16 };
/* Of a tenant's skills at most, where the node's workspaces may have more. */
#define SKILLS_BYTES (256ull << 20)
#define SKILLS_FILES 20000
#define ALLOWED_MOST 12000 /* bytes of a list of names: a transfer's line holds it */

struct files {
	unsigned what;  /* one of them */
	bool of_tenant; /* the tenant's skills, and no agent's workspace */
	struct slice path, session, after;
	struct slice meant; /* the version that is to be replaced or removed */
	int64_t depth, limit;
	bool recursive;
	struct agent_row agent;
	struct uuid session_id;
	struct context_row
		allowed; /* JSON: the names of skills that the agent may have */
	uint64_t grant;
	enum err error;
	const char *message;
	bool counted;
};

/* ---- the query */

static bool take_path(struct call *c, struct slice v)
{
	struct files *f = c->state;
	f->path = v;
	return v.n <= PATH_MOST ||
	       reply_wrong(c->request, "path", "path has at most 4095 bytes");
}

static bool take_session(struct call *c, struct slice v)
{
	struct files *f = c->state;
	f->session = v;
	return (v.n && v.n <= LIMIT_SESSION_KEY) ||
	       reply_wrong(c->request, "session", "session must be a session's key");
}

static bool take_after(struct call *c, struct slice v)
{
	struct files *f = c->state;
	f->after = v;
	return v.n <= PATH_MOST ||
	       reply_wrong(c->request, "after", "after must be a page's next");
}

static bool take_number(struct slice v, int64_t most, int64_t *out)
{
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > most)
		return false;
	*out = n;
	return true;
}

static bool take_depth(struct call *c, struct slice v)
{
	struct files *f = c->state;
	return take_number(v, 100, &f->depth) ||
	       reply_wrong(c->request, "depth", "depth must be an integer from 1 to 100");
}

static bool take_limit(struct call *c, struct slice v)
{
	struct files *f = c->state;
	return take_number(v, 1000, &f->limit) ||
	       reply_wrong(c->request, "limit",
			   "limit must be an integer from 1 to 1000");
}

static bool take_recursive(struct call *c, struct slice v)
{
	struct files *f = c->state;
	f->recursive = slice_is(v, "true");
	return f->recursive || slice_is(v, "false") ||
	       reply_wrong(c->request, "recursive", "recursive must be true or false");
}

static const struct {
	struct query_param param;
	unsigned of;
} params[] = {{{"path", take_path}, ALL},    {{"session", take_session}, ALL | SKILLS},
	      {{"depth", take_depth}, LIST}, {{"limit", take_limit}, LIST},
	      {{"after", take_after}, LIST}, {{"recursive", take_recursive}, REMOVE}};

static bool read_query(struct call *c, struct files *f)
{
	struct query_param known[ARRAY_LEN(params)];
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		if (params[i].of & f->what &&
		    !(f->of_tenant && params[i].param.take == take_session))
			known[n++] = params[i].param;
	f->depth = 1;
	f->limit = 200;
	return query_read(c, known, n) &&
	       (f->what == LIST || f->what == SKILLS || f->path.n ||
		reply_wrong(c->request, "path",
			    f->of_tenant ? "path is needed: the file's, from the skills"
					 : "path is needed: the file's, from the "
					   "workspace"));
}

/* ---- which workspace */

static bool find_agent(struct call *c, struct files *f)
{
	if (!lookup_agent_of_path(c, &f->agent))
		return false;
	if (f->agent.by_session && !f->session.n)
		return reply_wrong(
			c->request, "session",
			"this agent has a workspace a session: name one by its key");
	if (!f->agent.by_session && f->session.n)
		return reply_wrong(
			c->request, "session",
			"the sessions of this agent share one workspace: leave "
			"session out");
	if (!f->session.n && c->caller.user.n && f->what != SKILLS) {
		reply_err(c->request, ERR_NOT_FOUND, NULL,
			  "this agent's workspace is everybody's: an end user sees the "
			  "files of their own sessions, of agents that have a workspace "
			  "a session",
			  0);
		return false;
	}
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

/* False: which skills the agent may have is being read, or that failed. */
static bool has_allowed(struct call *c, struct files *f)
{
	if (f->what != SKILLS)
		return true;
	if (c->stage != FILES_ALLOWED) {
		c->stage = FILES_ALLOWED;
		store_read_context(c, SQL_AGENT_SKILLS, f->agent.id, 0, 0, &f->allowed);
		return false;
	}
	if (c->asking)
		return false;
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (f->allowed.body.n > ALLOWED_MOST)
		reply_err(c->request, ERR_CONFLICT, NULL,
			  "the agent's configuration says 'skills' and means no list of "
			  "at most 150 names",
			  0);
	return !c->asked && f->allowed.body.n <= ALLOWED_MOST;
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
				   .most_files = f->agent.workspace_files,
				   .makes = f->what == PUT};
	if (f->of_tenant) {
		m.most_bytes = SKILLS_BYTES;
		m.most_files = SKILLS_FILES;
	}
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

static const char *const words[] = {[LIST] = "list",
				    [REMOVE] = "remove",
				    [GET] = "get",
				    [PUT] = "put",
				    [SKILLS] = "skills"};

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
	if (f->what == SKILLS && f->allowed.body.n)
		json_kv_raw(&o, "allowed", f->allowed.body);
	if (f->what == REMOVE)
		json_kv_bool(&o, "recursive", f->recursive);
	if (f->meant.p)
		json_kv_str(&o, "ifMatch", f->meant);
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

static void reply_nothing(struct call *c)
{
	reply_head(c->request, 200);
	reply_body(c->request, "application/json",
		   SLICE("{\"path\":\"\",\"entries\":[],\"next\":null}\n"));
}

/* What an administrator does to the tenant's skills stands in the log before it is done.
 * False: it is being noted, or that failed. */
static bool is_noted(struct call *c, struct files *f)
{
	if (!f->of_tenant || !(f->what & (PUT | REMOVE)) || c->stage > FILES_NOTED)
		return true;
	if (c->stage != FILES_NOTED) {
		c->stage = FILES_NOTED;
		change_note(c,
			    f->what == PUT ? SLICE("skill.write") : SLICE("skill.remove"),
			    f->path);
		return false;
	}
	if (c->asking)
		return false;
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	return !c->asked;
}

static bool may_begin(struct call *c, struct files *f)
{
	if (c->stage == FILES_SESSION && !(has_session(c, f) && has_allowed(c, f)))
		return false;
	if (c->stage == FILES_ALLOWED && !has_allowed(c, f))
		return false;
	return is_noted(c, f);
}

static void step(struct call *c, struct files *f)
{
	if (c->stage == FILES_AGENT && !find_agent(c, f))
		return;
	if (c->stage >= FILES_SESSION && c->stage <= FILES_NOTED) {
		if (may_begin(c, f))
			ask_grant(c, f);
		return;
	}
	if (c->stage != FILES_RUN || (!f->grant && !f->error))
		return;
	if (f->error == ERR_NOT_FOUND && f->what == LIST)
		reply_nothing(c);
	else if (f->error)
		reply_err(c->request, f->error, NULL, f->message, 0);
	else
		start(c, f);
}

static void run(struct call *c, unsigned what, bool of_tenant)
{
	if (c->stage == FILES_START) {
		struct files *f = arena_zalloc(c->request->arena, sizeof *f);
		f->what = what;
		f->of_tenant = of_tenant;
		c->state = f;
		if (c->edge->draining) {
			reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
			return;
		}
		if (!read_query(c, f) ||
		    (what & (PUT | REMOVE) && !change_read_tag(c, &f->meant)))
			return;
		c->stage = of_tenant ? FILES_SESSION : FILES_AGENT;
	}
	/* A running transfer has put itself into c->state: nothing wakes it so. */
	if (c->on_end && c->on_end != on_end)
		return;
	step(c, c->state);
}

void files_list(struct call *c)
{
	run(c, LIST, false);
}

void files_remove(struct call *c)
{
	run(c, REMOVE, false);
}

void file_get(struct call *c)
{
	run(c, GET, false);
}

void file_put(struct call *c)
{
	run(c, PUT, false);
}

void skill_files_list(struct call *c)
{
	run(c, LIST, true);
}

void skill_files_remove(struct call *c)
{
	run(c, REMOVE, true);
}

void skill_file_get(struct call *c)
{
	run(c, GET, true);
}

void skill_file_put(struct call *c)
{
	run(c, PUT, true);
}

void agent_skills(struct call *c)
{
	run(c, SKILLS, false);
}
