/* SPDX-License-Identifier: Apache-2.0
 * Inherited descriptors. */
#include "edge/doors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/log.h"
#include "edge/cors.h"
#include "proto/boot.h"

static struct server_listener listeners[LISTEN_SOCKETS_MOST];
static unsigned count;
static struct tls_keys *keys;
static unsigned edge;
static struct server_config limits;

static void take_socket(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		fatal_usage("a listening socket is missing: terabitsd passes it");
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* A connection is a descriptor; so many are for everything else. */
#define OTHER_DESCRIPTORS 200

static unsigned possible_connections(unsigned wanted)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= wanted + OTHER_DESCRIPTORS)
		return wanted;
	unsigned most = r.rlim_cur > 2 * OTHER_DESCRIPTORS
				? (unsigned)r.rlim_cur - OTHER_DESCRIPTORS
				: OTHER_DESCRIPTORS;
	log_warn("connections-limited",
		 "connections=%u message=\"the limit of open files is %llu: raise it "
		 "(LimitNOFILE=) for TERABITS_MAX_CONNECTIONS=%u\"",
		 most, (unsigned long long)r.rlim_cur, wanted);
	return most;
}

static void take_limits(const struct wire_boot *b)
{
	char why[512], *origins = xstrndup(b->cors.p, b->cors.n);
	limits = (struct server_config){.max_connections =
						possible_connections(b->max_connections),
					.max_per_address = b->max_connections_address,
					.requests_most = b->max_requests_connection,
					.head_us = (int64_t)b->head_s * 1000000,
					.body_rate = b->body_rate,
					.cors = cors_new(origins, why, sizeof why)};
	if (*why)
		fatal_usage("TERABITS_CORS_ORIGINS: %s", why);
	free(origins);
}

void doors_take(const struct wire_boot *b)
{
	const unsigned char *row = (const void *)b->doors.p;
	char why[512];
	edge = b->ordinal;
	take_limits(b);
	if (!b->doors.n || b->doors.n % 2 || b->doors.n / 2 > LISTEN_SOCKETS_MOST)
		fatal_usage("the listening sockets are missing: terabitsd passes them");
	for (count = 0; count < b->doors.n / 2; count++, row += 2) {
		int fd = BOOT_LISTEN_FD + (int)count;
		take_socket(fd);
		listeners[count] =
			(struct server_listener){fd, (enum listen_kind)row[0], row[1]};
	}
	if (!b->tls)
		return;
	fcntl(BOOT_TLS_FD, F_SETFD, FD_CLOEXEC);
	keys = doors_read_keys(why, sizeof why);
	if (!keys)
		fatal_usage("%s", why);
}

void doors_fill(struct server_config *c)
{
	c->max_connections = limits.max_connections;
	c->max_per_address = limits.max_per_address;
	c->requests_most = limits.requests_most;
	c->head_us = limits.head_us;
	c->body_rate = limits.body_rate;
	c->cors = limits.cors;
	c->listeners = listeners;
	c->listener_count = count;
	c->edge = edge;
}

struct tls_keys *doors_keys(void)
{
	return keys;
}

struct tls_keys *doors_read_keys(char *why, size_t why_size)
{
	struct tls_files f;
	struct tls_keys *k = NULL;
	char *text = xmalloc(TLS_BOX_MOST);
	if (tls_box_read(BOOT_TLS_FD, text, &f))
		k = tls_keys_new(&f, why, why_size);
	else
		snprintf(why, why_size, "the files of TLS did not come whole");
	crypto_wipe(text, TLS_BOX_MOST);
	free(text);
	return k;
}
