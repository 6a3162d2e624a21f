/* SPDX-License-Identifier: Apache-2.0
 * Opening the HTTP door. */
#include "supervisor/door.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/config.h"
#include "common/die.h"
#include "supervisor/door_socket.h"
#include "supervisor/door_tls.h"

#define BACKLOG 4096
#define DYING_TRIES 20 /* a second in all */
#define DYING_PAUSE_NS 50000000

static void add(struct door *d, int fd, enum listen_kind kind, unsigned edge)
{
	check(d->socket_count < LISTEN_SOCKETS_MOST);
	d->rows[2 * d->socket_count] = (unsigned char)kind;
	d->rows[2 * d->socket_count + 1] = (unsigned char)edge;
	d->sockets[d->socket_count++] = fd;
}

void door_pause(void)
{
	nanosleep(&(struct timespec){.tv_nsec = DYING_PAUSE_NS}, NULL);
}

/* ---- TCP */

static int try_listen(const struct addrinfo *a, bool shared)
{
	int one = 1;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (shared)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

/* Alone at first: sockets that share a port would share it with another node, too. */
static int listen_alone(const struct addrinfo *a)
{
	int fd = try_listen(a, false);
	/* A killed predecessor's edge may still be dying, its socket with it. */
	for (int i = 0; fd < 0 && errno == EADDRINUSE && i < DYING_TRIES; i++) {
		door_pause();
		fd = try_listen(a, false);
	}
	return fd;
}

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;
		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	const struct in6_addr *six =
		&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
	return a->sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(six) ||
		(IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127));
}

static void refuse_plain(const struct door *d, const struct listen_address *at)
{
	if (!d->config->listen_plain)
		fatal_usage(
			"TERABITS_LISTEN: '%s' is reached from other machines, and plain "
			"HTTP would carry tokens there readable. Use tls://%s with "
			"TERABITS_TLS_CERT and TERABITS_TLS_KEY, listen on 127.0.0.1 "
			"behind a proxy that speaks TLS, or say that this network is "
			"private: TERABITS_LISTEN_PLAIN=yes",
			at->text, at->text);
}

NORETURN static void cannot(const struct listen_address *at)
{
	if (errno == EADDRINUSE)
		fatal("the address %s is in use: stop what listens there, or set "
		      "TERABITS_LISTEN to another",
		      at->text);
	fatal("cannot listen on %s: %s. Set TERABITS_LISTEN to an address of this "
	      "machine",
	      at->text, strerror(errno));
}

/* A port that the kernel chose is the same for all. */
static void keep_port(int fd, const struct addrinfo *a)
{
	socklen_t n = a->ai_addrlen;
	if (getsockname(fd, a->ai_addr, &n))
		fatal("a listening socket has no name: %s", strerror(errno));
}

static void open_tcp(struct door *d, const struct listen_address *at)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
			*found = NULL;
	char port[8];
	unsigned edges = (unsigned)d->config->edges;
	snprintf(port, sizeof port, "%u", at->port);
	int rv = getaddrinfo(*at->host ? at->host : NULL, port, &hints, &found);
	if (rv)
		fatal_usage("TERABITS_LISTEN: '%s': %s", at->text, gai_strerror(rv));
	if (at->kind == LISTEN_PLAIN && !is_loopback(found->ai_addr))
		refuse_plain(d, at);
	int fd = listen_alone(found);
	if (fd < 0)
		cannot(at);
	if (edges == 1)
		add(d, fd, at->kind, 0);
	else {
		keep_port(fd, found);
		close(fd);
	}
	for (unsigned i = 0; edges > 1 && i < edges; i++) {
		fd = try_listen(found, true);
		if (fd < 0)
			cannot(at);
		add(d, fd, at->kind, i);
	}
	freeaddrinfo(found);
}

/* ---- all */

static void read_addresses(struct door *d)
{
	char why[512];
	d->address_count = listen_parse(d->config->listen, d->addresses, why, sizeof why);
	if (!d->address_count)
		fatal_usage("TERABITS_LISTEN: %s", why);
}

static bool has(const struct door *d, enum listen_kind kind)
{
	for (unsigned i = 0; i < d->address_count; i++)
		if (d->addresses[i].kind == kind)
			return true;
	return false;
}

static void open_tls(struct door *d)
{
	const struct config *c = d->config;
	char why[512];
	d->tls = -1;
	if (*c->tls_client_ca && !has(d, LISTEN_MTLS))
		fatal_usage("TERABITS_TLS_CLIENT_CA is set, but TERABITS_LISTEN has no "
			    "address of clients with certificates: write "
			    "mtls://host:port");
	if (!has(d, LISTEN_TLS) && !has(d, LISTEN_MTLS))
		return;
	if (has(d, LISTEN_MTLS) && !*c->tls_client_ca)
		fatal_usage("TERABITS_LISTEN has an mtls:// address: name the "
			    "authorities of its clients in TERABITS_TLS_CLIENT_CA");
	d->tls = door_tls_new();
	if (!door_tls_load(d->tls, c, why, sizeof why))
		fatal_usage("%s", why);
}

void door_open(struct door *d, const struct config *c, uid_t uid, gid_t gid)
{
	*d = (struct door){.config = c};
	read_addresses(d);
	open_tls(d);
	for (unsigned i = 0; i < d->address_count; i++) {
		const struct listen_address *at = &d->addresses[i];
		if (at->kind == LISTEN_UNIX)
			add(d, door_socket_listen(c, at->path, uid, gid), at->kind, 255);
		else
			open_tcp(d, at);
	}
}

struct slice door_rows(const struct door *d)
{
	return slice_of(d->rows, 2 * d->socket_count);
}

bool door_reload(struct door *d, char *why, size_t why_size)
{
	return door_tls_load(d->tls, d->config, why, why_size);
}

void door_close(struct door *d)
{
	for (unsigned i = 0; i < d->address_count; i++)
		if (d->addresses[i].kind == LISTEN_UNIX)
			unlink(d->addresses[i].path);
}
