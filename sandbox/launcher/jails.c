/* SPDX-License-Identifier: Apache-2.0
 * From a request to a jail, and to its end. */
#include "sandbox/launcher/jails.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/packet.h"
#include "sandbox/launcher/grants.h"
#include "sandbox/launcher/request.h"
#include "sandbox/launcher/rooms.h"
#include "sandbox/launcher/waiting.h"
#include "sandbox/launcher/watch.h"

#define WATCH_MS 100
#define TRIES_MOST 3 /* to count a workspace in which others write */
#define TRIAL_BYTES (32ull << 20)
#define SENTENCE ROOMS_TEXT /* of an answer: its message takes no more */

struct live {
	struct list node;
	uint64_t id, handle, memory_bytes;
	struct jail jail;
	struct cgroup_group *group; /* NULL: there are none */
	int64_t began_us, due_us;
	enum jail_end why; /* we ended it; 0: we did not */
	bool unheard;      /* its worker was told that there is none */
	struct room *room; /* NULL: it does not write, or the file system counts */
	/* What the workspace may hold at most: its quota, or what was in it already. */
	uint64_t most_bytes, most_files;
	uint64_t reserved_bytes;
	bool was_odd;        /* too deep or closed: for its program to mend */
	char said[SENTENCE]; /* why it was ended */
};

/* An answer, until the worker's socket takes it. */
struct owed {
	struct list node;
	enum wire_id id;
	union {
		struct wire_jail_refused refused;
		struct wire_jail_closed closed;
	} m;
	char text[SENTENCE];
};

/* ---- groups */

/* NULL and a way that leads nowhere: there are none. False: it is refused, errno. */
static bool take_group(struct jails *j, uint64_t memory_bytes, uint32_t processes,
		       struct cgroup_group **g, struct cgroup_way *way)
{
	*g = NULL;
	*way = (struct cgroup_way){-1, {-1, -1}};
	if (j->groups.base.kind != CGROUP_NONE)
		*g = cgroup_take(&j->groups, memory_bytes, processes, way);
	return *g || j->groups.base.kind == CGROUP_NONE;
}

/* Whether a jail can live in what the supervisor made; if not, there are no groups. */
static void try_groups(struct jails *j)
{
	char *why = j->level.cgroup_why;
	size_t size = sizeof j->level.cgroup_why;
	struct cgroup_group *g;
	struct cgroup_way way;
	if (!take_group(j, TRIAL_BYTES, 4, &g, &way)) {
		snprintf(why, size, "no group can be made: %s", strerrordesc_np(errno));
		cgroup_pool_close(&j->groups);
		return;
	}
	bool works = g && jail_group_works(&j->host, &way, why, size);
	cgroup_way_close(&way);
	if (g)
		cgroup_give_back(&j->groups, g);
	if (!works)
		cgroup_pool_close(&j->groups);
}

void jails_init(struct jails *j, int worker, const struct cgroup_base *base,
		const char *prefix)
{
	*j = (struct jails){.worker = worker};
	list_init(&j->live);
	list_init(&j->grants);
	list_init(&j->owed);
	list_init(&j->rooms);
	list_init(&j->waiting);
	jail_host_prepare(&j->host);
	if (cgroup_pool_open(&j->groups, base, prefix))
		snprintf(j->level.cgroup_why, sizeof j->level.cgroup_why,
			 "its directory cannot be opened: %s", strerrordesc_np(errno));
	try_groups(j);
	j->level.user_namespace = j->host.identity == JAIL_USER_NAMESPACE;
	j->level.tenant_uid = j->host.identity == JAIL_SWITCH_UID;
	j->level.proc = j->host.has_proc;
	j->level.landlock = (uint32_t)j->host.landlock;
	j->level.cgroup = j->groups.base.kind;
	j->level.cpu = j->groups.base.cpu;
}

/* ---- answers */

bool jails_are_owed(const struct jails *j)
{
	return !list_is_empty(&j->owed);
}

