/* SPDX-License-Identifier: Apache-2.0
 * What this machine can do for jails. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/die.h"
#include "sandbox/jail/jail.h"
#include "sandbox/landlock.h"
#include "sandbox/privileges.h"

static void nothing(void *arg)
{
	(void)arg;
}

/* A jail that does nothing, in an empty directory of the system. */
static bool try_jail(const struct jail_host *h, const struct cgroup_way *g,
		     struct jail_report *r, char *err, size_t err_size)
{
	struct stat st;
	struct jail j;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct jail_spec s = {.workspace = "/usr",
			      .uid = 65534,
			      .cwd = "/workspace",
			      .run = nothing,
			      .in = null,
			      .out = null,
			      .err = null,
			      .group = g,
			      .limits = {.file_bytes = 1 << 20,
					 .tmp_bytes = 1 << 20,
					 .processes = 4,
					 .files = 16,
					 .cpu_s = 1}};
	if (null < 0 || stat(s.workspace, &st))
		fatal("/usr or /dev/null is missing: %s", strerror(errno));
	s.workspace_dev = st.st_dev;
	s.workspace_ino = st.st_ino;
	bool started = jail_start(h, &s, &j, err, err_size) == 0;
	if (started)
		jail_wait(&j, r);
	close(null);
	return started;
}

/* What a step that was refused means for whoever has to mend it. */
static const char *todo(const struct jail_report *r)
{
	static const struct {
		const char *step;
		int error; /* 0: any */
		const char *text;
	} hints[] = {
		{"open_tree", ENOSYS, "Linux 5.12 or newer is needed"},
		{"mount_setattr", ENOSYS, "Linux 5.12 or newer is needed"},
		{"open ", ENOSYS, "openat2 needs Linux 5.6 or newer"},
		{"pivot_root", EINVAL,
		 "the root may not be a ramfs or initramfs: boot from, or chroot to, a "
		 "mounted file system"},
		{"load", 0,
		 "the kernel needs CONFIG_SECCOMP_FILTER; in a container, allow the "
		 "seccomp system call"},
		{"write /proc", 0,
		 "/proc may not be read-only here; in a container, unmask it"},
		{"setuid", 0, "root here lacks CAP_SETUID and CAP_SETGID: add them"},
		{"drop", 0, "root here lacks CAP_SETPCAP: add it"},
		{"prctl securebits", 0, "root here lacks CAP_SETPCAP: add it"},
		{"mount", EPERM,
		 "mounts are refused: RestrictNamespaces=, a SystemCallFilter= without "
		 "@mount or a container's profile is in the way"},
		{"make private", 0,
		 "mounts are refused: RestrictNamespaces=, a SystemCallFilter= without "
		 "@mount or a container's profile is in the way"},
		{"landlock", 0, "start without landlock: lsm= of the boot parameters"},
	};
	for (size_t i = 0; i < ARRAY_LEN(hints); i++)
		if (!strncmp(r->text, hints[i].step, strlen(hints[i].step)) &&
		    (!hints[i].error || hints[i].error == r->number))
			return hints[i].text;
	return "the file system and kernel of this machine have to allow that";
}

static bool did_nothing(const struct jail_report *r)
{
	return r->kind == JAIL_EXITED && r->number == 0;
}

void jail_host_prepare(struct jail_host *h)
{
	char err[300];
	struct jail_report r;
	*h = (struct jail_host){.identity = privileges_has(PRIVILEGES_LAUNCHER)
						    ? JAIL_SWITCH_UID
						    : JAIL_USER_NAMESPACE,
				.uid = geteuid(),
				.gid = getegid(),
				.landlock = landlock_version(),
				.has_proc = true};
	jail_filters_compile(&h->filters);
	/* Else the first allocation of a jail's function tidies up after libseccomp, and
	 * each page of the heap that it writes is a copy. */
	malloc_trim(0);
	if (!try_jail(h, NULL, &r, err, sizeof err))
		fatal_usage("%s", err);
	if (r.kind == JAIL_REFUSED && !strncmp(r.text, "mount proc", 10)) {
		h->has_proc = false;
		if (!try_jail(h, NULL, &r, err, sizeof err))
			fatal_usage("%s", err);
	}
	if (r.kind == JAIL_REFUSED)
		fatal_usage("jails are refused here (%s): %s", r.text, todo(&r));
	if (!did_nothing(&r))
		fatal_usage("a jail that does nothing ended with %s %d",
			    r.kind == JAIL_SIGNALLED ? "signal" : "status", r.number);
}

bool jail_group_works(const struct jail_host *h, const struct cgroup_way *g, char *why,
		      size_t why_size)
{
	struct jail_report r;
	if (!try_jail(h, g, &r, why, why_size))
		return false;
	if (did_nothing(&r))
		return true;
	snprintf(why, why_size, "%s",
		 r.kind == JAIL_REFUSED ? r.text : "a jail in it was ended");
	return false;
}
