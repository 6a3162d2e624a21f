/* SPDX-License-Identifier: Apache-2.0
 * Workspaces. The handle is the run's (or the transfer's) own, so that the end of one
 * never ends another's jails. */
#include "supervisor/workspaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/disk_quota.h"
#include "common/list.h"
#include "common/log.h"
#include "proto/packet.h"
#include "supervisor/children.h"
#include "supervisor/identity.h"
#include "supervisor/live.h"
#include "supervisor/project_quota.h"
#include "supervisor/sup.h"
#include "supervisor/trash.h"

#define MEMORY_BYTES (1ull << 30)
#define PROCESSES 64
#define TIMEOUT_MS 600000
/* Of what brings files in and out: slow clients are served too. */
#define TRANSFER_MEMORY_BYTES (256ull << 20)
#define TRANSFER_PROCESSES 4
#define TRANSFER_TIMEOUT_MS 3600000

/* Who uses which. */
struct use {
	struct list node;
	struct child *child;
	uint64_t handle;
	struct workspace_place place;
	bool is_project; /* the file system counts it */
};

static struct list uses = {&uses, &uses};
static uint64_t last_handle;

/* ---- directories */

/* One level, of ours or its tenant's, who alone may read it; -1 and errno. What is there
 * and no directory is refused: it would be somebody's trick. */
static int enter(int at, const char *name, mode_t mode)
{
	if (at < 0 || (mkdirat(at, name, mode) && errno != EEXIST))
		return -1;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 || errno != EACCES
		       ? fd
		       : openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int workspaces_open_all(const struct sup *s)
{
	AUTO(auto_close)
	int state = open(s->config.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return enter(state, "workspaces", 0711);
}

struct names {
	char tenant[24], agent[UUID_TEXT_LEN + 4], session[UUID_TEXT_LEN + 1];
	bool is_session;
};

static struct names names_of(const struct workspace_place *p)
{
	struct names n = {.is_session = !uuid_is_nil(p->session)};
	snprintf(n.tenant, sizeof n.tenant, "%lld", (long long)p->tenant);
	if (uuid_is_nil(p->agent))
		strcpy(n.agent, WORKSPACES_SKILLS);
	else
		uuid_format(p->agent, n.agent);
	if (n.is_session) {
		strcat(n.agent, ".s");
		uuid_format(p->session, n.session);
	}
	return n;
}

/* The directory, open; -1 and errno. path gets its absolute name. */
static int open_workspace(const struct sup *s, const struct workspace_place *p,
			  char *path, size_t size)
{
	struct names n = names_of(p);
	char base[PATH_MAX];
	if (!realpath(s->config.state_dir, base))
		return -1;
	if ((size_t)snprintf(path, size, "%s/workspaces/%s/%s%s%s", base, n.tenant,
			     n.agent, n.is_session ? "/" : "", n.session) >= size) {
		errno = ENAMETOOLONG;
		return -1;
	}
	AUTO(auto_close) int all = workspaces_open_all(s);
	AUTO(auto_close) int tenant = enter(all, n.tenant, 0711);
	/* Where it will be its tenant's we may pass through it, to look for skills. */
	mode_t mode = s->tenant_uids ? 0710 : 0700;
	if (!n.is_session)
		return enter(tenant, n.agent, mode);
	AUTO(auto_close) int agent = enter(tenant, n.agent, 0711);
	return enter(agent, n.session, mode);
}

static uint64_t least(uint64_t asked, long most)
{
	return asked && asked < (uint64_t)most ? asked : (uint64_t)most;
}

static bool is_same(const struct workspace_place *a, const struct workspace_place *b)
{
	return a->tenant == b->tenant && uuid_eq(a->agent, b->agent) &&
	       uuid_eq(a->session, b->session);
}

/* Whether the file system counts it. Only an owner may make a directory a project, so
 * that it is ours for a moment; not while jails are in it, for which it stays as it was.
 */
static bool set_project(const struct sup *s, const struct workspace_place *p, int fd,
			const struct wire_grant *m)
{
	if (disk_quota_kind(fd) == DISK_QUOTA_NONE)
		return false;
	list_each (n, &uses) {
		const struct use *u = list_entry(n, struct use, node);
		if (is_same(&u->place, p))
			return u->is_project;
	}
	if (s->tenant_uids && fchownat(fd, "", s->uid, s->gid, AT_EMPTY_PATH))
		return false;
	AUTO(auto_close)
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return own >= 0 && project_quota_set(own, m->quota_bytes, m->quota_files) ==
				   PROJECT_QUOTA_SET;
}

/* What may be used of it, but the limits of its jails. */
static int make(const struct sup *s, const struct workspace_place *p, uint64_t most_bytes,
		uint64_t most_files, struct wire_grant *m, char *path, size_t size)
{
	struct stat st;
	AUTO(auto_close) int fd = open_workspace(s, p, path, size);
	uint32_t uid = identity_of_tenant(p->tenant);
	if (fd < 0)
		return -1;
	m->quota_bytes = least(most_bytes, s->config.workspace_bytes);
	m->quota_files = least(most_files, s->config.workspace_files);
	if (set_project(s, p, fd, m))
		m->quota_bytes = m->quota_files = 0;
	if (fstat(fd, &st) || (s->tenant_uids && st.st_uid != uid &&
			       fchownat(fd, "", uid, s->gid, AT_EMPTY_PATH)))
		return -1;
	m->workspace = slice_str(path);
	m->dev = st.st_dev;
	m->ino = st.st_ino;
	m->uid = uid;
	m->file_bytes = LIMIT_FILE_BYTES;
	return 0;
}

/* ---- skills */

/* Whether there may be a directory with directories in it. A file system that counts them
 * among a directory's links says that there are none. */
static bool may_hold_skills(const char *path)
{
	struct stat st;
	if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW))
		return errno == EACCES;
	return S_ISDIR(st.st_mode) && st.st_nlink != 2;
}

