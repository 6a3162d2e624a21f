/* SPDX-License-Identifier: Apache-2.0
 * Inherited descriptors. */
#include "edge/doors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"
#include "proto/boot.h"

static struct server_listener listeners[LISTEN_SOCKETS_MOST];
static unsigned count;
static struct tls_keys *keys;
static unsigned edge;

static void take_socket(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		fatal_usage("a listening socket is missing: terabitsd passes it");
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void doors_take(const struct wire_boot *b)
{
	const unsigned char *row = (const void *)b->doors.p;
	char why[512];
	edge = b->ordinal;
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
