/* SPDX-License-Identifier: Apache-2.0
 * The other side of a launcher, for the process it was started beside (a worker, an
 * edge): programs started in jails, fed, heard and ended.
 *
 * A jail is an op: it completes when nothing of it is left and all it printed was read,
 * or when it was refused. Owns: the pipes. Never: waits. Fails: when the launcher is gone
 * every jail completes with ERR_PEER_GONE. */
#ifndef TB_CLIENT_JAILS_H
#define TB_CLIENT_JAILS_H

#include "common/op.h"
#include "common/slice.h"
#include "proto/wire.h"
#include "sandbox/client/output.h"

struct jails;
struct loop;
struct loop_fd;

/* One jail; embedded by who wants it, zeroed. What is in `open` and `input` is borrowed
 * until the op completes. */
struct jail_work {
	struct wire_jail_open open; /* but its id */
	struct slice input;         /* for its standard input */
	struct output out, err;     /* initialised by the caller */
	/* May be NULL: hears what comes on its output (1) or errors (2), after these. */
	void (*on_printed)(struct jail_work *w, int fd, struct slice bytes);
	/* Not NULL: who opened it feeds and hears it itself. It gets the three pipes
	 * (non-blocking, its own to close), and the op completes when nothing of the jail
	 * is left, whatever still is in them; input, out and err are not used. */
	void (*on_pipes)(struct jail_work *w, const int fds[3]);

	/* afterwards, with ERR_OK */
	struct wire_jail_closed closed; /* its message is in `message` */
	char message[256]; /* also with ERR_TOOL_FAILED: why it was refused ... */
	bool full;         /* ... because the workspace is over its quota */

	/* private */
	struct jails *jails;
	struct op *op;
	uint64_t id;
	int fd[3]; /* its input, output, errors; -1 closed */
	struct loop_fd *watch[3];
	bool is_closed;
};

/* fd: the socket to the launcher. */
struct jails *jails_new(struct loop *l, int fd);
void jails_free(struct jails *j);
/* Starts it; op is the caller's, initialised. */
void jails_start(struct jails *j, struct jail_work *w, struct op *op,
		 int64_t deadline_us);
/* The launcher is gone, and another one will take its end of the socket: every jail
 * completes with ERR_PEER_GONE. */
void jails_lost(struct jails *j);
/* Has it ended; the op completes as ever, when nothing of it is left. */
void jails_stop(struct jail_work *w);

#endif
