/* SPDX-License-Identifier: Apache-2.0
 * What an edge inherits of the node's door: listening sockets, certificate and key, and
 * its limits. */
#ifndef TB_EDGE_DOORS_H
#define TB_EDGE_DOORS_H

#include "edge/server.h"
#include "edge/tls.h"
#include "proto/wire.h"

/* Takes what BOOT tells of; before the process is confined. Dies with what to do when
 * the certificate cannot be used. */
void doors_take(const struct wire_boot *b);
/* Names them to the server, which borrows; and its keys, if there are any. */
void doors_fill(struct server_config *c);
struct tls_keys *doors_keys(void);
/* Reads certificate and key again. NULL: why says why not. */
struct tls_keys *doors_read_keys(char *why, size_t why_size);

#endif