/* By the state directory's name, which may be relative; false: it is too long. */
static bool path_of(const struct sup *s, const struct workspace_place *p,
		    const char *tail, char out[PATH_MAX])
{
	struct names n = names_of(p);
	int len =
		snprintf(out, PATH_MAX, "%s/workspaces/%s/%s%s%s%s", s->config.state_dir,
			 n.tenant, n.agent, n.is_session ? "/" : "", n.session, tail);
	return len < PATH_MAX;
}

static bool has_skills_dir(const struct sup *s)
{
	return s->config.skills_dir && *s->config.skills_dir;
}

uint32_t workspaces_skills(const struct sup *s, const struct lq_run *r)
{
	char path[PATH_MAX];
	struct workspace_place p = {.tenant = lq_run_tenant(r), .agent = lq_run_agent(r)};
	uint32_t found = 0;
	for (int by_session = 0; by_session < 2; by_session++) {
		if (by_session)
			p.session = lq_run_session(r);
		if (path_of(s, &p, "/skills", path) && may_hold_skills(path))
			found |= SKILLS_WORKSPACE;
	}
	p.agent = p.session = (struct uuid){{0}};
	if (path_of(s, &p, "", path) && may_hold_skills(path))
		found |= SKILLS_TENANT;
	if (has_skills_dir(s) && may_hold_skills(s->config.skills_dir))
		found |= SKILLS_NODE;
	return found;
}

/* ---- grants */

static struct use *use_of(const struct child *c, uint64_t handle)
{
	list_each (n, &uses) {
		struct use *u = list_entry(n, struct use, node);
		if (u->child == c && u->handle == handle)
			return u;
	}
	return NULL;
}

/* The directories of skills that jails of the tenant may read, as they are now. */
struct skills_dirs {
	char tenant[PATH_MAX], node[PATH_MAX];
};

/* False: there is none. out gets its real name. */
static bool find_directory(const char *path, char out[PATH_MAX], uint64_t *dev,
			   uint64_t *ino)
{
	struct stat st;
	if (!realpath(path, out) || strlen(out) > LIMIT_PATH ||
	    fstatat(AT_FDCWD, out, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode))
		return false;
	*dev = st.st_dev;
	*ino = st.st_ino;
	return true;
}

static void add_skills(const struct sup *s, int64_t tenant, struct wire_grant *m,
		       struct skills_dirs *d)
{
	char path[PATH_MAX];
	struct workspace_place p = {.tenant = tenant};
	if (path_of(s, &p, "", path) &&
	    find_directory(path, d->tenant, &m->skills_tenant_dev, &m->skills_tenant_ino))
		m->skills_tenant = slice_str(d->tenant);
	if (has_skills_dir(s) && find_directory(s->config.skills_dir, d->node,
						&m->skills_node_dev, &m->skills_node_ino))
		m->skills_node = slice_str(d->node);
}

/* ERR_OK and its handle. The launcher reads of it before whoever asked does. */
static enum err grant(struct child *c, const struct workspace_place *p,
		      struct wire_grant *m)
{
	static struct skills_dirs dirs;
	m->handle = ++last_handle;
	m->skills_tenant = m->skills_node = SLICE("");
	add_skills(c->sup, p->tenant, m, &dirs);
	if (c->launcher_control < 0 ||
	    packet_send(c->launcher_control, WIRE_GRANT, m, NULL, 0))
		return ERR_UNAVAILABLE;
	struct use *u = xcalloc(1, sizeof *u);
	*u = (struct use){.child = c,
			  .handle = m->handle,
			  .place = *p,
			  .is_project = !m->quota_bytes && !m->quota_files};
	list_push(&uses, &u->node);
	return ERR_OK;
}

static void take_back(struct child *c, uint64_t handle)
{
	struct wire_revoke m = {.handle = handle};
	struct use *u = use_of(c, handle);
	if (!u)
		return;
	if (c->launcher_control >= 0)
		packet_send(c->launcher_control, WIRE_REVOKE, &m, NULL, 0);
	list_remove(&u->node);
	free(u);
}

