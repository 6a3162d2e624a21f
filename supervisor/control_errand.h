/* SPDX-License-Identifier: Apache-2.0
 * Inside of control: one request of a person or of this node, until its fate is known. */
#ifndef TB_CONTROL_ERRAND_H
#define TB_CONTROL_ERRAND_H

#include "common/list.h"
#include "common/pg/pool.h"
#include "supervisor/control.h"

enum errand_id { ERRAND_CANCEL, ERRAND_PAUSE, ERRAND_REDRIVE, ERRAND_BURY };

struct errand {
	struct list node; /* in those held until their run's T0 is known */
	struct sup *sup;
	const struct errand_kind *kind;
	int64_t tenant, order_us;
	struct uuid run, session, fresh; /* fresh: the redriven run */
	struct lq_pause pause;
	int on;
	char by[64];
	bool must;         /* nobody waits who could ask again */
	bool sent;         /* an earlier sending may have landed */
	int64_t asked_us;  /* when the one who waits began to */
	unsigned refusals; /* by the database */
	struct loop_timer *again;
	control_done *done; /* NULL: nobody waits, or the one who did was told */
	void *arg;
};

struct errand_kind {
	int stmt;
	void (*put)(struct pg_params *p, const struct errand *a);
	/* The first row's answer: the queue and who waits learn it; frees the errand. */
	void (*take)(struct errand *a, const struct pg_result *r);
	const char *word; /* for the log */
	/* Who waits was told that its fate is not known: it is asked on nevertheless.
	 * Not of what the opposite wish may have overtaken meanwhile. */
	bool goes_on;
};

extern const struct errand_kind errand_kinds[];

/* Tells who waits, and frees it. */
void errand_tell(struct errand *a, const struct control_answer *answer);
void errand_free(struct errand *a);

#endif
