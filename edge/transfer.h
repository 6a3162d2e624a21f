/* SPDX-License-Identifier: Apache-2.0
 * One file operation in a jail, between its pipes and a request: the protocol of
 * sandbox/files/files_transfer.h on the one side, HTTP on the other, and neither faster
 * than the other takes it.
 *
 * Owns: itself, from the grant to the jail's end, which may come after its call's: a
 * client that left must not leave half a file, so its jail is let come to an end. Fails:
 * with an answer, or, once the answer has begun, by breaking the connection. */
#ifndef TB_EDGE_TRANSFER_H
#define TB_EDGE_TRANSFER_H

#include "common/slice.h"
#include "edge/call.h"
#include "proto/wire.h"

struct transfer;

enum transfer_answer {
	TRANSFER_JSON, /* an object of unknown length */
	TRANSFER_FILE  /* so many bytes as the jail says */
};

struct transfer_order {
	enum jail_kind kind; /* JAIL_KIND_OUT or JAIL_KIND_IN */
	enum transfer_answer answer;
	struct slice line; /* the request to the jail, with its line end; copied */
	const char *type;  /* of the content, static */
	struct slice name; /* of a file, for its content-disposition; in the arena */
};

/* Runs it in the workspace of that grant, which it gives back at its end; answers the
 * call. */
void transfer_start(struct call *c, uint64_t grant, const struct transfer_order *o);
/* Whether the tenant may have one more; counted until its end. */
bool transfer_may(struct call *c);
/* It did not come to a start. */
void transfer_uncount(struct edge *e, int64_t tenant);

#endif