void workspaces_forget(struct child *c)
{
	list_each (n, &uses) {
		struct use *u = list_entry(n, struct use, node);
		if (u->child != c)
			continue;
		list_remove(&u->node);
		free(u);
	}
}

static void log_refused(const struct workspace_place *p, const char *path)
{
	log_error("workspace-refused", "tenant=%lld path=\"%s\" message=\"%s\"",
		  (long long)p->tenant, path, strerror(errno));
}

void workspaces_grant(struct child *w, const struct lq_run *r,
		      const struct wire_workspace_ask *ask)
{
	char path[LIMIT_PATH + 1] = "";
	struct wire_grant g = {.memory_bytes = MEMORY_BYTES,
			       .processes = PROCESSES,
			       .timeout_ms = TIMEOUT_MS};
	struct live *l = live_find(w->sup, lq_run_id(r));
	struct wire_workspace m = {.run = lq_run_id(r), .fence = ask->fence};
	struct workspace_place p = {.tenant = lq_run_tenant(r), .agent = lq_run_agent(r)};
	if (ask->by_session)
		p.session = lq_run_session(r);
	if (l->workspace) {
		m.handle = l->workspace;
	} else if (make(w->sup, &p, ask->most_bytes, ask->most_files, &g, path,
			sizeof path)) {
		log_refused(&p, path);
		m.error = SLICE("the agent's workspace could not be made on this node");
	} else if (grant(w, &p, &g)) {
		m.error = SLICE("the launcher of tools does not answer");
	} else {
		m.handle = l->workspace = g.handle;
	}
	child_send(w, WIRE_WORKSPACE, &m);
}

void workspaces_take_back(struct child *w, const struct lq_run *r)
{
	struct live *l = live_find(w->sup, lq_run_id(r));
	if (!l || !l->workspace)
		return;
	take_back(w, l->workspace);
	l->workspace = 0;
}

static bool is_there(const struct sup *s, const struct workspace_place *p)
{
	char path[PATH_MAX];
	struct stat st;
	return path_of(s, p, "", path) &&
	       fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void workspaces_lend(struct child *edge, const struct wire_files_ask *ask)
{
	char path[LIMIT_PATH + 1] = "";
	struct wire_grant g = {.memory_bytes = TRANSFER_MEMORY_BYTES,
			       .processes = TRANSFER_PROCESSES,
			       .timeout_ms = TRANSFER_TIMEOUT_MS};
	struct wire_files m = {.req = ask->req};
	struct workspace_place p = {ask->tenant, ask->agent, ask->session};
	enum err e = ERR_OK;
	bool of_tenant = uuid_is_nil(p.agent);
	if (of_tenant && !ask->makes && !is_there(edge->sup, &p)) {
		e = ERR_NOT_FOUND;
		m.message = SLICE("this tenant has no skills yet");
	} else if (make(edge->sup, &p, ask->most_bytes, ask->most_files, &g, path,
			sizeof path)) {
		log_refused(&p, path);
		e = ERR_UNAVAILABLE;
		m.message = SLICE("the workspace could not be made on this node");
	} else if (grant(edge, &p, &g)) {
		e = ERR_UNAVAILABLE;
		m.message = SLICE("files cannot be reached at the moment; try again");
	}
	m.error = e ? slice_str(err_code(e)) : SLICE("");
	m.handle = e ? 0 : g.handle;
	child_send(edge, WIRE_FILES, &m);
}

void workspaces_return(struct child *edge, uint64_t handle)
{
	take_back(edge, handle);
}

/* ---- removal */

bool workspaces_is_used(const struct workspace_place *p)
{
	list_each (n, &uses) {
		const struct workspace_place *u = &list_entry(n, struct use, node)->place;
		bool beneath = uuid_is_nil(p->session) && u->tenant == p->tenant &&
			       uuid_eq(u->agent, p->agent);
		if (beneath || is_same(u, p))
			return true;
	}
	return false;
}

/* ERR_NOT_FOUND when there is none. */
static enum err to_trash(int all, int from, const char *name)
{
	if (from < 0)
		return errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE;
	if (trash_take(all, from, name) == 0)
		return ERR_OK;
	return errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE;
}

static int look_in(int at, const char *name)
{
	return at < 0 ? -1
		      : openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

enum err workspaces_remove(struct sup *s, const struct workspace_place *p)
{
	struct names n = names_of(p);
	if (workspaces_is_used(p))
		return ERR_CONFLICT;
	AUTO(auto_close) int all = workspaces_open_all(s);
	AUTO(auto_close) int tenant = look_in(all, n.tenant);
	enum err e;
	if (n.is_session) {
		AUTO(auto_close) int agent = look_in(tenant, n.agent);
		e = to_trash(all, agent, n.session);
	} else {
		char sessions[sizeof n.agent];
		snprintf(sessions, sizeof sessions, "%.36s.s", n.agent);
		e = to_trash(all, tenant, n.agent);
		enum err also = to_trash(all, tenant, sessions);
		e = e == ERR_NOT_FOUND || also == ERR_UNAVAILABLE ? also : e;
	}
	if (!e)
		trash_empty(s);
	return e;
}
