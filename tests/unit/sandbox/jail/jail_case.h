/* SPDX-License-Identifier: Apache-2.0
 * What the tests of jails share: one jail, what it said, and both modes. */
#ifndef TB_TEST_JAIL_CASE_H
#define TB_TEST_JAIL_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/log.h"
#include "sandbox/jail/jail.h"

#define TENANT 200001
#define OTHER 65534 /* the ordinary user of the second round */

static struct jail_host host;
static char base[64], workspace[96];

/* ---- one jail, and what it said */

struct said {
	struct jail_report report;
	char text[65536];
	size_t n;
};

static const char *const plain_env[] = {"PATH=/usr/bin:/bin", "HOME=/workspace", NULL};

static struct jail_spec make_spec(void)
{
	struct stat st;
	assert_int_equal(stat(workspace, &st), 0);
	return (struct jail_spec){.workspace = workspace,
				  .workspace_dev = st.st_dev,
				  .workspace_ino = st.st_ino,
				  .uid = TENANT,
				  .cwd = "/workspace",
				  .env = (char *const *)(const void *)plain_env,
				  .limits = {.file_bytes = 1 << 20,
					     .tmp_bytes = 4 << 20,
					     .processes = 16,
					     .files = 64,
					     .cpu_s = 2}};
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static const char *kill_at; /* when it has said that; NULL: it may end by itself */

/* Until it has ended by itself, said that, or limit_ms is over. */
static bool from_spare; /* of jails started from here on */

static int start(const struct jail_spec *s, struct jail *j, char *err, size_t size)
{
	if (!from_spare)
		return jail_start(&host, s, j, err, size);
	if (jail_birth(&host, NULL, j, err, size))
		return -1;
	return jail_use(j, s);
}

static void run(struct jail_spec *s, struct said *said, int limit_ms)
{
	int out[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct jail j;
	char err[300] = "";
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	s->in = null;
	s->out = s->err = out[1];
	said->n = 0;
	if (start(s, &j, err, sizeof err))
		fail_msg("%s", err);
	close(out[1]);
	close(null);
	int64_t until = now_ms() + limit_ms;
	for (bool open = true; open;) {
		struct pollfd p[2] = {{.fd = out[0], .events = POLLIN},
				      {.fd = j.pidfd, .events = POLLIN}};
		int64_t left = until - now_ms();
		if (poll(p, 2, left > 0 ? (int)left : 0) == 0)
			jail_kill(&j);
		ssize_t n = read(out[0], said->text + said->n,
				 sizeof said->text - 1 - said->n);
		open = n > 0;
		said->n += n > 0 ? (size_t)n : 0;
		said->text[said->n] = 0;
		if (kill_at && strstr(said->text, kill_at))
			jail_kill(&j);
	}
	said->text[said->n] = 0;
	close(out[0]);
	jail_wait(&j, &said->report);
}

static struct said said;

/* A shell script; what it printed. */
static const char *shell(const char *script)
{
	char *argv[] = {(char[]){"/bin/bash"}, (char[]){"-c"}, strdup(script), NULL};
	struct jail_spec s = make_spec();
	s.argv = argv;
	run(&s, &said, 20000);
	free(argv[2]);
	if (said.report.kind != JAIL_EXITED)
		fail_msg("%s: kind %u %d %s", script, said.report.kind,
			 said.report.number, said.report.text);
	return said.text;
}

static void assert_says(const char *script, const char *text)
{
	const char *got = shell(script);
	if (!strstr(got, text))
		fail_msg("%s: wanted \"%s\", got \"%s\"", script, text, got);
}

/* A workspace, and a sibling that is another's. */
static int jail_begin(void)
{
	uid_t owner = geteuid() ? geteuid() : TENANT;
	snprintf(base, sizeof base, "/var/tmp/tb-jail-XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(workspace, sizeof workspace, "%s/w", base);
	if (mkdir(workspace, 0700) || (geteuid() == 0 && chown(workspace, owner, owner)))
		return -1;
	jail_host_prepare(&host);
	return 0;
}

static int jail_finish(void **state)
{
	char command[160];
	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", base);
	return system(command);
}

/* The tests as who runs them and, if that is root, as an ordinary user as well. */
static int in_both_modes(int (*all)(const char *name))
{
	int how = 0;
	log_init("test", LOG_ERROR);
	if (geteuid())
		return all("an ordinary user");
	pid_t pid = fork();
	if (pid == 0) {
		if (setresgid(OTHER, OTHER, OTHER) || setresuid(OTHER, OTHER, OTHER))
			_exit(1);
		prctl(PR_SET_DUMPABLE, 1); /* as after an exec */
		exit(all("an ordinary user"));
	}
	waitpid(pid, &how, 0);
	return all("root") + (how != 0);
}

#endif