static enum err pay(struct jails *j)
{
	while (!list_is_empty(&j->owed)) {
		struct owed *o = list_entry(j->owed.next, struct owed, node);
		enum err e = packet_send(j->worker, o->id, &o->m, NULL, 0);
		if (e == ERR_UNAVAILABLE)
			return ERR_OK;
		list_remove(&o->node);
		free(o);
		if (e)
			return e;
	}
	return ERR_OK;
}

static struct owed *owe(struct jails *j, enum wire_id id, const char *text)
{
	struct owed *o = xcalloc(1, sizeof *o);
	o->id = id;
	snprintf(o->text, sizeof o->text, "%s", text);
	list_push(&j->owed, &o->node);
	return o;
}

static enum err refuse(struct jails *j, uint64_t id, const char *message)
{
	struct owed *o = owe(j, WIRE_JAIL_REFUSED, message);
	o->m.refused =
		(struct wire_jail_refused){.id = id, .message = slice_str(o->text)};
	return pay(j);
}

/* Over its quota. */
static enum err refuse_full(struct jails *j, uint64_t id, const char *message)
{
	struct owed *o = owe(j, WIRE_JAIL_REFUSED, message);
	o->m.refused = (struct wire_jail_refused){
		.id = id, .message = slice_str(o->text), .full = true};
	return pay(j);
}

/* ---- the start */

static void leave_group(struct jails *j, struct cgroup_group *g)
{
	if (g)
		cgroup_give_back(&j->groups, g);
}

static void lose(struct jails *j, struct jail *spare, struct cgroup_group *g)
{
	struct jail_report r;
	jail_kill(spare);
	jail_wait(spare, &r);
	leave_group(j, g);
}

static void lose_spare(struct jails *j)
{
	if (j->has_spare)
		lose(j, &j->spare, j->spare_group);
	j->has_spare = false;
}

bool jails_want_spare(const struct jails *j)
{
	return !list_is_empty(&j->grants) && !j->has_spare;
}

void jails_make_spare(struct jails *j)
{
	char err[SENTENCE];
	struct cgroup_way way;
	if (!take_group(j, TRIAL_BYTES, 4, &j->spare_group, &way))
		return;
	const struct cgroup_way *g = j->spare_group ? &way : NULL;
	j->has_spare = jail_birth(&j->host, g, &j->spare, err, sizeof err) == 0;
	cgroup_way_close(&way);
	if (!j->has_spare)
		leave_group(j, j->spare_group);
}

struct pipes {
	int ours[3], theirs[3];
};

