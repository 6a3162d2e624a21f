/* SPDX-License-Identifier: Apache-2.0
 * The launcher as a program: its jails, its refusals, its descriptors, its two ways to
 * end, and that it does not outlive who started it. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/boot.h"
#include "proto/packet.h"
#include "sandbox/cgroup/cgroup.h"

#define PATIENCE_MS 20000

static pid_t pid;
static int peer, control;         /* our ends */
static struct cgroup_base groups; /* what the next launcher is told of */

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
			      .log_level = LOG_ERROR,
			      .cgroup = groups.kind,
			      .cgroup_cpu = groups.cpu,
			      .cgroup_memory = slice_str(groups.memory),
			      .cgroup_pids = slice_str(groups.pids)};
	int boot_fd = boot_write(&b);
	if (boot_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peers) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, controls))
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

static struct packet answer;

/* What the worker hears next. */
static enum wire_id hear(void)
{
	const char *why;
	assert_true(is_readable(peer));
	enum err e = packet_receive(peer, JAIL_DOWN, &answer, &why);
	if (e)
		fail_msg("%s %s", err_code(e), why ? why : "");
	return answer.id;
}

static void ask(const struct wire_jail_open *m)
{
	assert_int_equal(packet_send(peer, WIRE_JAIL_OPEN, m, NULL, 0), ERR_OK);
}

/* Of a workspace that nobody granted. */
static void request(uint64_t id)
{
	struct wire_jail_open m = {.id = id, .handle = 99, .kind = JAIL_KIND_EXEC};
	ask(&m);
}

static void expect_refused_for(uint64_t id, const char *reason)
{
	assert_int_equal(hear(), WIRE_JAIL_REFUSED);
	assert_int_equal(answer.message.jail_refused.id, id);
	if (!slice_is(answer.message.jail_refused.message, reason))
		fail_msg("not \"%s\" but \"%.*s\"", reason,
			 SLICE_ARG(answer.message.jail_refused.message));
}

