/* SPDX-License-Identifier: Apache-2.0
 * The start of a jail, its guard, and its end. */
#include "sandbox/jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/die.h"
#include "sandbox/jail/guard.h"

#define SAFE_FD 10 /* above the tool's own three */

/* ---- reports */

void birth_report(const struct birth *b, const struct jail_report *r)
{
	ssize_t n = write(b->status, r,
			  sizeof *r); /* one piece: a pipe, less than PIPE_BUF */
	(void)n;                      /* nobody listens: nobody cares */
}

void birth_fail(const struct birth *b, const char *step, const char *object)
{
	struct jail_report r = {.kind = JAIL_REFUSED, .number = errno};
	snprintf(r.text, sizeof r.text, "%s %s: %s", step, object,
		 strerrordesc_np(errno));
	birth_report(b, &r);
	_exit(125);
}

/* ---- the tool */

NORETURN static void become_tool(const struct birth *b)
{
	const struct jail_spec *s = b->spec;
	sigset_t none;
	int status;
	setsid();
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int in = fcntl(s->in, F_DUPFD, SAFE_FD), out = fcntl(s->out, F_DUPFD, SAFE_FD),
	    err = fcntl(s->err, F_DUPFD, SAFE_FD);
	status = fcntl(b->status, F_DUPFD_CLOEXEC, SAFE_FD);
	if (in < 0 || out < 0 || err < 0 || status < 0 || dup2(in, 0) < 0 ||
	    dup2(out, 1) < 0 || dup2(err, 2) < 0 ||
	    dup3(status, 3, O_CLOEXEC) < 0) /* gone when the program starts */
		birth_fail(b, "hand over", "descriptors");
	struct birth here = *b;
	here.status = 3;
	if (close_range(4, UINT_MAX, 0))
		birth_fail(&here, "close", "descriptors");
	if (chdir(s->cwd)) {
		struct jail_report r = {.kind = JAIL_NO_DIRECTORY, .number = errno};
		birth_report(&here, &r);
		_exit(127);
	}
	birth_landlock(&here);
	birth_limits(&here);
	if (jail_filters_load(&b->host->filters))
		birth_fail(&here, "load", "the filters");
	if (!s->argv) {
		close(3);
		s->run(s->arg);
		_exit(0);
	}
	execve(s->argv[0], s->argv, s->env);
	struct jail_report failed = {.kind = JAIL_EXEC_FAILED, .number = errno};
	birth_report(&here, &failed);
	_exit(127);
}

/* ---- the guard, process 1 */

