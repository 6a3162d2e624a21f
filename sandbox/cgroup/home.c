/* SPDX-License-Identifier: Apache-2.0
 * Where root prepares for a user: of v1 a directory of its own in each hierarchy, of v2
 * the group we were started in. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/attr.h"
#include "sandbox/cgroup/cgroup.h"

/* Files that say which processes and controllers are in a group. */
static const char *const keys[] = {"", "cgroup.procs", "cgroup.threads", "tasks",
				   "cgroup.subtree_control"};

static void give(const char *group, uid_t uid, gid_t gid)
{
	char path[CGROUP_PATH + 40];
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		snprintf(path, sizeof path, "%s/%s", group, keys[i]);
		if (lchown(path, uid, gid) && !i)
			return; /* whoever makes the base says what that means */
	}
}

/* The whole machine's is nobody's to have. */
static bool is_root_of_all(const char *group)
{
	char path[CGROUP_PATH + 40];
	snprintf(path, sizeof path, "%s/cgroup.type", group);
	return access(path, F_OK) != 0;
}

static bool has_home(const char *hierarchy, char *home)
{
	snprintf(home, CGROUP_PATH, "%.*s/%s", CGROUP_PATH - CGROUP_NAME, hierarchy,
		 CGROUP_HOME);
	return *hierarchy && access(home, W_OK) == 0;
}

void cgroup_home_give(struct cgroup_places *p, uid_t uid, gid_t gid)
{
	char *const v1[] = {p->memory, p->pids};
	char home[CGROUP_PATH];
	for (size_t i = 0; i < ARRAY_LEN(v1); i++) {
		bool there = has_home(v1[i], home);
		if (*v1[i] && (there || mkdir(home, 0755) == 0))
			give(home, uid, gid);
	}
	if (*p->unified && !is_root_of_all(p->unified))
		give(p->unified, uid, gid);
}

void cgroup_home_enter(struct cgroup_places *p)
{
	char *const v1[] = {p->memory, p->pids};
	char home[CGROUP_PATH];
	for (size_t i = 0; i < ARRAY_LEN(v1); i++)
		if (has_home(v1[i], home))
			strcpy(v1[i], home);
}