static void expect_refused(uint64_t id)
{
	expect_refused_for(id, "the workspace is not granted");
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

/* ---- requests */

/* Of this test alone: without groups processes are counted by uid, also those of tests
 * that run beside it. */
#define TENANT 200004

static char workspace[64];

static void grant(uint64_t handle)
{
	struct stat st;
	assert_int_equal(stat(workspace, &st), 0);
	struct wire_grant m = {.handle = handle,
			       .workspace = slice_str(workspace),
			       .dev = st.st_dev,
			       .ino = st.st_ino,
			       .uid = TENANT,
			       .memory_bytes = 256 << 20,
			       .file_bytes = 1 << 20,
			       .processes = 32,
			       .timeout_ms = 20000};
	assert_int_equal(packet_send(control, WIRE_GRANT, &m, NULL, 0), ERR_OK);
}

static void take_back(uint64_t handle)
{
	struct wire_revoke m = {.handle = handle};
	assert_int_equal(packet_send(control, WIRE_REVOKE, &m, NULL, 0), ERR_OK);
}

static struct wire_jail_open bash(uint64_t id, char *buffer, size_t size,
				  const char *script)
{
	int n = snprintf(buffer, size, "/bin/bash%c-c%c%s", 0, 0, script);
	return (struct wire_jail_open){.id = id,
				       .handle = 1,
				       .kind = JAIL_KIND_EXEC,
				       .argv = slice_of(buffer, (size_t)n + 1),
				       .env = slice_of("PATH=/usr/bin:/bin", 19)};
}

static int out_fd = -1;

static void expect_opened(uint64_t id)
{
	if (hear() != WIRE_JAIL_OPENED)
		fail_msg("refused: %.*s", SLICE_ARG(answer.message.jail_refused.message));
	assert_int_equal(answer.message.jail_opened.id, id);
	assert_int_equal(answer.fd_count, 3);
	close(answer.fds[0]);
	close(answer.fds[2]);
	out_fd = answer.fds[1];
}

/* All that its program printed, until nobody holds the pipe. */
static const char *output(void)
{
	static char text[4096];
	size_t n = 0;
	for (ssize_t got; is_readable(out_fd) &&
			  (got = read(out_fd, text + n, sizeof text - 1 - n)) > 0;)
		n += (size_t)got;
	text[n] = 0;
	close(out_fd);
	return text;
}

static void expect_closed_jail(uint64_t id, enum jail_end how, unsigned number)
{
	assert_int_equal(hear(), WIRE_JAIL_CLOSED);
	assert_int_equal(answer.message.jail_closed.id, id);
	if (answer.message.jail_closed.end != how ||
	    answer.message.jail_closed.number != number)
		fail_msg("jail %d: end %u, number %u: %.*s", (int)id,
			 answer.message.jail_closed.end,
			 answer.message.jail_closed.number,
			 SLICE_ARG(answer.message.jail_closed.message));
}

static void test_a_program(void **state)
{
	char words[256];
	struct wire_jail_open m =
		bash(1, words, sizeof words, "echo $((6*7)) $PATH; exit 3");
	(void)state;
	grant(1);
	ask(&m);
	expect_opened(1);
	assert_string_equal(output(), "42 /usr/bin:/bin\n");
	expect_closed_jail(1, JAIL_END_EXITED, 3);
	assert_true(answer.message.jail_closed.wall_us > 0);
	assert_true(answer.message.jail_closed.rss_peak_bytes > 0);
	end_well();
}

static void test_ends(void **state)
{
	char words[256];
	struct wire_jail_open m = bash(1, words, sizeof words, "sleep 100");
	(void)state;
	grant(1);
	m.timeout_ms = 300;
	ask(&m);
	expect_opened(1);
	assert_string_equal(output(), "");
	expect_closed_jail(1, JAIL_END_TIMED_OUT, SIGKILL);
	m.id = 2;
	m.timeout_ms = 0;
	ask(&m);
	expect_opened(2);
	struct wire_jail_kill kill_it = {.id = 2};
	assert_int_equal(packet_send(peer, WIRE_JAIL_KILL, &kill_it, NULL, 0), ERR_OK);
	assert_string_equal(output(), "");
	expect_closed_jail(2, JAIL_END_KILLED, SIGKILL);
	m.id = 3;
	m.argv = slice_of("/nonexistent", 13);
	ask(&m);
	expect_opened(3);
	close(out_fd);
	expect_closed_jail(3, JAIL_END_NOT_EXECUTED, ENOENT);
	m = bash(4, words, sizeof words, "kill -9 $$");
	ask(&m);
	expect_opened(4);
	close(out_fd);
	expect_closed_jail(4, JAIL_END_SIGNALLED, SIGKILL);
	m = bash(5, words, sizeof words, "sleep 100");
	ask(&m);
	expect_opened(5);
	close(out_fd);
	take_back(1);
	expect_closed_jail(5, JAIL_END_KILLED, SIGKILL);
	m.id = 6;
	ask(&m);
	expect_refused(6);
	end_well();
}

/* More than all its processes together may have; each alone has little. */
static void test_memory(void **state)
{
	char words[512];
	struct wire_jail_open m = bash(1, words, sizeof words,
				       "exec 2>/dev/null; "
				       "for i in 1 2 3 4; do (x=$(head -c 30000000 "
				       "/dev/zero | tr '\\0' x); sleep "
				       "100) & done; wait");
	(void)state;
	grant(1);
	m.memory_bytes = 64 << 20;
	ask(&m);
	expect_opened(1);
	close(out_fd);
	expect_closed_jail(1, JAIL_END_OUT_OF_MEMORY, SIGKILL);
	end_well();
}

static void test_many_at_once(void **state)
{
	char words[256];
	int outs[100];
	(void)state;
	grant(1);
	for (unsigned i = 0; i < ARRAY_LEN(outs); i++) {
		struct wire_jail_open m =
			bash(i + 1, words, sizeof words, "read line; echo $line");
		ask(&m);
	}
	int ins[100], seen = 0, ended = 0;
	while (seen < 100) { /* none ends before its input does */
		assert_int_equal(hear(), WIRE_JAIL_OPENED);
		ins[seen] = answer.fds[0];
		outs[seen++] = answer.fds[1];
		close(answer.fds[2]);
	}
	for (int i = 0; i < 100; i++) {
		assert_int_equal(write(ins[i], "hi\n", 3), 3);
		close(ins[i]);
	}
	while (ended++ < 100) {
		assert_int_equal(hear(), WIRE_JAIL_CLOSED);
		assert_int_equal(answer.message.jail_closed.end, JAIL_END_EXITED);
		assert_int_equal(answer.message.jail_closed.number, 0);
	}
	for (int i = 0; i < 100; i++) {
		char line[8] = "";
		assert_int_equal(read(outs[i], line, sizeof line), 3);
		assert_string_equal(line, "hi\n");
		close(outs[i]);
	}
	end_well();
}

static void test_refusals(void **state)
{
	char words[64];
	struct wire_jail_open good = bash(1, words, sizeof words, "true"), m;
	(void)state;
	grant(1);
	for (uint64_t i = 0; i < 20; i++) {
		request(i << 40 | i);
		expect_refused(i << 40 | i);
	}
	m = good;
	m.kind = 77;
	ask(&m);
	expect_refused_for(1, "there is no such kind of jail");
	m = good;
	m.argv = slice_of("bash", 5);
	ask(&m);
	expect_refused_for(1, "the program is not named by an absolute path");
	m.argv = slice_of("/bin/bash", 9); /* without its end */
	ask(&m);
	expect_refused_for(1, "the program is not named by an absolute path");
	m = good;
	m.env = slice_of("PATH", 5);
	ask(&m);
	expect_refused_for(1, "the environment is malformed");
	m.env = slice_of("=x", 3);
	ask(&m);
	expect_refused_for(1, "the environment is malformed");
	m = good;
	m.cwd = SLICE("../..");
	ask(&m);
	expect_opened(1); /* what the name leads to is in the jail, wherever */
	close(out_fd);
	assert_int_equal(hear(), WIRE_JAIL_CLOSED);
	m.cwd = slice_of("a\0b", 3);
	ask(&m);
	expect_refused_for(1, "the directory's name is malformed");
	end_well();
}

static void check_nonsense(const void *bytes, size_t n)
{
	request(1);
	expect_refused(1);
	say(bytes, n);
	expect_closed();
	end_well(); /* the launcher itself lives on until it is told */
	teardown(NULL);
	setup(NULL);
}

static void test_nonsense_closes(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = {0};
	struct wire_jail_open m = {.id = 1};
	struct wire_grant g = {.handle = 1};
	(void)state;
	wire_encode_counter(&b, 0);
	check_nonsense(b.p, b.n); /* nothing in it */
	wire_encode(&b, WIRE_JAIL_OPEN, &m);
	check_nonsense(b.p, b.n - 1);
	wire_encode(&b, WIRE_JAIL_OPEN, &m);
	check_nonsense(b.p, b.n); /* two */
	strbuf_reset(&b);
	wire_encode_counter(&b, 0);
	wire_encode(&b, WIRE_GRANT, &g); /* not a worker's to say */
	check_nonsense(b.p, b.n);
	check_nonsense("x", 1);
}

/* ---- life and death */

/* A word on the control socket, until the launcher took it. */
static void nudge(void)
{
	int left = 1;
	int64_t end = clock_mono_us() + PATIENCE_MS * 1000ll;
	take_back(7);
	while (left) {
		assert_true(clock_mono_us() < end);
		assert_int_equal(ioctl(control, SIOCOUTQ, &left), 0);
		sched_yield();
	}
}

static void test_it_outlives_its_worker(void **state)
{
	(void)state;
	request(1);
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
	request(1);
	expect_refused(1);
	take_back(7); /* which it was never granted */
	request(2);
	expect_refused(2);
	end_well();
}

static void test_signals_do_not_end_it(void **state)
{
	(void)state;
	request(1);
	expect_refused(1);
	kill(pid, SIGTERM); /* meant for the supervisor's group */
	kill(pid, SIGINT);
	request(2);
	expect_refused(2);
	end_well();
}

/* The launcher holds no descriptor but its own. */
static void test_descriptors(void **state)
{
	(void)state;
	char path[64], target[256];
	request(1);
	expect_refused(1);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, BOOT_FD);
	ssize_t n = readlink(path, target, sizeof target);
	assert_true(n < 0 && errno == ENOENT); /* the secrets' file is closed */
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
	snprintf(workspace, sizeof workspace, "/var/tmp/tb-launcher-XXXXXX");
	if (!mkdtemp(workspace))
		return -1;
	return geteuid() ? 0 : chown(workspace, TENANT, TENANT);
}

