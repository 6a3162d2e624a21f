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

#define ANSWER_MOST ((size_t)16 << 20)
#define ANSWER_SECONDS 15

/* ---- the socket */

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

int admin_is_there(const char *state)
{
	AUTO(auto_close) int fd = open_socket(state);
	return fd >= 0 || errno == EACCES || errno == EPERM;
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

static int send_all(int fd, struct slice text)
{
	while (text.n) {
		ssize_t n = send(fd, text.p, text.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		text.p += n;
		text.n -= (size_t)n;
	}
	return 0;
}

static int read_line(int fd, struct strbuf *out)
{
	for (;;) {
		ssize_t n = recv(fd, strbuf_reserve(out, 65536), 65536, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ECONNRESET;
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

static int exchange(const char *state, struct slice request, struct strbuf *line)
{
	AUTO(auto_close) int fd = open_socket(state);
	if (fd < 0)
		return refuse(state);
	strbuf_reset(line);
	if (send_all(fd, request) == 0 && read_line(fd, line) == 0)
		return 0;
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		report("the node did not answer on %s/admin.sock in %d s; what was asked "
		       "for may still happen. Its log says what it is busy with",
		       state, ANSWER_SECONDS);
		return EXIT_TIMEOUT;
	}
	report("the node did not answer on %s/admin.sock: either it is stopping, or this "
	       "user (uid %u) is neither its own nor root",
	       state, (unsigned)geteuid());
	return EXIT_AWAY;
}

/* ---- requests and answers */

struct json_out admin_begin(struct strbuf *request, const char *cmd)
{
	struct json_out o = json_out(request);
	json_obj(&o);
	json_kv_cstr(&o, "cmd", cmd);
	json_key(&o, "args");
	json_obj(&o);
	return o;
}

void admin_end(struct json_out *o)
{
	json_obj_end(o);
	json_obj_end(o);
	strbuf_add_char(o->b, '\n');
}

static int status_of(const char *code)
{
	return !strcmp(code, "not_found")     ? EXIT_ABSENT
	       : !strcmp(code, "bad_request") ? EXIT_USAGE
					      : EXIT_FAILED;
}

struct json_doc *admin_ask(const char *state, struct slice request, struct strbuf *line,
			   int *status)
{
	char why[160];
	*status = exchange(state, request, line);
	if (*status)
		return NULL;
	struct json_doc *d = json_parse(strbuf_slice(line), ANSWER_MOST, why, sizeof why);
	json_t root = json_root(d);
	const char *error = json_cstr(json_get(root, "error"), NULL);
	*status = EXIT_FAILED;
	/* An archived run has an "error" too, among other things but never with a code.
	 */
	if (d && (!error || (!json_get(root, "code") && json_len(root) > 1))) {
		*status = EXIT_FINE;
		return d;
	}
	if (error) {
		*status = status_of(json_cstr(json_get(root, "code"), ""));
		report("the node answered: %s", error);
	} else {
		report("the node's answer is no JSON: %s", why);
	}
	json_free(d);
	return NULL;
}
