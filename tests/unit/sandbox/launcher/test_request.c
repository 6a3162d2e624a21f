/* SPDX-License-Identifier: Apache-2.0
 * The launcher as a program: its descriptors, its answers, its two ways to end, and that
 * it does not outlive who started it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "proto/boot.h"
#include "sandbox/launcher/request.h"

#define PATIENCE_MS 20000

static pid_t pid;
static int peer, control; /* our ends */

static void exec_launcher(int boot_fd, int peer_fd, int control_fd)
{
	char path[4200];
	const char *given = getenv("TB_LAUNCHER");
	ssize_t n = readlink("/proc/self/exe", path, 4096);
	if (n <= 0)
		_exit(90);
	path[n] = 0;
	strcpy(strrchr(path, '/'), "/../bin/terabits-launcher");
	/* out of the way first: the wanted numbers may be taken */
	int b = fcntl(boot_fd, F_DUPFD, 20), p = fcntl(peer_fd, F_DUPFD, 20),
	    c = fcntl(control_fd, F_DUPFD, 20);
	dup2(b, BOOT_FD);
	dup2(p, BOOT_PEER_FD);
	dup2(c, BOOT_CONTROL_FD);
	for (int fd = BOOT_CONTROL_FD + 1; fd < 64; fd++)
		close(fd);
	/* the leak checker cannot look into a process that is not dumpable */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	execl(given ? given : path, "terabits-launcher", (char *)NULL);
	_exit(91);
}

/* Our ends of the pairs; the child's pid. */
static pid_t launch(unsigned parent_pid, enum boot_role role, int *peer_end,
		    int *control_end)
{
	int peers[2], controls[2];
	struct wire_boot b = {.role = role,
			      .parent_pid = parent_pid,
			      .ordinal = 1,
			      .log_level = LOG_ERROR};
	int boot_fd = boot_write(&b);
	if (boot_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peers) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, controls))
		abort();
	pid_t child = fork();
	if (child == 0)
		exec_launcher(boot_fd, peers[1], controls[1]);
	close(boot_fd);
	close(peers[1]);
	close(controls[1]);
	*peer_end = peers[0];
	*control_end = controls[0];
	return child;
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, PATIENCE_MS) == 1;
}

static void say(const void *bytes, size_t n)
{
	assert_int_equal(send(peer, bytes, n, MSG_NOSIGNAL), n);
}

static void request(uint32_t id, uint32_t kind)
{
	struct launch_request q = {.magic = LAUNCH_MAGIC, .id = id, .kind = kind};
	say(&q, sizeof q);
}

static void expect_refused(uint32_t id)
{
	struct launch_reply a;
	assert_true(is_readable(peer));
	assert_int_equal(recv(peer, &a, sizeof a, MSG_TRUNC), sizeof a);
	assert_int_equal(a.magic, LAUNCH_MAGIC);
	assert_int_equal(a.id, id);
	assert_int_equal(a.status, LAUNCH_REFUSED);
	assert_int_equal(a.reserved, 0);
}

/* The worker's side of the pair ends. */
static void expect_closed(void)
{
	char byte;
	assert_true(is_readable(peer));
	assert_int_equal(recv(peer, &byte, 1, 0), 0);
}

static int end_of(pid_t child)
{
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int setup(void **state)
{
	(void)state;
	pid = launch((unsigned)getpid(), ROLE_LAUNCHER, &peer, &control);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(peer);
	if (control >= 0)
		close(control);
	return 0;
}

static void end_well(void)
{
	close(control);
	control = -1;
	assert_int_equal(end_of(pid), 0);
	pid = 0;
}

static void test_every_request_is_refused(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		request(i * 0x01010101u, i);
		expect_refused(i * 0x01010101u);
	}
	for (uint32_t i = 0; i < 50; i++)
		request(i, 0xFFFFFFFFu);
	for (uint32_t i = 0; i < 50; i++)
		expect_refused(i);
	end_well();
}

static void check_nonsense(const void *bytes, size_t n)
{
	request(1, 0);
	expect_refused(1);
	say(bytes, n);
	expect_closed();
	end_well(); /* the launcher itself lives on until it is told */
	teardown(NULL);
	setup(NULL);
}

