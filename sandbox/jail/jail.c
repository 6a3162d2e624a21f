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
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/die.h"
#include "sandbox/jail/guard.h"
#include "sandbox/jail/orders.h"

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

/* ---- the guard, process 1 */

/* What it inherits is what the tool gets: descriptors and filters are made once, for
 * both. From here on a jail has no rights but the tool's. */
static struct birth confine(const struct birth *b)
{
	const struct jail_spec *s = b->spec;
	struct birth here = *b;
	sigset_t none;
	setsid();
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int in = fcntl(s->in, F_DUPFD, SAFE_FD), out = fcntl(s->out, F_DUPFD, SAFE_FD),
	    err = fcntl(s->err, F_DUPFD, SAFE_FD);
	int status = fcntl(b->status, F_DUPFD_CLOEXEC, SAFE_FD);
	if (in < 0 || out < 0 || err < 0 || status < 0 || dup2(in, 0) < 0 ||
	    dup2(out, 1) < 0 || dup2(err, 2) < 0 ||
	    dup3(status, 3, O_CLOEXEC) < 0) /* gone when the program starts */
		birth_fail(b, "hand over", "descriptors");
	here.status = 3;
	if (close_range(4, UINT_MAX, 0))
		birth_fail(&here, "close", "descriptors");
	if (chdir(s->cwd)) {
		struct jail_report r = {.kind = JAIL_NO_DIRECTORY, .number = errno};
		birth_report(&here, &r);
		_exit(127);
	}
	if (!s->argv) {
		birth_landlock(&here);
		birth_limits(&here);
	}
	if (jail_filters_load(&b->host->filters))
		birth_fail(&here, "load", "the filters");
	return here;
}

static uint64_t us_of(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static struct jail_report report_of(int how, const struct rusage *u)
{
	return (struct jail_report){
		.kind = WIFSIGNALED(how) ? JAIL_SIGNALLED : JAIL_EXITED,
		.number = WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how),
		.user_us = us_of(u->ru_utime),
		.system_us = us_of(u->ru_stime),
		.rss_peak_bytes = (uint64_t)u->ru_maxrss * 1024};
}

/* In the memory of the guard, which stands still until the program is there: a copy of
 * it, made to be thrown away, is half of what a jail costs. */
NORETURN static void become_program(const struct birth *b)
{
	setsid();
	birth_landlock(b); /* so that no signal of its reaches the guard */
	birth_limits(b);   /* other jails of its user do not keep it from being born */
	execve(b->spec->argv[0], b->spec->argv, b->spec->env);
	struct jail_report failed = {.kind = JAIL_EXEC_FAILED, .number = errno};
	birth_report(b, &failed);
	_exit(127);
}

/* Its end is the end of all in here, whoever is left. */
NORETURN static void guard(const struct birth *b)
{
	struct rusage u = {0};
	int how;
	prctl(PR_SET_NAME, "jail-guard", 0, 0, 0);
	pid_t tool = vfork();
	if (tool < 0)
		birth_fail(b, "fork", "the tool");
	if (tool == 0)
		become_program(b);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	for (;;) {
		pid_t ended = waitpid(-1, &how, 0);
		if (ended == tool)
			break;
		if (ended < 0 && errno != EINTR)
			_exit(124);
	}
	getrusage(RUSAGE_CHILDREN, &u);
	struct jail_report r = report_of(how, &u);
	birth_report(b, &r);
	_exit(0);
}

/* A function of ours starts no process, so none has to be reaped: it is process 1. */
NORETURN static void become_function(const struct birth *b)
{
	const struct jail_spec *s = b->spec;
	close(b->status);
	s->run(s->arg);
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

NORETURN static void become_guard(struct birth *b)
{
	struct jail_spec spec;
	char byte;
	if (b->spec && read(b->word, &byte, 1) != 1)
		_exit(126); /* the launcher gave it up */
	if (b->host->identity == JAIL_USER_NAMESPACE)
		birth_map_user(b);
	if (sethostname("jail", 4))
		birth_fail(b, "name", "the host");
	birth_root(b);
	birth_lock_privileges(b);
	if (!b->spec) {
		if (!orders_receive(b->word, &spec))
			_exit(126);
		b->spec = &spec;
	}
	birth_places(b);
	if (b->spec->argv)
		birth_protect(b);
	birth_drop_privileges(b);
	die_with_launcher(b);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	struct birth here = confine(b);
	if (b->spec->argv)
		guard(&here);
	become_function(&here);
}

/* ---- the launcher's side */

/* What the kernel's word means for whoever has to mend it. */
static const char *todo(const struct jail_host *h, int error)
{
	if (error == ENOSPC)
		return ": namespaces are used up or switched off (sysctl "
		       "user.max_user_namespaces and its like)";
	if ((error == EPERM || error == EACCES) && h->identity == JAIL_SWITCH_UID)
		return ": root here lacks CAP_SYS_ADMIN; in a container, add that "
		       "capability and a seccomp profile that allows mounts";
	if (error == EPERM || error == EACCES)
		return ": user namespaces are refused (sysctl "
		       "kernel.unprivileged_userns_clone=1, "
		       "kernel.apparmor_restrict_unprivileged_userns=0), or start as "
		       "root";
	if (error == EAGAIN)
		return ": too many processes (ulimit -u, LimitNPROC=, TasksMax=, a "
		       "container's limit of pids)";
	if (error == EINVAL)
		return ": the kernel lacks a kind of namespace (CONFIG_PID_NS, NET_NS, "
		       "IPC_NS, UTS_NS, USER_NS, CONFIG_CGROUPS)";
	if (error == ENOSYS)
		return ": clone3 needs Linux 5.3 or newer; in a container, allow that "
		       "system call";
	return "";
}

static void explain(const struct jail_host *h, int error, char *err, size_t size)
{
	snprintf(err, size, "the jail could not be made (%s)%s", strerrordesc_np(error),
		 todo(h, error));
}

/* Of each pair the new process gets one end and the launcher the other. */
struct ends {
	int status[2]; /* ours, theirs */
	int word[2];   /* theirs, ours: the release pipe, or the orders' socket */
};

static int open_ends(struct ends *e, bool is_spare)
{
	if (pipe2(e->status, O_CLOEXEC))
		return -1;
	if ((is_spare ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, e->word)
		      : pipe2(e->word, O_CLOEXEC)) == 0)
		return 0;
	close(e->status[0]);
	close(e->status[1]);
	return -1;
}

