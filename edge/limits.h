/* SPDX-License-Identifier: Apache-2.0
 * How often a token and a tenant may ask, and how many model tokens their runs may use, a
 * minute: counted in Postgres for all edges of all nodes.
 *
 * Requests are taken from there a second's worth at a time, before they are used up, so a
 * request waits for nothing and is a row of nothing; one that finds the bucket empty is
 * refused here until it cannot be. Model tokens are those of the last minute's ledger, a
 * second old at most. Fails: with 503 while the database is away and nothing is left. */
#ifndef TB_EDGE_LIMITS_H
#define TB_EDGE_LIMITS_H

#include "edge/call.h"

struct limits;

enum limits_verdict { LIMITS_PASS, LIMITS_ANSWERED, LIMITS_WAIT };

struct limits *limits_new(struct edge *e);
void limits_free(struct limits *l);
/* Of a call that is authorised; once it has passed, not again. ANSWERED: 429, or 503.
 * WAIT: the call is woken. Adds what is left to the answer's head. */
enum limits_verdict limits_check(struct call *c);
/* Before a call places an order: whether its token and tenant have model tokens left. */
enum limits_verdict limits_place(struct call *c);
/* A run (or a question) that the call places: what it uses is its token's. c NULL:
 * nobody's. */
void limits_note_run(const struct call *c, struct uuid run);
/* A time as clients of OpenAI read it: "350ms", "12s", "2m5s". */
#define LIMITS_TIME_MAX 24
void limits_format(int64_t us, char text[LIMITS_TIME_MAX]);

#endif