static int group_teardown(void **state)
{
	char policy[96];
	(void)state;
	snprintf(policy, sizeof policy, "%s/.terabits", workspace);
	rmdir(policy); /* which every program finds there */
	return rmdir(workspace);
}

/* A launcher dies with who started it, though both its sockets stay open here. */
static void test_it_dies_with_its_parent(void **state)
{
	(void)state;
	int peers[2], controls[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, peers), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, controls), 0);
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
	request(5);
	expect_refused(5);
	kill(middle, SIGKILL);
	waitpid(middle, NULL, 0);
	expect_closed(); /* its end went with it */
	peer = saved;
	close(peers[0]);
	close(controls[0]);
}

/* ---- what it reached */

static struct wire_launcher_ready ready(void)
{
	const char *why;
	assert_true(is_readable(control));
	assert_int_equal(packet_receive(control, LAUNCHER_UP, &answer, &why), ERR_OK);
	assert_int_equal(answer.id, WIRE_LAUNCHER_READY);
	return answer.message.launcher_ready;
}

static void test_it_says_what_it_reached(void **state)
{
	(void)state;
	struct wire_launcher_ready m = ready();
	assert_int_equal(m.user_namespace, geteuid() != 0);
	assert_int_equal(m.tenant_uid, geteuid() == 0);
	assert_int_equal(m.cgroup, CGROUP_NONE);
	end_well();
}

