/* SPDX-License-Identifier: Apache-2.0
 * One question and one line of answer over <state>/admin.sock. */
#include "cli/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/report.h"
#include "common/alloc.h"
#include "common/attr.h"

#define ANSWER_MOST ((size_t)1 << 20)
#define ANSWER_SECONDS 5

/* The directory by its descriptor: a socket's path has 107 bytes, a state directory may
 * be deeper. */
static int open_socket(const char *state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = ANSWER_SECONDS};
	AUTO(auto_close) int dir = open(state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/admin.sock", dir);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

static int refuse(const char *state)
{
	if (errno == EACCES || errno == EPERM)
		report("%s/admin.sock: %s. The user who runs the node may ask it, and "
		       "root",
		       state, strerror(errno));
	else
		report("no node runs with the state directory %s (%s). Start one with "
		       "./run serve, or set TERABITS_STATE_DIR",
		       state, strerror(errno));
	return EXIT_AWAY;
}

static int read_line(int fd, struct strbuf *out)
{
	for (;;) {
		ssize_t n = recv(fd, strbuf_reserve(out, 4096), 4096, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || out->n + (size_t)n > ANSWER_MOST)
			return -1;
		char *end = memchr(out->p + out->n, '\n', (size_t)n);
		out->n += (size_t)n;
		if (end) {
			*end = 0;
			out->n = (size_t)(end - out->p);
			return 0;
		}
	}
}

int admin_ask(const char *state, const char *command, struct strbuf *out)
{
	char line[64];
	int n = snprintf(line, sizeof line, "{\"cmd\":\"%s\"}\n", command);
	AUTO(auto_close) int fd = open_socket(state);
	if (fd < 0)
		return refuse(state);
	if (send(fd, line, (size_t)n, MSG_NOSIGNAL) == n && read_line(fd, out) == 0)
		return 0;
	report("the node did not answer on %s/admin.sock: either it is stopping, or this "
	       "user (uid %u) is neither its own nor root",
	       state, (unsigned)geteuid());
	return EXIT_AWAY;
}
