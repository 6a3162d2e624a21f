/* SPDX-License-Identifier: Apache-2.0
 * Changing a row of the catalogue that has a version: what every PUT and DELETE of one
 * has in common.
 *
 * The version is the resource's ETag; a request may name the one it means to replace, by
 * If-Match. The statement that changes the row compares the versions itself, writes the
 * row of tb.audit_log in the same transaction and answers (outcome, version). */
#ifndef TB_EDGE_CHANGE_H
#define TB_EDGE_CHANGE_H

#include "edge/call.h"

struct pg_params;
struct pg_result;

enum change_outcome {
	CHANGE_ABSENT, /* there is nothing to change */
	CHANGE_STALE,  /* another version stands */
	CHANGE_DONE
};
struct change {
	int64_t expect; /* -1: any */
	enum change_outcome outcome;
	int64_t version; /* that stands now */
};

/* Reads If-Match. False: answered 400. */
bool change_read(struct call *c, struct change *ch);
/* Likewise, of a version that is no number: the tag without its quotes; SLICE_NONE: not
 * said. */
bool change_read_tag(struct call *c, struct slice *tag);
/* The expected version; NULL: any. */
void change_add_expected(struct pg_params *p, int64_t expect);
/* The audit row's id and the actor. */
void change_add_actor(struct pg_params *p, const struct call *c);
/* All three, as a statement's last ones. */
void change_add(struct pg_params *p, const struct call *c, const struct change *ch);
/* From the statement's row. */
void change_take(struct change *ch, const struct pg_result *r);
/* False: it was not done, and the answer says why. `what`: "the agent's policy". */
bool change_is_done(struct call *c, const struct change *ch, const char *what);
/* 412, in these words, of what is compared elsewhere. */
void change_refuse(struct call *c, const char *message);
/* 200 with the version as ETag. */
void change_reply(struct call *c, int64_t version, struct slice json);

/* A row of the log of its own, for a change that is made outside of Postgres: before it,
 * so that none is missing. Sets c->asking and wakes the call. */
void change_note(struct call *c, struct slice action, struct slice object);

#endif
