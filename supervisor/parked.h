/* SPDX-License-Identifier: Apache-2.0
 * Lanes whose next row the database would not take now: another transaction holds them,
 * or it refuses the row. Their items wait here, in order, and go again lane by lane after
 * a pause that grows, so that all other lanes go on. Pure: time and dice come in. Owns:
 * the lanes' records; never the items. */
#ifndef TB_PARKED_H
#define TB_PARKED_H

#include "common/backoff.h"
#include "common/ident.h"
#include "common/list.h"
#include "supervisor/heap.h"

struct item;
struct map;

struct parked_lane {
	struct list items;    /* the first is the one that is tried next */
	struct heap_node due; /* in parked.due, unless it is being tried or decided */
	int64_t tenant;
	struct uuid session;
	unsigned tries;    /* in vain */
	unsigned refusals; /* those of them that were the row's own */
	/* What the database said of the last try, for people. */
	char sqlstate[6], message[160];
};

struct parked {
	struct backoff backoff;
	struct map *lanes;
	struct heap due;
};

void parked_init(struct parked *p, const struct backoff *b);
/* The items must be out. */
void parked_fini(struct parked *p);
/* NULL: that lane is not parked, as nearly always. */
struct parked_lane *parked_find(const struct parked *p, int64_t tenant,
				struct uuid session);
/* The item, tried in vain, as the first of its lane, which is due after the next pause.
 */
struct parked_lane *parked_put(struct parked *p, struct item *it, int64_t now_us,
			       uint32_t dice);
/* What the database said of it. */
void parked_set_why(struct parked_lane *l, const char *sqlstate, const char *message);
/* Behind those of its lane; false: that is not parked. */
bool parked_join(struct parked *p, struct item *it);
/* The lane that is due longest: it is due no more until it is put or set due again. NULL:
 * none. */
struct parked_lane *parked_take_due(struct parked *p, int64_t now_us);
void parked_set_due(struct parked *p, struct parked_lane *l, int64_t due_us);
/* When it is tried next; 0: now, or that is being decided. */
int64_t parked_due_us(const struct parked_lane *l);
unsigned parked_count(const struct parked *p);
/* When the next is due; 0: none. */
int64_t parked_next_us(const struct parked *p);
/* Forgets the lane; its items go in front of `to`, in order. */
void parked_release(struct parked *p, struct parked_lane *l, struct list *to);
/* Every lane, in no order. */
void parked_release_all(struct parked *p, struct list *to);

#endif