static uint64_t us_of(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void report_end(const struct birth *b, int how)
{
	struct rusage u;
	struct jail_report r = {.kind = WIFSIGNALED(how) ? JAIL_SIGNALLED : JAIL_EXITED,
				.number = WIFSIGNALED(how) ? WTERMSIG(how)
							   : WEXITSTATUS(how)};
	if (getrusage(RUSAGE_CHILDREN, &u) == 0) {
		r.user_us = us_of(u.ru_utime);
		r.system_us = us_of(u.ru_stime);
		r.rss_peak_bytes = (uint64_t)u.ru_maxrss * 1024;
	}
	birth_report(b, &r);
}

/* Its end is the end of all in here, whoever is left. */
NORETURN static void guard(const struct birth *b)
{
	int how;
	prctl(PR_SET_NAME, "jail-guard", 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	pid_t tool = fork();
	if (tool < 0)
		birth_fail(b, "fork", "the tool");
	if (tool == 0)
		become_tool(b);
	int status = fcntl(b->status, F_DUPFD, SAFE_FD);
	if (status < 0 || dup2(status, 3) < 0)
		birth_fail(b, "keep", "the status pipe");
	struct birth here = *b;
	here.status = 3;
	close_range(4, UINT_MAX, 0);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	if (jail_filters_load(&b->host->filters))
		birth_fail(&here, "load", "the guard's filters");
	for (;;) {
		pid_t ended = waitpid(-1, &how, 0);
		if (ended == tool)
			break;
		if (ended < 0 && errno != EINTR)
			_exit(124);
	}
	report_end(&here, how);
	_exit(0);
}

/* A launcher that died before PDEATHSIG was set sends no signal: but then nobody reads.
 */
static void die_with_launcher(const struct birth *b)
{
	struct pollfd p = {.fd = b->status, .events = 0};
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		birth_fail(b, "prctl", "the parent's death signal");
	if (poll(&p, 1, 0) > 0 && (p.revents & POLLERR))
		_exit(126);
}

NORETURN static void become_guard(const struct birth *b)
{
	char byte;
	if (read(b->released, &byte, 1) != 1) /* the launcher gave it up */
		_exit(126);
	if (b->host->identity == JAIL_USER_NAMESPACE)
		birth_map_user(b);
	if (sethostname("jail", 4))
		birth_fail(b, "name", "the host");
	birth_mounts(b);
	birth_drop_privileges(b);
	die_with_launcher(b);
	guard(b);
}

/* ---- the launcher's side */

static int open_pipes(int status[2], int release[2])
{
	if (pipe2(status, O_CLOEXEC))
		return -1;
	if (pipe2(release, O_CLOEXEC) == 0)
		return 0;
	close(status[0]);
	close(status[1]);
	return -1;
}

/* What the kernel's word means for whoever has to mend it. */
static void explain(int error, char *err, size_t size)
{
	const char *todo = "";
	if (error == ENOSPC)
		todo = ": user namespaces are used up or switched off (sysctl "
		       "user.max_user_namespaces)";
	else if (error == EPERM || error == EACCES)
		todo = ": user namespaces are refused (sysctl "
		       "kernel.unprivileged_userns_clone=1, "
		       "kernel.apparmor_restrict_unprivileged_userns=0), or start as "
		       "root";
	else if (error == EAGAIN)
		todo = ": too many processes";
	snprintf(err, size, "the jail could not be made (%s)%s", strerror(error), todo);
}

int jail_start(const struct jail_host *h, const struct jail_spec *s, struct jail *j,
	       char *err, size_t err_size)
{
	int status[2], release[2], pidfd = -1;
	struct clone_args a = {.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
					CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
					CLONE_PIDFD,
			       .pidfd = (uint64_t)(uintptr_t)&pidfd,
			       .exit_signal = SIGCHLD};
	if (h->identity == JAIL_USER_NAMESPACE)
		a.flags |= CLONE_NEWUSER;
	if (open_pipes(status, release)) {
		snprintf(err, err_size, "no descriptors are left for a jail");
		return -1;
	}
	struct birth b = {
		.host = h, .spec = s, .status = status[1], .released = release[0]};
	pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
	if (pid == 0) {
		close(release[1]);
		close(status[0]);
		become_guard(&b);
	}
	if (pid < 0)
		explain(errno, err, err_size);
	close(status[1]);
	close(release[0]);
	if (pid > 0 && write(release[1], "", 1) != 1)
		kill(pid, SIGKILL);
	close(release[1]);
	if (pid < 0) {
		close(status[0]);
		return -1;
	}
	*j = (struct jail){.guard = pid, .pidfd = pidfd, .status = status[0]};
	return 0;
}

void jail_kill(const struct jail *j)
{
	syscall(SYS_pidfd_send_signal, j->pidfd, SIGKILL, NULL, 0);
}

void jail_wait(struct jail *j, struct jail_report *r)
{
	struct jail_report next;
	int how;
	while (waitpid(j->guard, &how, 0) < 0 && errno == EINTR)
		;
	*r = (struct jail_report){.kind = JAIL_SIGNALLED, .number = SIGKILL};
	/* A step that failed comes before the exit that followed from it. */
	for (bool first = true; read(j->status, &next, sizeof next) == sizeof next;
	     first = false) {
		next.text[sizeof next.text - 1] = 0;
		if (first || r->kind == JAIL_EXITED || r->kind == JAIL_SIGNALLED)
			*r = next;
	}
	close(j->status);
	close(j->pidfd);
	*j = (struct jail){.guard = -1, .pidfd = -1, .status = -1};
}
