/* SPDX-License-Identifier: Apache-2.0
 * Binding the HTTP door. */
#include "supervisor/door.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/die.h"
#include "common/slice.h"

#define BACKLOG 4096
#define DYING_TRIES 20 /* a second in all */
#define DYING_PAUSE_NS 50000000

static int try_listen(const struct addrinfo *a)
{
	int one = 1;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

int door_listen(const char *address)
{
	char host[256];
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
			*found = NULL;
	snprintf(host, sizeof host, "%s", address);
	char *colon = strrchr(host, ':');
	if (!colon)
		fatal_usage("TERABITS_LISTEN: '%s' is no host:port, for example "
			    "127.0.0.1:7717",
			    address);
	*colon = 0;
	long long port;
	if (!slice_to_i64(slice_str(colon + 1), &port) || port < 0 || port > 65535)
		fatal_usage("TERABITS_LISTEN: '%s' has no port from 0 to 65535", address);
	char *name = host;
	if (*name == '[' && colon[-1] == ']') {
		colon[-1] = 0;
		name++;
	}
	int rv = getaddrinfo(*name ? name : NULL, colon + 1, &hints, &found);
	if (rv)
		fatal_usage("TERABITS_LISTEN: '%s': %s", address, gai_strerror(rv));
	int fd = try_listen(found);
	/* A killed predecessor's edge may still be dying, its socket with it. */
	for (int i = 0; fd < 0 && errno == EADDRINUSE && i < DYING_TRIES; i++) {
		nanosleep(&(struct timespec){.tv_nsec = DYING_PAUSE_NS}, NULL);
		fd = try_listen(found);
	}
	int why = errno;
	freeaddrinfo(found);
	errno = why;
	if (fd < 0 && errno == EADDRINUSE)
		fatal("the address %s is in use: stop what listens there, or set "
		      "TERABITS_LISTEN to another",
		      address);
	if (fd < 0)
		fatal("cannot listen on %s: %s. Set TERABITS_LISTEN to an address of "
		      "this machine",
		      address, strerror(errno));
	return fd;
}
