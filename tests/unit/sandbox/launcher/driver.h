/* SPDX-License-Identifier: Apache-2.0
 * The real launcher, started as by its supervisor, and the words to it; by an ordinary
 * user too when the tests run as root. */
#ifndef TB_LAUNCHER_DRIVER_H
#define TB_LAUNCHER_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/log.h"
#include "proto/boot.h"
#include "proto/packet.h"

#define TENANT 200002
#define ORDINARY 65534
#define PATIENCE_MS 30000

struct driven {
	pid_t pid;
	int peer, control; /* our ends */
	char workspace[64];
};

static uint64_t driver_memory = 64 << 20; /* of a jail */
static uid_t driver_uid; /* whom it is started by; 0: who runs the tests */
static struct packet answer;

static void driver_program(char *path, size_t size)
{
	const char *given = getenv("TB_LAUNCHER");
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	assert_true(n > 0);
	self[n] = 0;
	*strrchr(self, '/') = 0;
	snprintf(path, size, "%s%s", given ? given : self,
		 given ? "" : "/../bin/terabits-launcher");
}

static void driver_become(void)
{
	if (driver_uid && (setresgid(driver_uid, driver_uid, driver_uid) ||
			   setresuid(driver_uid, driver_uid, driver_uid)))
		_exit(92);
}

static void driver_exec(int boot_fd, int peer_fd, int control_fd)
{
	char path[4200];
	driver_program(path, sizeof path);
	/* out of the way first: the wanted numbers may be taken */
	int b = fcntl(boot_fd, F_DUPFD, 20), p = fcntl(peer_fd, F_DUPFD, 20),
	    c = fcntl(control_fd, F_DUPFD, 20);
	dup2(b, BOOT_FD);
	dup2(p, BOOT_PEER_FD);
	dup2(c, BOOT_CONTROL_FD);
	for (int fd = BOOT_CONTROL_FD + 1; fd < 64; fd++)
		close(fd);
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	driver_become();
	execl(path, "terabits-launcher", (char *)NULL);
	_exit(91);
}

/* Whether jails can be made here, and the program be reached, by that user. */
static bool driver_can(uid_t uid)
{
	int how;
	pid_t pid = fork();
	if (pid == 0) {
		char path[4200];
		driver_uid = uid;
		driver_program(path, sizeof path);
		driver_become();
		_exit(access(path, X_OK) ||
		      unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET));
	}
	assert_int_equal(waitpid(pid, &how, 0), pid);
	return how == 0;
}

static void driver_start(struct driven *d)
{
	int peers[2], controls[2];
	uid_t owner = driver_uid ? driver_uid : geteuid() ? geteuid() : TENANT;
	struct wire_boot b = {.role = ROLE_LAUNCHER,
			      .parent_pid = (uint32_t)getpid(),
			      .ordinal = 1,
			      .log_level = LOG_ERROR};
	int boot_fd = boot_write(&b);
	assert_true(boot_fd >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peers), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, controls),
			 0);
	d->pid = fork();
	if (d->pid == 0)
		driver_exec(boot_fd, peers[1], controls[1]);
	close(boot_fd);
	close(peers[1]);
	close(controls[1]);
	d->peer = peers[0];
	d->control = controls[0];
	snprintf(d->workspace, sizeof d->workspace, "/var/tmp/tb-driven-XXXXXX");
	assert_non_null(mkdtemp(d->workspace));
	if (geteuid() == 0)
		assert_int_equal(chown(d->workspace, owner, owner), 0);
}

static void driver_stop(struct driven *d)
{
	char command[96];
	int how;
	close(d->control);
	assert_int_equal(waitpid(d->pid, &how, 0), d->pid);
	assert_int_equal(how, 0);
	close(d->peer);
	snprintf(command, sizeof command, "rm -rf -- %s", d->workspace);
	assert_int_equal(system(command), 0);
}

static void driver_grant(const struct driven *d, uint64_t handle, uint32_t timeout_ms)
{
	struct stat st;
	assert_int_equal(stat(d->workspace, &st), 0);
	struct wire_grant m = {.handle = handle,
			       .workspace = slice_str(d->workspace),
			       .dev = st.st_dev,
			       .ino = st.st_ino,
			       .uid = TENANT,
			       .memory_bytes = driver_memory,
			       .file_bytes = 1 << 20,
			       .processes = 32,
			       .timeout_ms = timeout_ms};
	assert_int_equal(packet_send(d->control, WIRE_GRANT, &m, NULL, 0), ERR_OK);
}

static enum wire_id driver_hear(const struct driven *d)
{
	const char *why;
	struct pollfd p = {.fd = d->peer, .events = POLLIN};
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	enum err e = packet_receive(d->peer, JAIL_DOWN, &answer, &why);
	if (e)
		fail_msg("%s %s", err_code(e), why ? why : "");
	return answer.id;
}

/* The words of a list, each with its end; c may be NULL. */
static struct slice driver_words(char *buffer, size_t size, const char *a, const char *b,
				 const char *c)
{
	int n = snprintf(buffer, size, "%s%c%s%c%s", a, 0, b, 0, c ? c : "");
	assert_true(n > 0 && (size_t)n < size);
	return slice_of(buffer, (size_t)n + (c ? 1 : 0));
}

static inline unsigned driver_entries(const char *path)
{
	unsigned n = 0;
	DIR *d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A jail from its start to its end: what it was fed, what it printed. */
static const char *driver_run(const struct driven *d, const struct wire_jail_open *m,
			      const char *input)
{
	static char text[65536];
	size_t n = 0;
	assert_int_equal(packet_send(d->peer, WIRE_JAIL_OPEN, m, NULL, 0), ERR_OK);
	if (driver_hear(d) != WIRE_JAIL_OPENED)
		fail_msg("refused: %.*s", SLICE_ARG(answer.message.jail_refused.message));
	int in = answer.fds[0], out = answer.fds[1], errors = answer.fds[2];
	size_t length = strlen(input);
	assert_true(!length || write(in, input, length) == (ssize_t)length);
	close(in);
	for (ssize_t got; (got = read(out, text + n, sizeof text - 1 - n)) > 0;)
		n += (size_t)got;
	text[n] = 0;
	close(out);
	close(errors);
	assert_int_equal(driver_hear(d), WIRE_JAIL_CLOSED);
	assert_int_equal(answer.message.jail_closed.id, m->id);
	return text;
}

#endif
