/* SPDX-License-Identifier: Apache-2.0
 * The files of a jail: a read-only root in memory with the system's directories, its
 * workspace, and small writable places that end with it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/attr.h"
#include "sandbox/jail/guard.h"

/* Where the new root is put together, in our own mount namespace: it exists everywhere.
 */
#define STAGE "/tmp"

static const char *const shared[] = {"usr", "etc/ssl", "etc/alternatives",
				     "etc/ld.so.cache"};
static const char *const merged[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};
static const char *const devices[] = {"dev/null", "dev/zero", "dev/full", "dev/random",
				      "dev/urandom"};
static const char *const directories[] = {
	"usr",     "etc",  "etc/ssl", "etc/alternatives", "dev",
	"dev/shm", "proc", "tmp",     "workspace",        "run",
	"root",    "home", "var",     "var/tmp"};
static const struct {
	const char *path, *text;
} files[] = {
	{"etc/passwd", "tool:x:1000:1000::/workspace:/bin/sh\n"
		       "nobody:x:65534:65534::/:/bin/false\n"},
	{"etc/group", "tool:x:1000:\nnogroup:x:65534:\n"},
	{"etc/hosts", "127.0.0.1 localhost jail\n"},
	{"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"},
	{"etc/resolv.conf", ""},
	{"etc/ld.so.cache", ""},
};

/* ---- copies of what is mounted here, taken before the old root is left */

/* -1: there is no such thing on this machine. */
static int take(const struct birth *b, int dir, const char *path, uint64_t attributes)
{
	struct mount_attr a = {.attr_set = attributes};
	int fd = open_tree(dir, path,
			   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE |
				   (*path ? 0 : AT_EMPTY_PATH));
	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd < 0)
		birth_fail(b, "open_tree", path);
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &a, sizeof a))
		birth_fail(b, "mount_setattr", path);
	return fd;
}

static void place(const struct birth *b, int fd, const char *path)
{
	if (move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH))
		birth_fail(b, "move_mount", path);
	close(fd);
}

/* By its path, for a descriptor of the launcher's mount namespace is of no use here; and
 * then it must be the directory that was granted. -1 and errno. */
static int open_granted(const struct birth *b, const struct jail_directory *d)
{
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
			       .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	struct stat st;
	const char *path = d->path + strspn(d->path, "/");
	int dir = (int)syscall(SYS_openat2, b->old_root, path, &how, sizeof how);
	if (dir < 0)
		return -1;
	bool same = fstat(dir, &st) == 0 && st.st_dev == d->dev && st.st_ino == d->ino;
	if (same)
		return dir;
	close(dir);
	errno = ESTALE;
	return -1;
}

static int take_workspace(const struct birth *b)
{
	const struct jail_spec *s = b->spec;
	int dir = open_granted(b, &(struct jail_directory){s->workspace, s->workspace_dev,
							   s->workspace_ino});
	if (dir < 0)
		birth_fail(b, "open", "the workspace");
	int fd = take(b, dir, "", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	close(dir);
	return fd;
}

/* What may be read beside it. What is not what was granted is not there: somebody put
 * another in its place, and the next grant means that. */
static void place_shared(const struct birth *b)
{
	static const char *const places[] = {[JAIL_SKILLS_TENANT] = "skills/tenant",
					     [JAIL_SKILLS_NODE] = "skills/node"};
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const struct jail_directory *d = &b->spec->shared[i];
		int dir = d->path && *d->path ? open_granted(b, d) : -1;
		if (dir < 0)
			continue;
		if ((mkdir("skills", 0755) && errno != EEXIST) || mkdir(places[i], 0755))
			birth_fail(b, "mkdir", places[i]);
		int fd = take(b, dir, "",
			      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
		close(dir);
		if (fd >= 0)
			place(b, fd, places[i]);
	}
}

/* ---- the new root */

static void mount_memory(const struct birth *b, const char *path, unsigned long flags,
			 const char *options)
{
	if (mount("jail", path, "tmpfs", MS_NOSUID | MS_NODEV | flags, options))
		birth_fail(b, "mount tmpfs", path);
}

static void put_file(const struct birth *b, const char *path, const char *text)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	size_t n = strlen(text);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n)
		birth_fail(b, "write", path);
	close(fd);
}

