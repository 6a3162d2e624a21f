/* SPDX-License-Identifier: Apache-2.0
 * Questions outside of any lane: each is handed to one worker, which answers it once and
 * changes no lane and no transcript.
 *
 *	asked --tb.inquiry_begin--> granted, sent --parts--> whole
 *	   `--- full, database or worker away, time over --> refused
 *
 * The worker gets a capability for this question alone, which opens one object of one
 * tenant and ends with the answer. Bounded: of a tenant, of a node, in time and in bytes;
 * of test calls of keys also in how often. Owns: a database connection of its own, made
 * at the first question, so that none stands before a run's commit. Never: blocks. */
#ifndef TB_INQUIRIES_H
#define TB_INQUIRIES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"
#include "common/slice.h"
#include "proto/wire.h"

struct child;
struct inquiries;
struct pg_pool;
struct sup;

/* From the question to the end of its answer; who asks has to wait longer. */
#define INQUIRY_MS 12000
#define INQUIRIES_OF_TENANT 4u
#define INQUIRIES_OF_NODE 16u
/* Embeddings are counted apart, and take as long as their provider does. */
#define EMBEDDING_MS 60000
#define EMBEDDINGS_OF_TENANT 16u
#define EMBEDDINGS_OF_NODE 32u
#define INQUIRY_TESTS_A_MINUTE 10u /* of a tenant, one at a time */

struct inquiry_ask {
	int64_t tenant; /* 0: of the platform */
	enum inquiry_kind kind;
	struct uuid object;
	unsigned step;
	struct slice model; /* n 0: none */
	struct slice body;  /* likewise */
	struct slice by;    /* who asks, for the audit log */
};

/* A part of the answer, in order, until `last`; or the one refusal. */
struct inquiry_heard {
	enum err err;
	const char *message; /* of err */
	unsigned retry_after_s;
	bool last;
	struct slice body;
};
typedef void inquiry_hear(void *arg, const struct inquiry_heard *h);

struct inquiries *inquiries_new(struct sup *s);
void inquiries_free(struct inquiries *q);
/* Its connection, for who gives out such questions. */
struct pg_pool *inquiries_pool(struct inquiries *q);
/* Calls `hear` at once or later, the last time with `last` or an error. */
void inquiries_ask(struct sup *s, const struct inquiry_ask *ask, inquiry_hear *hear,
		   void *arg);
/* INQUIRY_PART. */
void inquiries_part(struct child *worker, const struct wire_inquiry_part *m);
/* The worker's life is over: what it was asked has no answer. */
void inquiries_lost(struct child *worker);

#endif
