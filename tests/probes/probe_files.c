/* SPDX-License-Identifier: Apache-2.0
 * Files of the host, of other tenants and other agents; what is mounted; devices. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "probe.h"

#define TEXT_MOST (256 << 10)

static char text[TEXT_MOST + 1];

static size_t slurp(int fd)
{
	size_t n = 0;
	for (ssize_t got; n < TEXT_MOST && (got = read(fd, text + n, TEXT_MOST - n)) > 0;)
		n += (size_t)got;
	return n;
}

static void expect_no_canary(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return;
	size_t n = slurp(fd);
	close(fd);
	if (memmem(text, n, facts.canary, strlen(facts.canary)))
		hole("%s shows the canary", path);
}

static void each_host(void (*fn)(const char *path))
{
	for (size_t i = 0; i < facts.hosts; i++)
		fn(facts.host[i]);
}

/* Below this prefix, as often as need be. */
static void try_below(const char *prefix)
{
	char path[PATH_MAX];
	for (size_t i = 0; i < facts.hosts; i++) {
		snprintf(path, sizeof path, "%s%s", prefix, facts.host[i]);
		expect_no_canary(path);
	}
}

static void by_name(void)
{
	try_below("");
}

static void by_dots(void)
{
	try_below("/workspace/../../../../../../../..");
	try_below("/workspace/./.././/..");
	try_below("../../../../../../../../../..");
}

static void by_roots_of_processes(void)
{
	static const char *const places[] = {"root", "cwd", "cwd/../../../../../.."};
	char path[64];
	for (int pid = 1; pid < 400; pid++)
		for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
			snprintf(path, sizeof path, "/proc/%d/%s", pid, places[i]);
			try_below(path);
		}
	try_below("/proc/self/root");
	try_below("/proc/thread-self/root");
	try_below("/proc/self/task/../root");
}

static void by_descriptors(void)
{
	char path[PATH_MAX];
	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof path, "/proc/self/fd/%d/../../../../../../..", fd);
		try_below(path);
		for (size_t i = 0; i < facts.hosts; i++) {
			snprintf(path, sizeof path, "../../../../../../../../..%s",
				 facts.host[i]);
			int file = openat(fd, path, O_RDONLY | O_CLOEXEC);
			if (file >= 0 && fd > 2)
				hole("descriptor %d leads to %s", fd, facts.host[i]);
			if (file >= 0)
				close(file);
		}
	}
}

static void inherited_descriptors(void)
{
	for (int fd = 3; fd < 4096; fd++)
		if (fd != said && fcntl(fd, F_GETFD) >= 0)
			hole("descriptor %d is open", fd);
}

static void through_a_symlink(const char *path)
{
	unlink("/workspace/probe-link");
	if (symlink(path, "/workspace/probe-link") == 0)
		expect_no_canary("/workspace/probe-link");
	unlink("/workspace/probe-link");
}

static void by_symlinks(void)
{
	each_host(through_a_symlink);
}

static void a_hard_link(const char *path)
{
	if (link(path, "/workspace/probe-hard") == 0)
		hole("a hard link to %s was made", path);
	if (linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/probe-hard", AT_SYMLINK_FOLLOW) == 0)
		hole("a hard link to %s was made", path);
}

static void by_hard_links(void)
{
	each_host(a_hard_link);
}

static void write_one(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		hole("%s can be opened for writing", path);
	if (truncate(path, 5) == 0)
		hole("%s can be truncated", path);
	if (chmod(path, 0777) == 0)
		hole("the mode of %s can be changed", path);
	if (utimensat(AT_FDCWD, path, NULL, 0) == 0)
		hole("the time of %s can be changed", path);
}

static void by_writing(void)
{
	each_host(write_one);
}

/* Of what can be seen at all. */
static void search(const char *dir, int depth)
{
	DIR *d = opendir(dir);
	char path[PATH_MAX];
	if (!d)
		return;
	for (const struct dirent *e; (e = readdir(d));) {
		struct stat st;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (strstr(e->d_name, facts.canary))
			hole("%s holds %s", dir, e->d_name);
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (!strcmp(path, "//usr") || !strcmp(path, "//proc") || lstat(path, &st))
			continue;
		if (S_ISREG(st.st_mode))
			expect_no_canary(path);
		if (S_ISDIR(st.st_mode) && depth < 12)
			search(path, depth + 1);
	}
	closedir(d);
}

static void by_searching(void)
{
	search("/", 0);
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names) != 0)
		names++;
	return *names;
}