static void make_skeleton(const struct birth *b)
{
	for (size_t i = 0; i < ARRAY_LEN(directories); i++)
		if (mkdir(directories[i], 0755))
			birth_fail(b, "mkdir", directories[i]);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		put_file(b, files[i].path, files[i].text);
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		put_file(b, devices[i], "");
	if (symlink("/proc/self/fd", "dev/fd") ||
	    symlink("/proc/self/fd/0", "dev/stdin") ||
	    symlink("/proc/self/fd/1", "dev/stdout") ||
	    symlink("/proc/self/fd/2", "dev/stderr"))
		birth_fail(b, "symlink", "dev/fd");
}

/* /bin and its like are links into /usr on a Debian of our time. */
static void link_merged(const struct birth *b)
{
	char name[32], target[256];
	for (size_t i = 0; i < ARRAY_LEN(merged); i++) {
		snprintf(name, sizeof name, "/%s", merged[i]);
		ssize_t n = readlink(name, target, sizeof target - 1);
		if (n <= 0)
			continue;
		target[n] = 0;
		if (symlink(target, merged[i]))
			birth_fail(b, "symlink", merged[i]);
	}
}

static void mount_temporary(const struct birth *b)
{
	char options[96];
	snprintf(options, sizeof options, "size=%llu,nr_inodes=4096,mode=1777",
		 (unsigned long long)b->spec->limits.tmp_bytes);
	mount_memory(b, "tmp", 0, options);
	mount_memory(b, "dev/shm", MS_NOEXEC, "size=16m,nr_inodes=256,mode=1777");
	if (rmdir("var/tmp") || symlink("/tmp", "var/tmp"))
		birth_fail(b, "symlink", "var/tmp");
}

/* Where the machine hides parts of /proc from us the kernel refuses a new one. */
static void mount_processes(const struct birth *b)
{
	if (b->host->has_proc &&
	    mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "hidepid=invisible"))
		birth_fail(b, "mount proc", "proc");
}

static void leave_old_root(const struct birth *b)
{
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
	if (umount2(".", MNT_DETACH))
		birth_fail(b, "umount", "the old root");
	close(b->old_root);
	if (chdir("/"))
		birth_fail(b, "chdir", "/");
	if (mount_setattr(AT_FDCWD, "/", 0, &read_only, sizeof read_only))
		birth_fail(b, "mount_setattr", "/");
}

/* Where we stand from here on is the new root; the old one is mounted over it, and is
 * whole again: nothing of it is hidden by the stage. */
void birth_root(struct birth *b)
{
	const uint64_t plain = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
	int system[ARRAY_LEN(shared)], device[ARRAY_LEN(devices)];
	char path[64];
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		birth_fail(b, "make private", "/");
	for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
		snprintf(path, sizeof path, "/%s", shared[i]);
		system[i] = take(b, AT_FDCWD, path, plain);
	}
	for (size_t i = 0; i < ARRAY_LEN(devices); i++) {
		snprintf(path, sizeof path, "/%s", devices[i]);
		device[i] =
			take(b, AT_FDCWD, path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	}
	b->old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (b->old_root < 0)
		birth_fail(b, "open", "/");
	mount_memory(b, STAGE, 0, "size=1m,nr_inodes=256,mode=755");
	if (chdir(STAGE))
		birth_fail(b, "chdir", STAGE);
	make_skeleton(b);
	link_merged(b);
	for (size_t i = 0; i < ARRAY_LEN(shared); i++)
		if (system[i] >= 0)
			place(b, system[i], shared[i]);
	for (size_t i = 0; i < ARRAY_LEN(devices); i++)
		if (device[i] >= 0)
			place(b, device[i], devices[i]);
	mount_processes(b);
	if (syscall(SYS_pivot_root, ".", "."))
		birth_fail(b, "pivot_root", STAGE);
}

void birth_places(const struct birth *b)
{
	place(b, take_workspace(b), "workspace");
	place_shared(b);
	mount_temporary(b);
	leave_old_root(b);
}
