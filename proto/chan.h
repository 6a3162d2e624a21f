/* SPDX-License-Identifier: Apache-2.0
 * One link between the supervisor and one child's life: an nng pair over ipc (the home of
 * nng), with the handshake.
 *
 * A new socket and a random URL in a 0700 directory for each life: one pipe, no
 * reconnect. Messages are collected and leave as one frame a loop turn (LINKS phase),
 * split below LIMIT_FRAME_BYTES. Each frame carries a counter; a gap, an undecodable
 * frame, a message outside the peer's route or phase, a second pipe, or a peer that is
 * not the expected one ends the link (on_down with the reason); on the supervisor's side
 * so does a peer that for five seconds takes nothing of what waits for it. "Sent" is
 * never "delivered": what must arrive is acknowledged by messages. Owns: socket, outbox.
 * Never: blocks. Fails: on_down once, then nothing more is called. */
#ifndef TB_CHAN_H
#define TB_CHAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"
#include "common/err.h"
#include "proto/wire.h"

struct loop;
struct chan;

struct chan_config {
	struct loop *loop;
	const char *url;          /* "ipc:///run/.../x.ipc" */
	bool is_supervisor;       /* listens and checks HELLO; else dials and sends it */
	enum boot_role role;      /* the child's */
	const uint8_t *secret;    /* 32 bytes, inherited by fd */
	int64_t hello_timeout_us; /* supervisor: from chan_open; 0: 10 s */
	int64_t stall_us;         /* supervisor: the peer read nothing; 0: 5 s */
	/* The handshake is done (phase LINK_GREETED). */
	void (*on_up)(void *arg, unsigned peer_pid);
	/* A message allowed in the current phase; strings are valid during the call only.
	 */
	void (*on_message)(void *arg, enum wire_id id, const union wire_any *m);
	/* The link ended; `why` is one sentence. chan_free may be called here. */
	void (*on_down)(void *arg, const char *why);
	/* The outbox crossed LIMIT_OUTBOX_SOFT (high) or fell to half of it (not high).
	 * May be NULL. */
	void (*on_pressure)(void *arg, bool high);
	void *arg;
};

/* NULL and a sentence in err when the socket cannot be opened. */
struct chan *chan_open(const struct chan_config *c, char *err, size_t err_size);
/* Flushes nothing. Frees at the turn's end; a supervisor's socket is closed by a thread
 * of its own, for that may take long, and now and then for ever. */
void chan_free(struct chan *c);
/* Before a supervisor ends: whether all its sockets are closed, after so long at most.
 * Blocks. */
bool chan_wait_closed(unsigned ms);
/* READY was received or sent, DRAIN was: the owner moves the phase on. */
void chan_set_phase(struct chan *c, unsigned phase);
unsigned chan_phase(const struct chan *c);
/* Queues a message, however many wait: who sends much looks at chan_outbox first.
 * ERR_TOO_LARGE: a field is too long; ERR_PEER_GONE: the link is down. */
MUST_CHECK enum err chan_send(struct chan *c, enum wire_id id, const void *msg);
/* Bytes not yet taken by the socket. */
size_t chan_outbox(const struct chan *c);
/* A random URL below dir; out_size >= strlen(dir) + 40. */
void chan_make_url(const char *dir, char *out, size_t out_size);
/* The socket's file of such a URL. */
void chan_url_path(struct slice url, char *out, size_t out_size);

#endif
