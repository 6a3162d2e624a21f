/* SPDX-License-Identifier: Apache-2.0
 * The trash, and who empties it. */
#include "supervisor/trash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/ident.h"
#include "common/log.h"
#include "supervisor/sup.h"
#include "supervisor/sweep.h"
#include "supervisor/workspaces.h"

#define TRASH ".trash"

static pid_t sweeper; /* 0: none */
static bool again;    /* there is more since it began */

static int open_trash(int all)
{
	if (all < 0 || (mkdirat(all, TRASH, 0700) && errno != EEXIST))
		return -1;
	return openat(all, TRASH, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Its name for what is above it is written: only who owns it may move it. */
static int move(int from, const char *name, int trash, const char *to)
{
	struct stat st;
	uid_t self = geteuid();
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW))
		return -1;
	bool is_tenants = self != 0 && st.st_uid != self;
	if (is_tenants && fchownat(from, name, self, (gid_t)-1, AT_SYMLINK_NOFOLLOW))
		return -1;
	int rv = renameat(from, name, trash, to);
	int e = errno;
	if (is_tenants && fchownat(rv ? from : trash, rv ? name : to, st.st_uid,
				   (gid_t)-1, AT_SYMLINK_NOFOLLOW))
		log_error("workspace-owner", "object=%s message=\"%s\"", rv ? name : to,
			  strerror(errno));
	errno = e;
	return rv;
}

int trash_take(int all, int from, const char *name)
{
	char to[UUID_TEXT_LEN + 1];
	AUTO(auto_close) int trash = open_trash(all);
	uuid_format(uuid7_new(), to);
	return trash < 0 ? -1 : move(from, name, trash, to);
}

static bool is_empty(int trash)
{
	struct stat st;
	return fstat(trash, &st) == 0 && st.st_nlink == 2;
}

void trash_empty(struct sup *s)
{
	AUTO(auto_close) int all = workspaces_open_all(s);
	AUTO(auto_close) int trash = open_trash(all);
	again = sweeper != 0;
	if (again || trash < 0 || is_empty(trash))
		return;
	pid_t pid = sweep_start(s, SWEEP_EMPTY, "", trash, -1);
	if (pid < 0)
		log_error("sweep-failed", "message=\"%s\"", strerror(errno));
	else
		sweeper = pid;
}

bool trash_reap(struct sup *s, pid_t pid, int status)
{
	if (!sweeper || pid != sweeper)
		return false;
	sweeper = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		log_error("sweep-failed",
			  "status=%d message=\"removed workspaces are left; the next "
			  "start tries again\"",
			  status);
	else
		log_info("sweep-done", "%s", "");
	if (again)
		trash_empty(s);
	return true;
}
