/* SPDX-License-Identifier: Apache-2.0
 * Between fork and exec only async-signal-safe calls are made: nng's threads may hold any
 * lock. */
#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/listen.h"
#include "proto/boot.h"
#include "sandbox/privileges.h"

#define SAFE_FD (BOOT_LISTEN_FD + LISTEN_SOCKETS_MOST) /* above every fixed number */

static const char *const passed[] = {"TZ",
				     "LANG",
				     "ASAN_OPTIONS",
				     "UBSAN_OPTIONS",
				     "LSAN_OPTIONS",
				     "TSAN_OPTIONS",
				     "TERABITS_SECCOMP",
				     "TERABITS_FAULTS",
				     "TERABITS_LEDGER"};

/* What a program begins with; who is not here has nothing. */
static const struct {
	const char *program;
	enum privileges_holder holds;
} privileged[] = {{"terabits-launcher", PRIVILEGES_LAUNCHER},
		  {"terabits-sweep", PRIVILEGES_LAUNCHER},
		  {"terabits-edge", PRIVILEGES_VIEW},
		  {"terabits-worker", PRIVILEGES_VIEW}};

extern char **environ;

static enum privileges_holder holder_of(const char *program)
{
	for (size_t i = 0; i < ARRAY_LEN(privileged); i++)
		if (!strcmp(privileged[i].program, program))
			return privileged[i].holds;
	return PRIVILEGES_NONE;
}

/* Pointers into our own environment: nothing is copied. */
static void child_environment(char *out[ARRAY_LEN(passed) + 1])
{
	size_t n = 0;
	for (char **e = environ; e && *e; e++)
		for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
			size_t len = strlen(passed[i]);
			if (!strncmp(*e, passed[i], len) && (*e)[len] == '=' &&
			    n < ARRAY_LEN(passed))
				out[n++] = *e;
		}
	out[n] = NULL;
}

static int aside(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD, SAFE_FD);
}

static void land(int fd, int number)
{
	if (fd >= 0)
		dup2(fd, number);
	else
		close(number);
}

NORETURN static void become(const char *path, const char *name,
			    const struct spawn_fds *fds, char **env,
			    enum privileges_holder holds)
{
	char *argv[2];
	sigset_t none;
	int boot = aside(fds->boot), peer = aside(fds->peer),
	    control = aside(fds->control), tls = aside(fds->tls),
	    listening[LISTEN_SOCKETS_MOST];
	int first_free = BOOT_LISTEN_FD + (int)fds->listen_count;
	for (unsigned i = 0; i < fds->listen_count; i++)
		listening[i] = aside(fds->listen[i]);
	memcpy(&argv[0], &name, sizeof name);
	argv[1] = NULL;
	land(boot, BOOT_FD);
	land(peer, BOOT_PEER_FD);
	land(control, BOOT_CONTROL_FD);
	land(tls, BOOT_TLS_FD);
	for (unsigned i = 0; i < fds->listen_count; i++)
		land(listening[i], BOOT_LISTEN_FD + (int)i);
	close_range((unsigned)first_free, ~0U, 0);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (privileges_hand_on(holds))
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0); /* a terminal's Ctrl-C is for the supervisor to answer */
	execve(path, argv, env);
	_exit(127);
}

pid_t spawn_child(const char *dir, const char *program, const struct spawn_fds *fds)
{
	char path[4096];
	char *env[ARRAY_LEN(passed) + 1];
	if (snprintf(path, sizeof path, "%s/%s", dir, program) >= (int)sizeof path ||
	    access(path, X_OK)) {
		errno = ENOENT;
		return -1;
	}
	child_environment(env);
	enum privileges_holder holds = holder_of(program);
	pid_t pid = fork();
	if (pid == 0)
		become(path, program, fds, env, holds);
	return pid;
}
