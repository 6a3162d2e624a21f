/* SPDX-License-Identifier: Apache-2.0
 * Copies of mounts are taken while the old root is there, then placed in the new one. */
#include "sandbox/view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/die.h"
#include "sandbox/userns.h"

#define STAGE                                                                            \
	"/tmp" /* where the new root is put together; its directory is everywhere        \
		*/
#define SHOWN_MOST 16
#define LIVE_LINKS                                                                       \
	"/run/" /* where a link of /etc leads to a directory that is rewritten */

enum kind { TREE, TEXT, DEVICE };

static const struct {
	const char *path;
	enum kind kind;
} usual[] = {
#define VIEW(path, kind, reason) {path, kind},
#include "sandbox/view.tbl"
#undef VIEW
};

struct piece {
	const char *path; /* where it will be */
	int mount;        /* a copy of it, detached */
	mode_t type;
};

static char *shown[SHOWN_MOST];
static size_t shown_count;

static struct piece pieces[ARRAY_LEN(usual) + SHOWN_MOST + 1];
static size_t piece_count;
static struct {
	const char *name;
	char directory[PATH_MAX], target[PATH_MAX];
} live;

NORETURN static void refuse(const char *step, const char *object)
{
	fatal_usage("%s %s is refused (%s): this process could not be given a view of "
		    "files of its own. In a container, allow mounts (the capability "
		    "SYS_ADMIN, a security profile that lets mount through), or start as "
		    "an ordinary user where user namespaces are allowed",
		    step, object, strerrordesc_np(errno));
}

/* By the name that will be asked for, which may lead through links. */
void view_show(const char *path)
{
	char whole[PATH_MAX];
	if (!realpath(path, whole))
		fatal("%s cannot be reached (%s): is what it belongs to running?", path,
		      strerror(errno));
	if (*path != '/' || strstr(path, "/./") || strstr(path, "/../"))
		path = whole;
	check(shown_count < SHOWN_MOST);
	shown[shown_count++] = strdup(path);
	check(shown[shown_count - 1]);
}

/* ---- taking */

/* False: this machine has no such thing, or not for us. */
static bool take(const char *path, enum kind kind)
{
	struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
					   MOUNT_ATTR_NOEXEC |
					   (kind == DEVICE ? 0 : MOUNT_ATTR_NODEV)};
	struct piece *p = &pieces[piece_count];
	struct stat st;
	if (stat(path, &st) || (S_ISDIR(st.st_mode) && access(path, X_OK)))
		return false;
	*p = (struct piece){.path = path, .type = st.st_mode & S_IFMT};
	p->mount = open_tree(AT_FDCWD, path,
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (p->mount < 0)
		refuse("a copy of the mount", path);
	if (mount_setattr(p->mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof a))
		refuse("making read-only", path);
	piece_count++;
	return true;
}

/* resolv.conf of systemd and its like: the link stays one. */
static bool take_live(const char *path)
{
	if (live.name || !realpath(path, live.target) || !strcmp(live.target, path) ||
	    strncmp(live.target, LIVE_LINKS, strlen(LIVE_LINKS)))
		return false;
	snprintf(live.directory, sizeof live.directory, "%s", live.target);
	*strrchr(live.directory, '/') = 0;
	if (!strchr(live.directory + 1, '/') || !take(live.directory, TREE))
		return false;
	live.name = path;
	return true;
}

static int by_length(const void *a, const void *b)
{
	size_t x = strlen(*(char *const *)a), y = strlen(*(char *const *)b);
	return x < y ? -1 : x > y;
}

static void take_all(void)
{
	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		if (usual[i].kind != TEXT || !take_live(usual[i].path))
			take(usual[i].path, usual[i].kind);
	/* What is in another comes after it. */
	qsort(shown, shown_count, sizeof *shown, by_length);
	for (size_t i = 0; i < shown_count; i++)
		if (!take(shown[i], TREE))
			refuse("a look at", shown[i]);
}

/* ---- placing; the working directory is the new root */

static void mount_memory(const char *path)
{
	if (mount("view", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=256k,nr_inodes=128,mode=755"))
		refuse("a file system in memory at", path);
}

/* The directories above it. One of a copy that holds more than is meant to be seen is
 * covered by an empty one: a socket's neighbours are not shown with it. */
static void make_way(char *path)
{
	struct stat root, st;
	if (stat(".", &root))
		refuse("a look at", "the new root");
	for (char *p = path; (p = strchr(p, '/')); p++) {
		*p = 0;
		if (mkdir(path, 0755) && errno != EEXIST)
			refuse("making", path);
		bool is_last = !strchr(p + 1, '/');
		if (is_last && stat(path, &st) == 0 && st.st_dev != root.st_dev)
			mount_memory(path);
		*p = '/';
	}
}

static void make_place(char *path, mode_t type)
{
	make_way(path);
	if (type == S_IFDIR) {
		if (mkdir(path, 0755))
			refuse("making", path);
		return;
	}
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		refuse("making", path);
	close(fd);
}

static void place(const struct piece *p)
{
	char path[PATH_MAX];
	struct stat st;
	snprintf(path, sizeof path, "%s", p->path + 1);
	bool is_there = stat(path, &st) == 0; /* in what was placed before */
	if (!is_there || p->type == S_IFSOCK) {
		make_place(path, p->type);
		if (move_mount(p->mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH))
			refuse("placing", p->path);
	}
	close(p->mount);
}

static void place_live(void)
{
	if (live.name && symlink(live.target, live.name + 1))
		refuse("linking", live.name);
}

static void leave_old_root(void)
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
						   MOUNT_ATTR_NOEXEC};
	if (syscall(SYS_pivot_root, ".", "."))
		refuse("pivot_root to", STAGE);
	if (umount2(".", MNT_DETACH) || chdir("/"))
		refuse("leaving", "the old root");
	if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &read_only, sizeof read_only))
		refuse("making read-only", "/");
}

void view_enter(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	if (getaddrinfo("localhost", "80", &hints, &found) == 0)
		freeaddrinfo(found);
	userns_unshare(CLONE_NEWNS, "this process could not be given a view of its own");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		refuse("making private", "/");
	take_all();
	mount_memory(STAGE);
	if (chdir(STAGE))
		refuse("entering", STAGE);
	for (size_t i = 0; i < piece_count; i++)
		place(&pieces[i]);
	place_live();
	leave_old_root();
	while (shown_count)
		free(shown[--shown_count]);
}