/* A spare one lives beside others: it must hold open nothing of theirs, nor of the
 * launcher's. */
static void keep_two(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);
	if (low > 3)
		close_range(3, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, UINT_MAX, 0);
}

/* Clones it; s NULL: a spare one. The launcher's end of its word; -1: an error in err. */
static int bear(const struct jail_host *h, const struct jail_spec *s,
		const struct cgroup_way *g, struct jail *j, char *err, size_t err_size)
{
	int pidfd = -1;
	struct ends e;
	struct clone_args a = {.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
					CLONE_NEWIPC | CLONE_NEWUTS | CLONE_PIDFD,
			       .pidfd = (uint64_t)(uintptr_t)&pidfd,
			       .exit_signal = SIGCHLD};
	if (h->identity == JAIL_USER_NAMESPACE)
		a.flags |= CLONE_NEWUSER;
	if (g && g->into >= 0) {
		a.flags |= CLONE_INTO_CGROUP;
		a.cgroup = (uint64_t)g->into;
	}
	if (open_ends(&e, !s)) {
		snprintf(err, err_size, "no descriptors are left for a jail");
		return -1;
	}
	struct birth b = {.host = h,
			  .spec = s,
			  .group = g,
			  .status = e.status[1],
			  .word = e.word[0]};
	pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof a);
	if (pid == 0) {
		close(e.word[1]);
		close(e.status[0]);
		birth_join(&b);
		if (!s)
			keep_two(b.status, b.word);
		become_guard(&b);
	}
	if (pid < 0)
		explain(h, errno, err, err_size);
	close(e.status[1]);
	close(e.word[0]);
	if (pid < 0) {
		close(e.word[1]);
		close(e.status[0]);
		return -1;
	}
	*j = (struct jail){.guard = pid,
			   .pidfd = pidfd,
			   .status = e.status[0],
			   .orders = -1,
			   .is_program = s && s->argv};
	return e.word[1];
}

int jail_start(const struct jail_host *h, const struct jail_spec *s, struct jail *j,
	       char *err, size_t err_size)
{
	int release = bear(h, s, s->group, j, err, err_size);
	if (release < 0)
		return -1;
	if (write(release, "", 1) != 1)
		kill(j->guard, SIGKILL);
	close(release);
	return 0;
}

int jail_birth(const struct jail_host *h, const struct cgroup_way *g, struct jail *j,
	       char *err, size_t err_size)
{
	int orders = bear(h, NULL, g, j, err, err_size);
	if (orders < 0)
		return -1;
	j->orders = orders;
	return 0;
}

int jail_use(struct jail *j, const struct jail_spec *s)
{
	int rv = orders_send(j->orders, s);
	close(j->orders);
	j->orders = -1;
	j->is_program = s->argv != NULL;
	return rv;
}

void jail_kill(const struct jail *j)
{
	syscall(SYS_pidfd_send_signal, j->pidfd, SIGKILL, NULL, 0);
}

void jail_wait(struct jail *j, struct jail_report *r)
{
	struct jail_report next;
	struct rusage u = {0};
	int how = SIGKILL;
	while (wait4(j->guard, &how, 0, &u) < 0 && errno == EINTR)
		;
	*r = j->is_program
		     ? (struct jail_report){.kind = JAIL_SIGNALLED, .number = SIGKILL}
		     : report_of(how, &u);
	/* A step that failed comes before the exit that followed from it. */
	for (bool first = true; read(j->status, &next, sizeof next) == sizeof next;
	     first = false) {
		next.text[sizeof next.text - 1] = 0;
		if (first || r->kind == JAIL_EXITED || r->kind == JAIL_SIGNALLED)
			*r = next;
	}
	if (j->orders >= 0)
		close(j->orders);
	close(j->status);
	close(j->pidfd);
	*j = (struct jail){.guard = -1, .pidfd = -1, .status = -1, .orders = -1};
}
