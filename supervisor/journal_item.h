/* SPDX-License-Identifier: Apache-2.0
 * One row of a batch, and how a batch becomes parameters. */
#ifndef TB_JOURNAL_ITEM_H
#define TB_JOURNAL_ITEM_H

#include "common/list.h"
#include "common/pg/param.h"
#include "proto/wire.h"
#include "supervisor/caps.h"

struct sup;
struct lq_run;

/* A piece of item.text. */
struct span {
	size_t at, n;
};

struct item {
	struct list node;
	struct lq_run *run;
	struct uuid run_id, session;
	int64_t tenant;
	int worker; /* or LQ_NO_WORKER */
	struct uuid worker_life;
	struct cap cap;
	bool resend, crashed;
	bool grants;      /* its batch carries the grant of its capability */
	int64_t since_us; /* CLOCK_MONOTONIC when it was handed in */
	/* T0 */
	struct child *edge;
	struct uuid edge_life;
	struct wire_enqueue enqueue; /* its strings are not valid: the spans are */
	struct span user, key, hash, body;
	int64_t order_us;
	struct uuid victim; /* nil: none; see LQ_DO_ENQUEUE */
	bool fold;
	struct strbuf text;
};

static inline struct slice item_text(const struct item *it, struct span s)
{
	return slice_of(it->text.p + s.at, s.n);
}

void item_put_enqueues(struct pg_params *p, struct sup *s, struct list *items);
void item_put_claims(struct pg_params *p, struct sup *s, struct list *items);
/* Marks the items whose capability the batch has to grant, one a capability; how many. */
unsigned item_mark_grants(struct sup *s, struct list *items);
/* The capabilities of the marked ones. */
void item_put_grants(struct pg_params *p, struct sup *s, struct list *items);
/* The batch was sent at then_us (CLOCK_BOOTTIME) and has landed: what it granted is
 * granted. */
void item_note_grants(struct sup *s, struct list *items, int64_t then_us);

#endif
