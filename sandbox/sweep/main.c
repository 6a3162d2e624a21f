/* SPDX-License-Identifier: Apache-2.0
 * terabits-sweep: deletes what is in the trash, or counts workspaces. Started by
 * terabitsd, which must not wait for a directory of a million files.
 *
 * Owns: nothing. Never: works in a tenant's directory as anybody but its owner. Fails:
 * status 1 when something could not be deleted; what was, is. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/die.h"
#include "common/ident.h"
#include "common/log.h"
#include "proto/boot.h"
#include "sandbox/privileges.h"
#include "sandbox/sandbox.h"
#include "sandbox/tree/tree.h"

#define DIRECTORY BOOT_PEER_FD
#define OUT BOOT_CONTROL_FD
#define COUNTED_MOST 10000000u

/* What the ordinal means: supervisor/sweep.h. */
enum { TASK_EMPTY = 1, TASK_LIST = 2 };

static struct {
	uid_t uid;
	gid_t gid;
} self;
static bool switches; /* tenants have a user each */

/* ---- somebody's directory */

/* It is opened by its owner: a supervisor without the right to read everything can do
 * that, and one with it does no harm. -1 and errno. */
static int enter(int at, const char *name)
{
	struct stat st;
	int way = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (way < 0 || fstat(way, &st))
		return -1;
	if (switches && st.st_uid != self.uid &&
	    (setegid(st.st_gid) || seteuid(st.st_uid)))
		fatal("the owner of a workspace cannot be become: %s", strerror(errno));
	if ((st.st_mode & 0700) != 0700)
		fchmodat(at, name, 0700, 0);
	int fd = openat(way, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int e = errno;
	close(way);
	errno = e;
	return fd;
}

static void leave(int fd)
{
	if (fd >= 0)
		close(fd);
	if (geteuid() != self.uid && (seteuid(self.uid) || setegid(self.gid)))
		fatal("we cannot become who we were: %s", strerror(errno));
}

static DIR *list_of(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	return d;
}

/* ---- the trash */

static bool empty_one(int trash, const char *name)
{
	uint64_t removed = 0;
	int fd = enter(trash, name);
	int e = fd < 0 ? errno : tree_empty(fd, &removed);
	leave(fd);
	if (!e && unlinkat(trash, name, AT_REMOVEDIR))
		e = errno;
	if (e)
		log_error("sweep-failed", "object=%s message=\"%s\"", name, strerror(e));
	else
		log_info("sweep-removed", "object=%s names=%llu", name,
			 (unsigned long long)removed);
	return !e;
}

/* An agent's sessions come as one directory of ours, each with its owner. */
static void empty_sessions(int trash, const char *name)
{
	struct stat st;
	DIR *d;
	if (fstatat(trash, name, &st, AT_SYMLINK_NOFOLLOW) || st.st_uid != self.uid ||
	    !(d = list_of(trash, name)))
		return;
	for (const struct dirent *e; (e = readdir(d));) {
		struct uuid session;
		if (uuid_parse(slice_str(e->d_name), &session))
			empty_one(dirfd(d), e->d_name);
	}
	closedir(d);
}

static int empty_trash(void)
{
	bool all = true, any = true;
	while (all && any) {
		DIR *d = list_of(DIRECTORY, ".");
		any = false;
		if (!d)
			return 1;
		for (const struct dirent *e; (e = readdir(d));) {
			if (e->d_name[0] == '.')
				continue;
			any = true;
			empty_sessions(DIRECTORY, e->d_name);
			all = empty_one(DIRECTORY, e->d_name) && all;
		}
		closedir(d);
	}
	return all ? 0 : 1;
}

/* ---- the list */

static void count_one(int at, const char *name, const char *tenant, const char *agent,
		      const char *session)
{
	struct tree_sum sum = {.closed = true};
	int fd = enter(at, name);
	if (fd >= 0)
		tree_count(fd, COUNTED_MOST, &sum);
	leave(fd);
	/* A line is less than a pipe takes at once; nobody listens: SIGPIPE ends this. */
	dprintf(OUT, "%s %s %s %llu %llu\n", tenant, agent, session,
		(unsigned long long)sum.bytes, (unsigned long long)sum.files);
}

static void list_sessions(int tenant_fd, const char *name, const char *tenant,
			  const char *agent)
{
	DIR *d = list_of(tenant_fd, name);
	for (const struct dirent *e; d && (e = readdir(d));) {
		struct uuid session;
		if (uuid_parse(slice_str(e->d_name), &session))
			count_one(dirfd(d), e->d_name, tenant, agent, e->d_name);
	}
	if (d)
		closedir(d);
}

static void list_tenant(const char *tenant, const char *wanted)
{
	DIR *d = list_of(DIRECTORY, tenant);
	for (const struct dirent *e; d && (e = readdir(d));) {
		char agent[UUID_TEXT_LEN + 1];
		struct uuid id;
		const char *tail = e->d_name;
		snprintf(agent, sizeof agent, "%.36s", e->d_name);
		if (!uuid_parse(slice_str(agent), &id) ||
		    (*wanted && strcmp(wanted, agent)))
			continue;
		tail += strlen(agent);
		if (!*tail)
			count_one(dirfd(d), e->d_name, tenant, agent, "-");
		else if (!strcmp(tail, ".s"))
			list_sessions(dirfd(d), e->d_name, tenant, agent);
	}
	if (d)
		closedir(d);
}

/* wanted: "", "tenant" or "tenant/agent". */
static int list_all(char *wanted)
{
	char *agent = strchr(wanted, '/');
	DIR *d = list_of(DIRECTORY, ".");
	if (agent)
		*agent++ = 0;
	for (const struct dirent *e; d && (e = readdir(d));) {
		long long number;
		if (slice_to_i64(slice_str(e->d_name), &number) &&
		    (!*wanted || !strcmp(wanted, e->d_name)))
			list_tenant(e->d_name, agent ? agent : "");
	}
	if (d)
		closedir(d);
	return 0;
}

int main(void)
{
	char detail[128], wanted[128];
	const struct wire_boot *b = boot_read();
	unsigned task = b->ordinal;
	if (b->role != ROLE_SWEEP)
		fatal_usage("terabitsd started the wrong program");
	boot_die_with_parent(b->parent_pid);
	log_init("sweep", (enum log_level)b->log_level);
	snprintf(wanted, sizeof wanted, "%.*s", SLICE_ARG(b->wanted));
	boot_wipe();
	self.uid = geteuid();
	self.gid = getegid();
	switches = privileges_has(PRIVILEGES_LAUNCHER);
	sandbox_prepare(SANDBOX_LAUNCHER);
	sandbox_enter(SANDBOX_LAUNCHER, detail, sizeof detail);
	if (task == TASK_EMPTY)
		return empty_trash();
	return list_all(wanted);
}