static void only(const char *dir, const char *const *names)
{
	DIR *d = opendir(dir);
	if (!d)
		hole("%s cannot be listed", dir);
	for (const struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.' && !is_one_of(e->d_name, names))
			hole("%s holds %s", dir, e->d_name);
	closedir(d);
}

static void the_root(void)
{
	static const char *const names[] = {
		"bin",   "dev",    "etc",  "home",      "lib", "lib32",
		"lib64", "libx32", "proc", "root",      "run", "sbin",
		"tmp",   "usr",    "var",  "workspace", NULL};
	static const char *const etc[] = {"alternatives", "group",         "hosts",
					  "ld.so.cache",  "nsswitch.conf", "passwd",
					  "resolv.conf",  "ssl",           NULL};
	static const char *const none[] = {NULL};
	only("/", names);
	only("/etc", etc);
	only("/home", none);
	only("/root", none);
	only("/run", none);
}

static void devices(void)
{
	static const char *const names[] = {"null",    "zero", "full",  "random",
					    "urandom", "fd",   "stdin", "stdout",
					    "stderr",  "shm",  NULL};
	only("/dev", names);
}

static void device_nodes(void)
{
	static const char *const places[] = {"/workspace/probe-node", "/tmp/probe-node",
					     "/dev/shm/probe-node", "/dev/probe-node"};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		refused(mknod(places[i], S_IFCHR | 0666, makedev(1, 1)), "mknod /dev/mem",
			EPERM, EACCES, EROFS, 0);
		refused(mknod(places[i], S_IFBLK | 0666, makedev(8, 0)), "mknod sda",
			EPERM, EACCES, EROFS, 0);
	}
}

static void mount_flags(void)
{
	static const struct {
		const char *path;
		unsigned long flags;
	} mounts[] = {{"/", ST_RDONLY | ST_NOSUID | ST_NODEV},
		      {"/usr", ST_RDONLY | ST_NOSUID | ST_NODEV},
		      {"/etc/ssl", ST_RDONLY | ST_NOSUID | ST_NODEV},
		      {"/workspace", ST_NOSUID | ST_NODEV},
		      {"/tmp", ST_NOSUID | ST_NODEV},
		      {"/dev/shm", ST_NOSUID | ST_NODEV | ST_NOEXEC}};
	struct statvfs st;
	for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++)
		if (statvfs(mounts[i].path, &st) == 0 &&
		    (st.f_flag & mounts[i].flags) != mounts[i].flags)
			hole("%s is mounted with flags %#lx", mounts[i].path, st.f_flag);
}

static void system_files(void)
{
	static const char *const paths[] = {"/usr/probe",
					    "/usr/bin/probe",
					    "/bin/probe",
					    "/lib/probe",
					    "/etc/probe",
					    "/probe",
					    "/dev/probe",
					    "/var/probe",
					    "/root"
					    "/probe",
					    "/home"
					    "/probe",
					    "/run/probe",
					    "/proc/probe",
					    "/etc/ssl/probe"};
	static const char *const there[] = {"/usr/bin/env", "/etc/passwd", "/etc/hosts"};
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		refused(open(paths[i], O_CREAT | O_WRONLY, 0600), paths[i], EROFS, EACCES,
			EPERM, ENOENT, 0);
		refused(mkdir(paths[i], 0700), paths[i], EROFS, EACCES, EPERM, ENOENT, 0);
	}
	for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
		refused(open(there[i], O_WRONLY), there[i], EROFS, EACCES, EPERM, 0);
		refused(unlink(there[i]), there[i], EROFS, EACCES, EPERM, 0);
		refused(rename(there[i], "/tmp/x"), there[i], EROFS, EACCES, EPERM, EXDEV,
			0);
	}
	refused(mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL), "remount", EPERM,
		0);
}