/* A base that is not there, or no hierarchy: told, and the jails are watched. */
static void test_groups_that_do_not_work(void **state)
{
	static const struct {
		const char *dir, *why;
	} cases[] = {{"/nonexistent", "cannot be opened"},
		     {"/tmp", "no group can be made"}};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		teardown(NULL);
		groups = (struct cgroup_base){.kind = CGROUP_V1};
		snprintf(groups.memory, sizeof groups.memory, "%s", cases[i].dir);
		snprintf(groups.pids, sizeof groups.pids, "%s", cases[i].dir);
		setup(NULL);
		groups.kind = CGROUP_NONE;
		struct wire_launcher_ready m = ready();
		assert_int_equal(m.cgroup, CGROUP_NONE);
		if (!memmem(m.why.p, m.why.n, cases[i].why, strlen(cases[i].why)))
			fail_msg("why: %.*s", SLICE_ARG(m.why));
		char words[64];
		struct wire_jail_open open = bash(1, words, sizeof words, "exit 4");
		grant(1);
		ask(&open);
		expect_opened(1);
		close(out_fd);
		expect_closed_jail(1, JAIL_END_EXITED, 4);
	}
	end_well();
}

/* ---- control groups, where this user may make some */

static int setup_groups(void **state)
{
	struct cgroup_places places;
	cgroup_find("/proc/self", &places);
	cgroup_base_make(&places, "unit-launcher", &groups);
	if (groups.kind == CGROUP_NONE)
		print_message("no control groups here: %s\n", groups.why);
	return setup(state);
}

static int teardown_groups(void **state)
{
	teardown(state);
	bool gone = groups.kind == CGROUP_NONE || cgroup_base_remove(&groups, 2000);
	groups = (struct cgroup_base){.kind = CGROUP_NONE};
	return gone ? 0 : -1;
}

static unsigned count_groups(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return (unsigned)st.st_nlink - 2;
}

/* Several processes with little each. Another jail of that time does not notice. */
static void test_groups_hold_memory(void **state)
{
	char words[512], other[128];
	struct wire_jail_open m =
		bash(1, words, sizeof words,
		     "exec 2>/dev/null; for i in 1 2 3 4; do head -c 40000000 /dev/zero "
		     "| tail -n 1 | sleep 100 & done; wait; sleep 100");
	struct wire_jail_open o =
		bash(2, other, sizeof other, "read line; echo alive $line");
	(void)state;
	if (groups.kind == CGROUP_NONE)
		return;
	assert_int_equal(ready().cgroup, groups.kind);
	grant(1);
	ask(&o);
	assert_int_equal(hear(), WIRE_JAIL_OPENED);
	int in = answer.fds[0], out = answer.fds[1];
	close(answer.fds[2]);
	m.memory_bytes = 64 << 20;
	ask(&m);
	expect_opened(1);
	close(out_fd);
	expect_closed_jail(1, JAIL_END_OUT_OF_MEMORY, SIGKILL);
	assert_int_equal(write(in, "yet\n", 4), 4);
	close(in);
	out_fd = out;
	assert_string_equal(output(), "alive yet\n");
	expect_closed_jail(2, JAIL_END_EXITED, 0);
	/* What one used is not held against the next. */
	m = bash(3, words, sizeof words, "echo next");
	ask(&m);
	expect_opened(3);
	assert_string_equal(output(), "next\n");
	expect_closed_jail(3, JAIL_END_EXITED, 0);
	assert_true(count_groups(groups.memory) <= 4); /* two at once, a spare one */
	end_well();
	assert_int_equal(count_groups(groups.memory), 0);
	assert_int_equal(count_groups(groups.pids), 0);
}