static void close_all(const int *fds)
{
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int open_pipes(struct pipes *p)
{
	for (int i = 0; i < 3; i++)
		p->ours[i] = p->theirs[i] = -1;
	for (int i = 0; i < 3; i++) {
		int ends[2];
		if (pipe2(ends, O_CLOEXEC)) {
			close_all(p->ours);
			close_all(p->theirs);
			return -1;
		}
		p->ours[i] = ends[i == 0];
		p->theirs[i] = ends[i != 0];
	}
	return 0;
}

/* One that is full already may be worked in as long as it gets no fuller: how else would
 * something be removed? */
static void enter_room(struct live *l, struct room *r, const struct wire_jail_open *m,
		       uint64_t file_bytes)
{
	if (!r)
		return;
	if (m->kind == JAIL_KIND_IN)
		l->reserved_bytes = file_bytes < room_left(r) ? file_bytes : room_left(r);
	r->reserved_bytes += l->reserved_bytes;
	l->was_odd = r->sum.too_deep || r->sum.closed;
	l->room = r;
	l->most_bytes = r->sum.bytes > r->most_bytes ? r->sum.bytes : r->most_bytes;
	l->most_files = r->sum.files > r->most_files ? r->sum.files : r->most_files;
	r->jails++;
}

static enum err announce(struct jails *j, struct live *l, const int *fds)
{
	struct wire_jail_opened m = {.id = l->id};
	enum err e = packet_send(j->worker, WIRE_JAIL_OPENED, &m, fds, 3);
	if (!e)
		return ERR_OK;
	jail_kill(&l->jail);
	l->why = JAIL_END_KILLED;
	l->unheard = true;
	return e == ERR_UNAVAILABLE
		       ? refuse(j, l->id, "the worker was too busy to take it; try again")
		       : e;
}

/* In a group of its own, where there are groups. */
static int start_cold(struct jails *j, struct jail_spec *s, struct live *l, char *err,
		      size_t err_size)
{
	struct cgroup_way way;
	if (!take_group(j, l->memory_bytes, s->limits.processes, &l->group, &way)) {
		snprintf(err, err_size, "no control group for it: %s; try again",
			 strerrordesc_np(errno));
		return -1;
	}
	s->group = l->group ? &way : NULL;
	int rv = jail_start(&j->host, s, &l->jail, err, err_size);
	cgroup_way_close(&way);
	if (rv)
		leave_group(j, l->group);
	return rv;
}

/* The spare one, if there is, if it still lives, and if its group can be what is asked.
 */
static int start(struct jails *j, struct jail_spec *s, struct live *l, char *err,
		 size_t err_size)
{
	if (!j->has_spare)
		return start_cold(j, s, l, err, err_size);
	j->has_spare = false;
	l->jail = j->spare;
	l->group = j->spare_group;
	if ((!l->group || cgroup_limit(&j->groups, l->group, l->memory_bytes,
				       s->limits.processes) == 0) &&
	    jail_use(&l->jail, s) == 0)
		return 0;
	lose(j, &l->jail, l->group);
	return start_cold(j, s, l, err, err_size);
}

/* What has its count, or needs none. */
static enum err open_now(struct jails *j, const struct wire_jail_open *m, struct room *r)
{
	char *argv[REQUEST_WORDS + 1], *env[REQUEST_WORDS + 1], cwd[LIMIT_PATH + 32],
		err[SENTENCE];
	const struct grant *g = grants_find(&j->grants, m->handle);
	const char *why = request_check(m, g, j->count, argv, env);
	bool is_exec = m->kind == JAIL_KIND_EXEC;
	struct pipes p;
	if (why)
		return refuse(j, m->id, why);
	if (r && room_is_full(r, err) && (!is_exec || r->sum.stopped))
		return refuse_full(j, m->id, err);
	if (open_pipes(&p))
		return refuse(j, m->id, "no descriptors are left for a jail; try again");
	snprintf(cwd, sizeof cwd, "/workspace%s%.*s", m->cwd.n ? "/" : "",
		 SLICE_ARG(m->cwd));
	struct jail_spec s = {.workspace = g->workspace,
			      .workspace_dev = (dev_t)g->dev,
			      .workspace_ino = (ino_t)g->ino,
			      .shared = {{g->skills_tenant, (dev_t)g->skills_tenant_dev,
					  (ino_t)g->skills_tenant_ino},
					 {g->skills_node, (dev_t)g->skills_node_dev,
					  (ino_t)g->skills_node_ino}},
			      .uid = g->uid,
			      .cwd = cwd,
			      .argv = is_exec ? argv : NULL,
			      .env = is_exec ? env : NULL,
			      .run = request_run,
			      .arg = request_arg(m->kind, r ? room_left(r) : UINT64_MAX),
			      .in = p.theirs[0],
			      .out = p.theirs[1],
			      .err = p.theirs[2],
			      .limits = request_limits(m, g)};
	struct live *l = xcalloc(1, sizeof *l);
	l->id = m->id;
	l->handle = m->handle;
	l->memory_bytes = request_within(m->memory_bytes, g->memory_bytes);
	l->began_us = clock_mono_us();
	l->due_us = l->began_us +
		    (int64_t)request_within(m->timeout_ms, g->timeout_ms) * 1000;
	enum err e;
	if (start(j, &s, l, err, sizeof err)) {
		free(l);
		e = refuse(j, m->id, err);
	} else {
		list_push(&j->live, &l->node);
		j->count++;
		enter_room(l, r, m, s.limits.file_bytes);
		e = announce(j, l, p.ours);
	}
	close_all(p.ours);
	close_all(p.theirs);
	return e;
}

enum err jails_open(struct jails *j, const struct wire_jail_open *m)
{
	const struct grant *g = grants_find(&j->grants, m->handle);
	if (!g || !g->quota_bytes || !request_writes(m->kind) || j->count >= LIMIT_JAILS)
		return open_now(j, m, NULL);
	struct room *r = room_of(&j->rooms, g);
	char text[ROOMS_TEXT];
	/* What somebody else removed meanwhile shall not be held against it. */
	if (room_is_counted(r) && !room_is_full(r, text))
		return open_now(j, m, r);
	if (room_count(r, &j->host, g))
		return refuse(j, m->id, "no process is left for a count; try again");
	waiting_add(&j->waiting, m, r);
	r->jails++;
	j->count++;
	return ERR_OK;
}

/* ---- the end */

static void end(const struct jails *j, struct live *l, enum jail_end why)
{
	if (l->why)
		return;
	l->why = why;
	jail_kill(&l->jail);
	if (l->group)
		cgroup_kill(&j->groups, l->group);
}

/* Those that have not begun: `id`, or all of a grant, or (both 0) all. */
static void give_up(struct jails *j, uint64_t id, uint64_t handle)
{
	list_each (n, &j->waiting) {
		struct waiting *w = list_entry(n, struct waiting, node);
		if ((id && w->open.id != id) || (handle && w->open.handle != handle))
			continue;
		refuse(j, w->open.id, "it was ended before it began");
		w->room->jails--;
		j->count--;
		waiting_free(w);
	}
}

void jails_kill(struct jails *j, uint64_t id)
{
	give_up(j, id, 0);
	list_each (n, &j->live)
		if (list_entry(n, struct live, node)->id == id)
			end(j, list_entry(n, struct live, node), JAIL_END_KILLED);
}

void jails_revoke(struct jails *j, uint64_t handle)
{
	give_up(j, 0, handle);
	list_each (n, &j->live)
		if (list_entry(n, struct live, node)->handle == handle)
			end(j, list_entry(n, struct live, node), JAIL_END_KILLED);
	grants_take(&j->grants, handle);
	if (list_is_empty(&j->grants))
		lose_spare(j);
}

void jails_kill_all(struct jails *j)
{
	give_up(j, 0, 0);
	list_each (n, &j->live)
		end(j, list_entry(n, struct live, node), JAIL_END_KILLED);
}

static enum jail_end end_of(const struct live *l, const struct jail_report *r)
{
	static const enum jail_end by_report[] = {
		[JAIL_REFUSED] = JAIL_END_FAILED,
		[JAIL_EXEC_FAILED] = JAIL_END_NOT_EXECUTED,
		[JAIL_EXITED] = JAIL_END_EXITED,
		[JAIL_SIGNALLED] = JAIL_END_SIGNALLED,
		[JAIL_NO_DIRECTORY] = JAIL_END_NO_DIRECTORY};
	if (l->why)
		return l->why;
	return r->kind < ARRAY_LEN(by_report) ? by_report[r->kind] : JAIL_END_FAILED;
}

static void close_jail(struct jails *j, struct live *l)
{
	struct jail_report r;
	jail_wait(&l->jail, &r);
	if (l->group && !l->why && cgroup_ran_out(&j->groups, l->group))
		l->why = JAIL_END_OUT_OF_MEMORY;
	leave_group(j, l->group);
	if (end_of(l, &r) == JAIL_END_FAILED)
		log_error("jail-failed", "message=\"%s\"", r.text);
	if (!l->unheard) {
		struct owed *o = owe(j, WIRE_JAIL_CLOSED,
				     r.kind == JAIL_REFUSED ? r.text : l->said);
		o->m.closed = (struct wire_jail_closed){
			.id = l->id,
			.end = end_of(l, &r),
			.number = (uint32_t)r.number,
			.message = slice_str(o->text),
			.wall_us = (uint64_t)(clock_mono_us() - l->began_us),
			.user_us = r.user_us,
			.system_us = r.system_us,
			.rss_peak_bytes = r.rss_peak_bytes};
	}
	if (l->room) {
		l->room->jails--;
		l->room->reserved_bytes -= l->reserved_bytes;
		room_forget_count(l->room);
	}
	list_remove(&l->node);
	free(l);
	j->count--;
}

/* ---- quotas */

static void judge(struct jails *j, struct live *l)
{
	const struct tree_sum *s = &l->room->sum;
	bool is_odd = !l->was_odd && (s->too_deep || s->closed);
	if (s->bytes <= l->most_bytes && s->files <= l->most_files && !is_odd)
		return;
	if (!room_is_full(l->room, l->said))
		return;
	end(j, l, JAIL_END_QUOTA);
}

/* A count that somebody spoilt meanwhile is made anew, a few times. */
static enum err begin_waiting(struct jails *j, struct room *r)
{
	enum err e = ERR_OK;
	list_each (n, &j->waiting) {
		struct waiting *w = list_entry(n, struct waiting, node);
		const struct grant *g = grants_find(&j->grants, w->open.handle);
		if (w->room != r)
			continue;
		if (g && !room_is_counted(r) && w->tries++ < TRIES_MOST &&
		    !room_count(r, &j->host, g))
			continue;
		r->jails--;
		j->count--;
		if (!e)
			e = open_now(j, &w->open, r);
		waiting_free(w);
	}
	return e;
}

static enum err look_at_rooms(struct jails *j)
{
	enum err e = ERR_OK;
	rooms_look(&j->rooms);
	for (struct room *r; !e && (r = rooms_next(&j->rooms));) {
		list_each (n, &j->live)
			if (list_entry(n, struct live, node)->room == r)
				judge(j, list_entry(n, struct live, node));
		e = begin_waiting(j, r);
	}
	list_each (n, &j->live) {
		const struct live *l = list_entry(n, struct live, node);
		const struct grant *g = grants_find(&j->grants, l->handle);
		if (l->room && g && room_is_due(l->room))
			room_count(l->room, &j->host, g);
	}
	return e;
}

unsigned jails_poll(const struct jails *j, struct pollfd *p)
{
	unsigned n = 0;
	list_each (at, &j->live)
		p[n++] = (struct pollfd){
			.fd = list_entry(at, struct live, node)->jail.pidfd,
			.events = POLLIN};
	return n + rooms_poll(&j->rooms, p + n, JAILS_POLL_MOST - n);
}

int jails_patience_ms(const struct jails *j)
{
	int64_t now_us = clock_mono_us(), least_us = WATCH_MS * 1000;
	if (list_is_empty(&j->live))
		return -1;
	list_each (n, &j->live) {
		const struct live *l = list_entry(n, struct live, node);
		if (!l->why && l->due_us - now_us < least_us)
			least_us = l->due_us - now_us;
	}
	return least_us > 0 ? (int)(least_us / 1000 + 1) : 0;
}

static bool has_ended(const struct live *l)
{
	struct pollfd p = {.fd = l->jail.pidfd, .events = POLLIN};
	return poll(&p, 1, 0) > 0;
}

/* One file of its group, else a walk over /proc. */
static bool is_out_of_memory(const struct jails *j, const struct live *l)
{
	return l->group ? cgroup_ran_out(&j->groups, l->group)
			: watch_memory(l->jail.guard) > l->memory_bytes;
}

enum err jails_look(struct jails *j)
{
	int64_t now_us = clock_mono_us();
	bool watches = now_us - j->watched_us >= WATCH_MS * 1000;
	if (watches)
		j->watched_us = now_us;
	list_each (n, &j->live) { /* which allows the removal of n */
		struct live *l = list_entry(n, struct live, node);
		if (has_ended(l))
			close_jail(j, l);
		else if (now_us >= l->due_us)
			end(j, l, JAIL_END_TIMED_OUT);
		else if (watches && is_out_of_memory(j, l))
			end(j, l, JAIL_END_OUT_OF_MEMORY);
	}
	enum err e = look_at_rooms(j);
	return e ? e : pay(j);
}

void jails_fini(struct jails *j)
{
	lose_spare(j);
	jails_kill_all(j);
	list_each (n, &j->live) { /* which allows the removal of n */
		list_entry(n, struct live, node)->unheard = true;
		close_jail(j, list_entry(n, struct live, node));
	}
	cgroup_pool_close(&j->groups);
}
