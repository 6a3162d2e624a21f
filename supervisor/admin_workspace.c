/* SPDX-License-Identifier: Apache-2.0
 * Workspaces: listed with what they hold, and removed. A process of its own counts: a
 * question must not stop the runs for as long as a walk over everything takes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/loop.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_names.h"
#include "supervisor/sup.h"
#include "supervisor/sweep.h"
#include "supervisor/workspaces.h"

/* ---- workspace.list */

struct listing {
	struct ask *ask;
	int fd;
	struct loop_fd *watch;
	struct strbuf in;
	unsigned count;
	bool more;
};

static void end_listing(struct listing *l)
{
	struct ask *a = l->ask;
	loop_fd_free(l->watch);
	close(l->fd); /* which ends the other side at its next line */
	if (!ask_is_over(a)) {
		struct json_out *o = &a->json;
		json_arr_end(o);
		json_kv_bool(o, "more", l->more);
		ask_end(a);
	}
	strbuf_fini(&l->in);
	free(l);
	ask_release(a);
}

/* "tenant agent session bytes files", "-" for no session. */
static void take_line(struct listing *l, char *line)
{
	char agent[UUID_TEXT_LEN + 1], session[UUID_TEXT_LEN + 1];
	long long tenant;
	unsigned long long bytes, files;
	struct workspace_place p = {0};
	if (sscanf(line, "%lld %36s %36s %llu %llu", &tenant, agent, session, &bytes,
		   &files) != 5 ||
	    !uuid_parse(slice_str(agent), &p.agent))
		return;
	p.tenant = tenant;
	bool by_session = uuid_parse(slice_str(session), &p.session);
	struct json_out *o = &l->ask->json;
	json_obj(o);
	json_kv_i64(o, "tenant", tenant);
	json_kv_cstr(o, "agent", agent);
	json_kv_cstr(o, "session", by_session ? session : NULL);
	json_kv_i64(o, "bytes", (int64_t)bytes);
	json_kv_i64(o, "files", (int64_t)files);
	json_kv_bool(o, "used", workspaces_is_used(&p));
	json_obj_end(o);
	l->count++;
}

static void on_lines(void *arg, int what)
{
	struct listing *l = arg;
	(void)what;
	ssize_t n = read(l->fd, strbuf_reserve(&l->in, 4096), 4096);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		l->in.n += (size_t)n;
	while (!ask_is_over(l->ask) && !l->more) {
		char *end = l->in.n ? memchr(l->in.p, '\n', l->in.n) : NULL;
		if (!end)
			break;
		*end = 0;
		l->more = l->count == ask_limit(l->ask);
		if (!l->more)
			take_line(l, l->in.p);
		strbuf_eat(&l->in, (size_t)(end - l->in.p) + 1);
	}
	if (n <= 0 || l->more || ask_is_over(l->ask))
		end_listing(l);
}

static void list(struct ask *a)
{
	int ends[2];
	char wanted[80] = "", agent[UUID_TEXT_LEN + 1];
	uuid_format(a->names.agent, agent);
	if (a->names.has_tenant)
		snprintf(wanted, sizeof wanted, "%lld%s%s", (long long)a->names.tenant,
			 a->names.has_agent ? "/" : "", a->names.has_agent ? agent : "");
	AUTO(auto_close) int all = workspaces_open_all(a->sup);
	if (all < 0 || pipe2(ends, O_CLOEXEC)) {
		ask_fail(a, ERR_UNAVAILABLE, "the workspaces cannot be opened: %s",
			 strerror(errno));
		return;
	}
	int rv = sweep_start(a->sup, SWEEP_LIST, wanted, all, ends[1]) < 0;
	close(ends[1]);
	if (rv) {
		close(ends[0]);
		ask_fail(a, ERR_UNAVAILABLE, "terabits-sweep cannot be started: %s",
			 strerror(errno));
		return;
	}
	struct listing *l = xcalloc(1, sizeof *l);
	*l = (struct listing){.ask = a, .fd = ends[0]};
	fcntl(l->fd, F_SETFL, O_NONBLOCK);
	l->watch = loop_fd_new(a->sup->loop, l->fd, LOOP_READ, on_lines, l);
	ask_hold(a);
	struct json_out *o = ask_reply(a);
	json_key(o, "workspaces");
	json_arr(o);
}

void admin_workspace_list(struct ask *a)
{
	names_find(a, names_given(a), list);
}

/* ---- workspace.remove */

static void remove_it(struct ask *a)
{
	char agent[UUID_TEXT_LEN + 1], session[UUID_TEXT_LEN + 1] = "";
	struct workspace_place p = {.tenant = a->names.tenant, .agent = a->names.agent};
	if (a->args[ARG_SESSION].given) {
		p.session = a->names.session;
		uuid_format(p.session, session);
	}
	uuid_format(p.agent, agent);
	ask_audit(a, p.tenant, "workspace:%s%s%s", agent, *session ? "/" : "", session);
	enum err e = workspaces_remove(a->sup, &p);
	if (e == ERR_NOT_FOUND)
		ask_fail(a, e, "there is no such workspace on this node");
	else if (e == ERR_CONFLICT)
		ask_fail(a, e,
			 "a run or a transfer of files uses it now; cancel that, or wait "
			 "for its end");
	else if (e)
		ask_fail(a, e, "the workspace could not be removed: %s", strerror(errno));
	if (e)
		return;
	struct json_out *o = ask_reply(a);
	json_kv_cstr(o, "agent", agent);
	json_kv_cstr(o, "session", *session ? session : NULL);
	ask_end(a);
}

void admin_workspace_remove(struct ask *a)
{
	names_find(a, a->args[ARG_SESSION].given ? NAMES_SESSION : NAMES_AGENT,
		   remove_it);
}
