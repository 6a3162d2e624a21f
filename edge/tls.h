/* SPDX-License-Identifier: Apache-2.0
 * TLS of a connection (the home of OpenSSL): bytes of the network in, plain ones out, and
 * the other way round. It reads and writes no socket, so that a connection sends once a
 * turn with TLS as without.
 *
 * TLS 1.2 and 1.3; no renegotiation, no compression, no sessions to resume (each
 * connection proves itself anew); of protocols within it http/1.1 alone. Call
 * tls_keys_new before the process is confined: OpenSSL reads its settings then. */
#ifndef TB_EDGE_TLS_H
#define TB_EDGE_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/slice.h"
#include "common/strbuf.h"
#include "proto/tls_box.h"

struct tls_keys; /* certificate, key and the authorities of clients */
struct tls;      /* of one connection */

/* NULL: why is a sentence. */
struct tls_keys *tls_keys_new(const struct tls_files *f, char *why, size_t why_size);
/* Connections under way keep what they began with. NULL allowed. */
void tls_keys_free(struct tls_keys *k);

/* wants_client: only one that shows a certificate of those authorities. */
struct tls *tls_new(struct tls_keys *k, bool wants_client);
void tls_free(struct tls *t); /* NULL allowed */
enum tls_state { TLS_FINE, TLS_ENDED, TLS_BROKEN };
/* What came from the network; appends what it says in plain. ENDED: the peer says no
 * more. BROKEN: the connection is of no use; a last word may wait in tls_wire. */
enum tls_state tls_open(struct tls *t, struct slice raw, struct strbuf *plain);
/* Moves what is plain to tls_wire, as much as TLS_WIRE_MOST lets; nothing before the
 * handshake is over. false: broken. */
bool tls_seal(struct tls *t, struct strbuf *plain);
/* What the network is to take. */
struct strbuf *tls_wire(struct tls *t);
/* Adds the last word of this side. */
void tls_close(struct tls *t);

#define TLS_WIRE_MOST (256u << 10)

#endif