static void test_nonsense_closes(void **state)
{
	(void)state;
	struct launch_request q[3] = {{.magic = LAUNCH_MAGIC + 1, .id = 7}};
	check_nonsense(q, sizeof *q);
	q[0].magic = LAUNCH_MAGIC;
	check_nonsense(q, sizeof *q - 1);
	check_nonsense(q, sizeof *q + 1);
	check_nonsense(q, sizeof q);
	check_nonsense("x", 1);
}

/* A byte on the control socket, until the launcher took it. */
static void nudge(void)
{
	int left = 1;
	int64_t end = clock_mono_us() + PATIENCE_MS * 1000ll;
	assert_int_equal(send(control, "x", 1, MSG_NOSIGNAL), 1);
	while (left) {
		assert_true(clock_mono_us() < end);
		assert_int_equal(ioctl(control, SIOCOUTQ, &left), 0);
		sched_yield();
	}
}

static void test_it_outlives_its_worker(void **state)
{
	(void)state;
	request(1, 0);
	expect_refused(1);
	shutdown(peer, SHUT_RDWR);
	nudge(); /* in this turn at the latest it sees that end */
	nudge();
	nudge();
	end_well();
}

static void test_the_control_socket_ends_it(void **state)
{
	(void)state;
	request(1, 0);
	expect_refused(1);
	assert_int_equal(send(control, "x", 1, 0), 1); /* a byte means nothing */
	request(2, 0);
	expect_refused(2);
	end_well();
}

static void test_signals_do_not_end_it(void **state)
{
	(void)state;
	request(1, 0);
	expect_refused(1);
	kill(pid, SIGTERM); /* meant for the supervisor's group */
	kill(pid, SIGINT);
	request(2, 0);
	expect_refused(2);
	end_well();
}

/* The launcher holds no descriptor but its own. */
static void test_descriptors(void **state)
{
	(void)state;
	char path[64], target[256];
	request(1, 0);
	expect_refused(1);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, BOOT_FD);
	ssize_t n = readlink(path, target, sizeof target);
	/* The secrets' file is closed; who is not root may not even look. */
	assert_true(n < 0 && errno == (getuid() ? EACCES : ENOENT));
	end_well();
}

static void test_a_wrong_role_is_refused(void **state)
{
	(void)state;
	int p, c;
	pid_t child = launch((unsigned)getpid(), ROLE_EDGE, &p, &c);
	assert_int_equal(end_of(child), 2);
	close(p);
	close(c);
}

/* Started by a process that is gone: it ends by itself. */
static void test_an_orphan_ends(void **state)
{
	(void)state;
	int p, c;
	pid_t child = launch(1, ROLE_LAUNCHER, &p, &c);
	assert_int_equal(end_of(child), 1);
	close(p);
	close(c);
}

static int can_confine(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET));
	return end_of(child) == 0;
}

static int group_setup(void **state)
{
	(void)state;
	if (!can_confine()) {
		print_message("namespaces are refused here: nothing can be tested\n");
		exit(0);
	}
	return 0;
}

/* A launcher dies with who started it, though both its sockets stay open here. */
static void test_it_dies_with_its_parent(void **state)
{
	(void)state;
	int peers[2], controls[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, peers), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, controls), 0);
	pid_t middle = fork();
	if (middle == 0) {
		struct wire_boot b = {.role = ROLE_LAUNCHER,
				      .parent_pid = (uint32_t)getpid(),
				      .log_level = LOG_ERROR};
		int boot_fd = boot_write(&b);
		if (fork() == 0)
			exec_launcher(boot_fd, peers[1], controls[1]);
		close(peers[1]);
		for (;;)
			pause();
	}
	close(peers[1]);
	close(controls[1]);
	int saved = peer;
	peer = peers[0];
	request(5, 0);
	expect_refused(5);
	kill(middle, SIGKILL);
	waitpid(middle, NULL, 0);
	expect_closed(); /* its end went with it */
	peer = saved;
	close(peers[0]);
	close(controls[0]);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_every_request_is_refused),
		CASE(test_nonsense_closes),
		CASE(test_it_outlives_its_worker),
		CASE(test_the_control_socket_ends_it),
		CASE(test_signals_do_not_end_it),
		CASE(test_descriptors),
		cmocka_unit_test(test_a_wrong_role_is_refused),
		cmocka_unit_test(test_an_orphan_ends),
		CASE(test_it_dies_with_its_parent),
	};
	return cmocka_run_group_tests(tests, group_setup, NULL);
}
