/* SPDX-License-Identifier: Apache-2.0
 * The socket's end of a connection: bytes from it into `in`, bytes of `out` to it, with
 * or without TLS. Private to conn.c. */
#ifndef TB_EDGE_CONN_IO_H
#define TB_EDGE_CONN_IO_H

#include "edge/conn.h"

/* Buffers above this are given back when empty. */
#define CONN_KEEP_BYTES 2048

/* What still comes is of no interest. */
bool conn_drops_input(const struct conn *c);
/* Whether anything waits for the socket. */
bool conn_has_output(const struct conn *c);
/* Reads once; sets eof and broken. */
void conn_read(struct conn *c);
/* Sends what the socket takes: once, unless there is more than TLS seals at a time; sets
 * blocked. false: broken. */
bool conn_send(struct conn *c);
/* Nothing more will be sent. */
void conn_shut(struct conn *c);

#endif
