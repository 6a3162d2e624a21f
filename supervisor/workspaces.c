/* SPDX-License-Identifier: Apache-2.0
 * Workspaces. The handle is the run's own, so that the end of one run never ends
 * another's jails. */
#include "supervisor/workspaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "proto/packet.h"
#include "supervisor/children.h"
#include "supervisor/identity.h"
#include "supervisor/live.h"
#include "supervisor/sup.h"

#define MEMORY_BYTES (1ull << 30)
#define FILE_BYTES (256ull << 20)
#define PROCESSES 64
#define TIMEOUT_MS 600000

/* One level, of ours or its tenant's, who alone may read it; -1 and errno. What is there
 * and no directory is refused: it would be somebody's trick. */
static int enter(int at, const char *name, mode_t mode)
{
	if (mkdirat(at, name, mode) && errno != EEXIST)
		return -1;
	return openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The directory, open; -1 and errno. path gets its absolute name. */
static int open_workspace(const struct sup *s, int64_t tenant, struct uuid agent,
			  char *path, size_t size)
{
	char name[UUID_TEXT_LEN + 1], number[24], base[PATH_MAX];
	uuid_format(agent, name);
	snprintf(number, sizeof number, "%lld", (long long)tenant);
	if (!realpath(s->config.state_dir, base))
		return -1;
	if ((size_t)snprintf(path, size, "%s/workspaces/%s/%s", base, number, name) >=
	    size) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int state = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int all = state < 0 ? -1 : enter(state, "workspaces", 0711);
	int of_tenant = all < 0 ? -1 : enter(all, number, 0711);
	int fd = of_tenant < 0 ? -1 : enter(of_tenant, name, 0700);
	int e = errno;
	for (const int *p = (const int[]){state, all, of_tenant, -1}; p[0] >= 0; p++)
		close(*p);
	errno = e;
	return fd;
}

static int make(const struct child *w, const struct lq_run *r, struct wire_grant *m,
		char *path, size_t size)
{
	struct stat st;
	int fd = open_workspace(w->sup, lq_run_tenant(r), lq_run_agent(r), path, size);
	uint32_t uid = identity_of_tenant(lq_run_tenant(r));
	if (fd < 0)
		return -1;
	int rv = fstat(fd, &st);
	if (rv == 0 && w->sup->tenant_uids && st.st_uid != uid)
		rv = fchownat(fd, "", uid, uid, AT_EMPTY_PATH);
	close(fd);
	if (rv)
		return -1;
	*m = (struct wire_grant){.workspace = slice_str(path),
				 .dev = st.st_dev,
				 .ino = st.st_ino,
				 .uid = uid,
				 .memory_bytes = MEMORY_BYTES,
				 .file_bytes = FILE_BYTES,
				 .processes = PROCESSES,
				 .timeout_ms = TIMEOUT_MS};
	return 0;
}

void workspaces_grant(struct child *w, const struct lq_run *r, int64_t fence)
{
	static uint64_t last_handle;
	char path[LIMIT_PATH + 1];
	struct wire_grant grant;
	struct live *l = live_find(w->sup, lq_run_id(r));
	struct wire_workspace m = {.run = lq_run_id(r), .fence = fence};
	if (l->workspace) {
		m.handle = l->workspace;
	} else if (make(w, r, &grant, path, sizeof path)) {
		log_error("workspace-refused", "tenant=%lld path=\"%s\" message=\"%s\"",
			  (long long)lq_run_tenant(r), path, strerror(errno));
		m.error = SLICE("the agent's workspace could not be made on this node");
	} else {
		grant.handle = ++last_handle;
		/* Before the word to the worker: the launcher reads this first. */
		if (packet_send(w->launcher_control, WIRE_GRANT, &grant, NULL, 0))
			m.error = SLICE("the launcher of tools does not answer");
		else
			m.handle = l->workspace = grant.handle;
	}
	child_send(w, WIRE_WORKSPACE, &m);
}

void workspaces_take_back(struct child *w, const struct lq_run *r)
{
	struct live *l = live_find(w->sup, lq_run_id(r));
	if (!l || !l->workspace)
		return;
	struct wire_revoke m = {.handle = l->workspace};
	if (w->launcher_control >= 0)
		packet_send(w->launcher_control, WIRE_REVOKE, &m, NULL, 0);
	l->workspace = 0;
}
