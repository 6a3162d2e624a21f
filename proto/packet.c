/* SPDX-License-Identifier: Apache-2.0
 * Packets: the frame codec over sendmsg and recvmsg. */
#include "proto/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/die.h"
#include "common/strbuf.h"

union control {
	struct cmsghdr head; /* aligns it */
	char bytes[CMSG_SPACE(sizeof(int) * PACKET_FDS)];
};

static enum err send_bytes(int socket, struct slice bytes, const int *fds, int n)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes.p, .iov_len = bytes.n};
	union control c;
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
	if (n) {
		memset(&c, 0, sizeof c);
		m.msg_control = c.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
		memcpy(CMSG_DATA(h), fds, sizeof(int) * (size_t)n);
	}
	ssize_t sent;
	do
		sent = sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent == (ssize_t)bytes.n)
		return ERR_OK;
	if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
		return ERR_UNAVAILABLE;
	return errno == EMSGSIZE ? ERR_TOO_LARGE : ERR_PEER_GONE;
}

enum err packet_send(int socket, enum wire_id id, const void *msg, const int *fds, int n)
{
	AUTO(strbuf_fini) struct strbuf b = {0};
	check(n >= 0 && n <= PACKET_FDS);
	wire_encode_counter(&b, 0);
	enum err e = wire_encode(&b, id, msg);
	if (!e && b.n > PACKET_BYTES)
		e = ERR_TOO_LARGE;
	return e ? e : send_bytes(socket, strbuf_slice(&b), fds, n);
}

/* ---- receiving */

static void take_fds(struct msghdr *m, struct packet *p)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
			if (p->fd_count < PACKET_FDS)
				p->fds[p->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

static enum err refuse(struct packet *p, const char **why, const char *word)
{
	for (int i = 0; i < p->fd_count; i++)
		close(p->fds[i]);
	p->fd_count = 0;
	*why = word;
	return ERR_PROTOCOL;
}

static enum err decode(struct packet *p, size_t n, enum wire_route route,
		       const char **why)
{
	struct wire_frame f;
	enum wire_id id;
	union wire_any more;
	if (wire_frame_open(slice_of(p->bytes, n), &f, why) ||
	    wire_frame_next(&f, &p->id, &p->message, why))
		return refuse(p, why, *why ? *why : "an empty packet");
	if (wire_desc(p->id)->route != route)
		return refuse(p, why, "a message of another route");
	if (wire_frame_next(&f, &id, &more, why) != ERR_NOT_FOUND)
		return refuse(p, why, "more than one message");
	return ERR_OK;
}

enum err packet_receive(int socket, enum wire_route route, struct packet *p,
			const char **why)
{
	struct iovec part = {.iov_base = p->bytes, .iov_len = sizeof p->bytes};
	union control c;
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = c.bytes,
			   .msg_controllen = sizeof c.bytes};
	ssize_t n;
	*why = NULL;
	p->fd_count = 0;
	for (int i = 0; i < PACKET_FDS; i++)
		p->fds[i] = -1;
	do
		n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? ERR_NOT_FOUND : ERR_PEER_GONE;
	take_fds(&m, p);
	if (n == 0 && !p->fd_count)
		return ERR_PEER_GONE;
	if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return refuse(p, why, "a packet that is too large");
	return decode(p, (size_t)n, route, why);
}