static void kernel_files(void)
{
	static const char *const writes[] = {
		"/proc/sysrq-trigger",
		"/proc/sys/kernel/core_pattern",
		"/proc/sys/kernel/hostname",
		"/proc/sys/vm/drop_caches",
		"/proc/sys/kernel/shmmax",
		"/proc/sys/net/ipv4/ip_forward",
		"/proc/self/uid_map",
		"/proc/self/gid_map",
		"/proc/self/setgroups",
		"/proc/1/oom_score_adj",
		"/proc/irq/default_smp_affinity",
		"/sys/kernel/uevent_helper",
		"/sys/fs/cgroup/cgroup.procs",
	};
	static const char *const reads[] = {
		"/proc/kcore",    "/proc/kmsg",  "/dev/mem",        "/dev/kmsg",
		"/dev/port",      "/dev/ptmx",   "/dev/tty",        "/sys",
		"/sys/fs/cgroup", "/proc/1/mem", "/proc/1/environ", "/proc/1/maps",
		"/proc/1/fd"};
	for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
		int fd = open(writes[i], O_WRONLY | O_CLOEXEC);
		/* the maps open, and refuse what is written */
		if (fd >= 0 && write(fd, "0 0 1\n", 6) >= 0)
			hole("%s can be written", writes[i]);
	}
	for (size_t i = 0; i < sizeof reads / sizeof *reads; i++)
		refused(open(reads[i], O_RDONLY | O_NONBLOCK | O_NOCTTY), reads[i],
			ENOENT, EACCES, EPERM, ENXIO, 0);
}

/* Its own group is the root of all it sees. */
static void cgroup_of_oneself(void)
{
	int fd = open("/proc/self/cgroup", O_RDONLY);
	text[fd < 0 ? 0 : slurp(fd)] = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strcmp(line + strlen(line) - 2, ":/") != 0)
			hole("%s", line);
}

static void file_handles(void)
{
	struct {
		struct file_handle head;
		char bytes[128];
	} h = {.head = {.handle_bytes = 128}};
	int mount_id, fd = open("/workspace", O_RDONLY | O_DIRECTORY);
	name_to_handle_at(AT_FDCWD, "/workspace", &h.head, &mount_id, 0);
	refused(syscall(SYS_open_by_handle_at, fd, &h, O_RDONLY), "open_by_handle_at",
		EPERM, 0);
}

/* Of its own files it may change what it likes, but not what its quota hangs on, nor what
 * makes who opens them wait. */
static void own_file_traps(void)
{
	unsigned char attributes[28] = {0};
	long flags = 0;
	int fd = open("/workspace/probe-own", O_CREAT | O_RDWR, 0600);
	if (fd < 0)
		hole("the workspace cannot be written");
	refused(ioctl(fd, 0x40086602 /* FS_IOC_SETFLAGS */, &flags), "chattr", EPERM, 0);
	refused(ioctl(fd, 0x401c5820 /* FS_IOC_FSSETXATTR */, attributes), "project id",
		EPERM, 0);
	refused(fcntl(fd, F_SETLEASE, F_WRLCK), "a lease", EPERM, 0);
	refused(fcntl(fd, F_SETLEASE, F_RDLCK), "a lease", EPERM, 0);
	close(fd);
	unlink("/workspace/probe-own");
}

const struct probe probes_files[] = {
	{"files", "by name", by_name},
	{"files", "by dots", by_dots},
	{"files", "by roots of processes", by_roots_of_processes},
	{"files", "by descriptors", by_descriptors},
	{"files", "inherited descriptors", inherited_descriptors},
	{"files", "by symbolic links", by_symlinks},
	{"files", "by hard links", by_hard_links},
	{"files", "by writing", by_writing},
	{"files", "by searching", by_searching},
	{"files", "the root", the_root},
	{"files", "devices", devices},
	{"files", "device nodes", device_nodes},
	{"files", "mount flags", mount_flags},
	{"files", "system files", system_files},
	{"files", "kernel files", kernel_files},
	{"files", "cgroup", cgroup_of_oneself},
	{"files", "file handles", file_handles},
	{"files", "traps in own files", own_file_traps},
	{NULL, NULL, NULL},
};
