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

#include "common/die.h"
#include "sandbox/jail/jail.h"
#include "sandbox/landlock.h"
#include "sandbox/privileges.h"

static void nothing(void *arg)
{
	(void)arg;
}

/* A jail that does nothing, in an empty directory of the system. */
static bool try_jail(const struct jail_host *h, struct jail_report *r, char *err,
		     size_t err_size)
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
	if (!try_jail(h, &r, err, sizeof err))
		fatal_usage("%s", err);
	if (r.kind == JAIL_REFUSED && !strncmp(r.text, "mount proc", 10)) {
		h->has_proc = false;
		if (!try_jail(h, &r, err, sizeof err))
			fatal_usage("%s", err);
	}
	if (r.kind == JAIL_REFUSED)
		fatal_usage("jails are refused here (%s): tools could not be confined",
			    r.text);
	if (r.kind != JAIL_EXITED || r.number)
		fatal_usage("a jail that does nothing ended with %s %d",
			    r.kind == JAIL_SIGNALLED ? "signal" : "status", r.number);
}
