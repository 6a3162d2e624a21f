/* SPDX-License-Identifier: Apache-2.0
 * A head of fixed size, with the descriptors; then its texts, each with its NUL. */
#include "sandbox/jail/orders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct head {
	struct jail_spec spec; /* its pointers to texts mean nothing */
	uint32_t argc, envc;   /* argc 0: a function */
	uint32_t bytes;
};

union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(3 * sizeof(int))];
};

/* ---- the launcher's end */

static uint32_t count(char *const *words, uint32_t *bytes)
{
	uint32_t n = 0;
	for (; words && words[n]; n++)
		*bytes += (uint32_t)strlen(words[n]) + 1;
	return n;
}

static char *put(char *at, const char *text)
{
	size_t n = strlen(text) + 1;
	memcpy(at, text, n);
	return at + n;
}

static const char *path_of(const struct jail_directory *d)
{
	return d->path ? d->path : "";
}

static int send_head(int socket, const struct head *h)
{
	const int fds[3] = {h->spec.in, h->spec.out, h->spec.err};
	struct iovec part = {.iov_base = (void *)(uintptr_t)h, .iov_len = sizeof *h};
	union control control = {.head = {.cmsg_len = CMSG_LEN(sizeof fds),
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS}};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof control.space};
	memcpy(CMSG_DATA(&control.head), fds, sizeof fds);
	return sendmsg(socket, &m, MSG_NOSIGNAL) == sizeof *h ? 0 : -1;
}

static int send_all(int socket, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(socket, p, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return -1;
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

int orders_send(int socket, const struct jail_spec *s)
{
	struct head h;
	memset(&h, 0, sizeof h);
	h.spec = *s;
	h.spec.group = NULL;
	h.bytes = (uint32_t)(strlen(s->workspace) + strlen(s->cwd) + 2);
	for (size_t i = 0; i < JAIL_SHARED__COUNT; i++)
		h.bytes += (uint32_t)strlen(path_of(&s->shared[i])) + 1;
	h.argc = count(s->argv, &h.bytes);
	h.envc = count(s->env, &h.bytes);
	char *texts = malloc(h.bytes), *at = texts;
	if (!texts)
		return -1;
	at = put(at, s->workspace);
	at = put(at, s->cwd);
	for (size_t i = 0; i < JAIL_SHARED__COUNT; i++)
		at = put(at, path_of(&s->shared[i]));
	for (uint32_t i = 0; i < h.argc; i++)
		at = put(at, s->argv[i]);
	for (uint32_t i = 0; i < h.envc; i++)
		at = put(at, s->env[i]);
	int rv = send_head(socket, &h);
	if (!rv)
		rv = send_all(socket, texts, h.bytes);
	free(texts);
	return rv;
}

/* ---- the jail's end */

static bool receive_head(int socket, struct head *h)
{
	struct iovec part = {.iov_base = h, .iov_len = sizeof *h};
	union control control;
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof control.space};
	int fds[3];
	ssize_t n;
	do
		n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_WAITALL);
	while (n < 0 && errno == EINTR);
	if (n != sizeof *h || m.msg_controllen < sizeof control.head ||
	    control.head.cmsg_len != CMSG_LEN(sizeof fds))
		return false;
	memcpy(fds, CMSG_DATA(&control.head), sizeof fds);
	h->spec.in = fds[0];
	h->spec.out = fds[1];
	h->spec.err = fds[2];
	return true;
}

static bool receive_all(int socket, char *p, size_t n)
{
	while (n) {
		ssize_t got = recv(socket, p, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static char **words(char **at, uint32_t n)
{
	char **list = calloc(n + 1, sizeof *list);
	for (uint32_t i = 0; list && i < n; i++) {
		list[i] = *at;
		*at += strlen(*at) + 1;
	}
	return list;
}

bool orders_receive(int socket, struct jail_spec *s)
{
	struct head h;
	if (!receive_head(socket, &h))
		return false;
	char *texts = malloc(h.bytes), *at = texts;
	if (!texts || !receive_all(socket, texts, h.bytes))
		return false;
	*s = h.spec;
	s->workspace = at;
	at += strlen(at) + 1;
	s->cwd = at;
	at += strlen(at) + 1;
	for (size_t i = 0; i < JAIL_SHARED__COUNT; i++) {
		s->shared[i].path = at;
		at += strlen(at) + 1;
	}
	s->argv = h.argc ? words(&at, h.argc) : NULL;
	s->env = words(&at, h.envc);
	return s->env && (!h.argc || s->argv);
}
