/* SPDX-License-Identifier: Apache-2.0
 * Inside of control: one request of people or of this node, until its fate is known. Seen
 * by the control*.c files only.
 *
 *	entered --turn--> under way --answered--> told, gone
 *	                     |--lock--> stays the first of its line, tried again
 *	                     `--lost, refused--> rests, enters its line again; or is given
 *up
 */
#ifndef TB_CONTROL_ERRAND_H
#define TB_CONTROL_ERRAND_H

#include "common/list.h"
#include "common/pg/pool.h"
#include "supervisor/control.h"

struct loop_timer;
struct line;

enum errand_id {
	ERRAND_CANCEL,
	ERRAND_PAUSE,
	ERRAND_REDRIVE,
	ERRAND_BURY,
	ERRAND_DECIDE,
	ERRAND_DENY
};

struct errand {
	struct list node; /* in its line, or in those held until their run's T0 is known
			   */
	struct list open; /* in those that a later one may join or overtake */
	struct sup *sup;
	const struct errand_kind *kind;
	int64_t tenant, order_us;
	struct uuid run, session, fresh; /* fresh: the redriven run */
	struct uuid approval;
	enum decision decision;
	char *text; /* of a denial, for the model; of a redrive, its key of idempotency;
		       NULL: none. Owned */
	struct lq_pause pause;
	int on;
	char by[64];
	bool must;         /* nobody waits who could ask again */
	bool sent;         /* an earlier sending may have landed */
	bool overtaken;    /* the opposite was asked for since */
	bool doubted;      /* somebody was told that its fate is not known */
	unsigned refusals; /* by the database */
	struct loop_timer *again;
	struct list waiters; /* struct waiter; empty: nobody waits, or they were told */

	/* ---- control_line.c only */
	struct line *line; /* NULL: it rests, or is held */
	bool under_way, trial;
};

/* Who waits, for so long. */
struct waiter {
	struct list node;
	struct errand *errand;
	struct loop_timer *patience;
	int64_t until_us; /* 0: its time has not begun */
	control_done *done;
	void *arg;
};

struct errand_kind {
	int stmt;
	void (*put)(struct pg_params *p, const struct errand *a);
	/* The first row's answer: the queue and who waits learn it; frees the errand. */
	void (*take)(struct errand *a, const struct pg_result *r);
	/* Who waits was told that its fate is not known. True: it is not asked on, as a
	 * later change may be undone by that; memory is made to follow the database.
	 * NULL: it is asked on. */
	bool (*lets_go)(struct errand *a);
	const char *word; /* for the log */
};

extern const struct errand_kind errand_kinds[];

/* ---- control_fate.c */

/* done NULL: nobody waits. */
struct errand *errand_new(struct sup *s, enum errand_id id, const char *by,
			  control_done *done, void *arg);
void errand_join(struct errand *a, control_done *done, void *arg);
/* Its waiters' time begins, and it is sent when it is its turn. */
void errand_begin(struct errand *a);
/* It is its turn. */
void errand_send(struct errand *a);
/* Tells who waits, and frees it. */
void errand_tell(struct errand *a, const struct control_answer *answer);
/* The opposite was asked for: it is not sent again after that. */
void errand_overtake(struct errand *a);

/* ---- control_line.c: whose turn it is */

/* To the end of its line; errand_send when its turn comes, perhaps at once. */
void line_enter(struct errand *a);
/* It has no place in its line any more, wherever it was; the next has its turn. */
void line_leave(struct errand *a);
/* It was tried in vain, because another transaction holds what it needs: it stays the
 * first, and its line is tried again after a pause that grows. */
void line_held(struct errand *a);
/* Its line waits for another transaction. */
bool line_is_held(const struct errand *a);

#endif
