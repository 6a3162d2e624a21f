/* SPDX-License-Identifier: Apache-2.0
 * The handler counts, and a byte in a pipe wakes the loop. */
#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/die.h"
#include "common/loop.h"

static volatile sig_atomic_t count;
static int ends[2] = {-1, -1};
static struct loop_fd *watch;
static struct {
	void (*fn)(void *arg);
	void *arg;
} told;

static void on_signal(int signo)
{
	int before = errno;
	(void)signo;
	count++;
	if (write(ends[1], "", 1) < 0) /* full: it wakes anyway */
		errno = before;
	errno = before;
}

static void on_byte(void *arg, int what)
{
	char bytes[16];
	ssize_t n = read(ends[0], bytes, sizeof bytes);
	(void)arg;
	(void)what;
	for (ssize_t i = 0; i < n; i++)
		told.fn(told.arg);
}

static void set_handler(void (*handler)(int))
{
	struct sigaction a = {.sa_handler = handler};
	sigemptyset(&a.sa_mask);
	sigaction(SIGINT, &a, NULL);
}

void interrupt_open(struct loop *l, void (*fn)(void *arg), void *arg)
{
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		fatal("no pipe can be made: %s", strerror(errno));
	told.fn = fn;
	told.arg = arg;
	watch = loop_fd_new(l, ends[0], LOOP_READ, on_byte, NULL);
	set_handler(on_signal);
}

void interrupt_close(void)
{
	if (ends[0] < 0)
		return;
	set_handler(SIG_DFL);
	loop_fd_free(watch);
	close(ends[0]);
	close(ends[1]);
	ends[0] = ends[1] = -1;
}

/* By the pipe, so that a signal just before the wait is not missed. */
bool interrupt_wait(int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN},
			      {.fd = ends[0], .events = POLLIN}};
	while (poll(p, 2, -1) < 0)
		;
	return p[1].revents & POLLIN;
}

/* What was counted is dealt with: the loop hears of it no more. */
int interrupt_count(void)
{
	char bytes[16];
	int n = count;
	count = 0;
	while (read(ends[0], bytes, sizeof bytes) > 0)
		;
	return n;
}