#define BOMB                                                                             \
	"echo set; n=0; while :; do sleep 100 & n=$((n+1)); [ $n -gt 200 ] && sleep "    \
	"100; done"

/* A jail that takes all the processes it gets, and one of the same tenant after it:
 * whether that one can start a process. */
static void bomb_beside(const char *printed, enum jail_end how, unsigned number)
{
	char words[256], other[128], line[8] = "";
	struct wire_jail_open m = bash(1, words, sizeof words, BOMB);
	struct wire_jail_open o =
		bash(2, other, sizeof other, "echo in; (echo $(/bin/echo forked))");
	grant(1);
	m.processes = o.processes = 16;
	ask(&m);
	assert_int_equal(hear(), WIRE_JAIL_OPENED);
	int out = answer.fds[1], err = answer.fds[2];
	close(answer.fds[0]);
	assert_int_equal(read(out, line, 4), 4);
	assert_true(is_readable(err)); /* it was refused a process */
	ask(&o);
	expect_opened(2);
	assert_string_equal(output(), printed);
	expect_closed_jail(2, how, number);
	close(err);
	close(out);
	struct wire_jail_kill end = {.id = 1};
	assert_int_equal(packet_send(peer, WIRE_JAIL_KILL, &end, NULL, 0), ERR_OK);
	expect_closed_jail(1, JAIL_END_KILLED, SIGKILL);
	end_well();
}

static void test_groups_hold_processes(void **state)
{
	(void)state;
	if (groups.kind != CGROUP_NONE)
		bomb_beside("in\nforked\n", JAIL_END_EXITED, 0);
}

/* Without groups processes are counted by uid. Of an ordinary user each jail's user
 * namespace counts for itself; of root all jails of a tenant count together: another
 * one starts, but its programs start no further ones. */
static void test_a_bomb_without_groups(void **state)
{
	(void)state;
	if (geteuid())
		bomb_beside("in\nforked\n", JAIL_END_EXITED, 0);
	else
		bomb_beside("in\n", JAIL_END_SIGNALLED,
			    SIGPIPE); /* it complains, and nobody listens */
}

static bool keep_none(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return false;
}

/* Killed, it cleans up nothing: who started it does. */
static void test_groups_of_a_killed_launcher(void **state)
{
	char words[64];
	struct wire_jail_open m = bash(1, words, sizeof words, "echo on; sleep 100");
	(void)state;
	if (groups.kind == CGROUP_NONE)
		return;
	grant(1);
	ask(&m);
	expect_opened(1);
	assert_true(is_readable(out_fd));
	assert_true(count_groups(groups.pids) >= 1);
	kill(pid, SIGKILL);
	assert_int_equal(end_of(pid), 1000 + SIGKILL);
	pid = 0;
	int64_t until = clock_mono_us() + PATIENCE_MS * 1000ll;
	while (!cgroup_base_sweep(&groups, keep_none, NULL))
		assert_true(clock_mono_us() < until);
	assert_int_equal(count_groups(groups.memory), 0);
	assert_int_equal(count_groups(groups.pids), 0);
	close(out_fd);
}

#define GROUPS(fn) cmocka_unit_test_setup_teardown(fn, setup_groups, teardown_groups)
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* An argument: the tests whose name it matches, such as "test_groups_*". */
int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
		CASE(test_a_program),
		CASE(test_ends),
		CASE(test_memory),
		CASE(test_many_at_once),
		CASE(test_refusals),
		CASE(test_nonsense_closes),
		CASE(test_it_outlives_its_worker),
		CASE(test_the_control_socket_ends_it),
		CASE(test_signals_do_not_end_it),
		CASE(test_descriptors),
		cmocka_unit_test(test_a_wrong_role_is_refused),
		cmocka_unit_test(test_an_orphan_ends),
		CASE(test_it_dies_with_its_parent),
		CASE(test_it_says_what_it_reached),
		CASE(test_groups_that_do_not_work),
		CASE(test_a_bomb_without_groups),
		GROUPS(test_groups_hold_memory),
		GROUPS(test_groups_hold_processes),
		GROUPS(test_groups_of_a_killed_launcher),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
