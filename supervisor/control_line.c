/* SPDX-License-Identifier: Apache-2.0
 * Errands of one lane go one after the other: each may meet the lane's lock held by
 * another transaction, and what it waits for that, all that is sent on the journal's
 * connection waits for. Errands of several lanes go together, a few at a time; lanes that
 * are known to be held are tried one at a time, after pauses that grow. */
#include <stdlib.h>

#include "common/alloc.h"
#include "common/backoff.h"
#include "common/crypto.h"
#include "common/loop.h"
#include "common/map.h"
#include "supervisor/control_errand.h"
#include "supervisor/sup.h"

/* So many first tries may meet a held lane before the first of them is known. */
#define AT_ONCE 16

static const struct backoff pause_of_held = {.first_us = 50000, .cap_us = 1000000};

/* A pause needs no lane's lock, save to end a failure's block: it waits for nothing else
 * of its lane. */
struct key {
	int64_t what; /* -1: a lane, or a run whose lane is not known here; else the
			 scope of a pause */
	int64_t tenant;
	struct uuid id;
};

struct line {
	struct key key;
	struct list errands; /* the first is under way, or the next to be */
	struct list node;    /* in ready or due */
	unsigned tries;      /* in vain, since it is held */
	struct loop_timer *again;
};

static struct {
	struct map *by_key;
	struct list ready; /* lines whose first was not tried yet */
	struct list due;   /* held ones that may be tried */
	unsigned under_way;
	bool trial;
	bool going; /* further down the stack */
} lines = {.ready = LIST_INIT(lines.ready), .due = LIST_INIT(lines.due)};

static void go_on(void);

static struct key key_of(const struct errand *a)
{
	const struct lq_run *r = lq_find(a->sup->lq, a->run);
	if (a->kind == &errand_kinds[ERRAND_PAUSE])
		return (struct key){a->pause.scope, a->pause.tenant, a->pause.id};
	if (!uuid_is_nil(a->session))
		return (struct key){-1, a->tenant, a->session};
	return (struct key){-1, a->tenant, r ? lq_run_session(r) : a->run};
}

static struct errand *first_of(const struct line *l)
{
	return list_entry(l->errands.next, struct errand, node);
}

static void on_again(void *arg)
{
	struct line *l = arg;
	list_push(&lines.due, &l->node);
	go_on();
}

static struct line *line_of(const struct errand *a)
{
	struct key key = key_of(a);
	struct slice name = slice_of(&key, sizeof key);
	if (!lines.by_key)
		lines.by_key = map_new();
	struct line *l = map_get(lines.by_key, name);
	if (l)
		return l;
	l = xcalloc(1, sizeof *l);
	l->key = key;
	l->again = loop_timer_new(a->sup->loop, on_again, l);
	list_init(&l->errands);
	list_init(&l->node);
	map_put(lines.by_key, name, l);
	return l;
}

static void line_free(struct line *l)
{
	map_take(lines.by_key, slice_of(&l->key, sizeof l->key));
	loop_timer_free(l->again);
	list_remove(&l->node);
	free(l);
}

/* ---- whose turn it is */

static void send_first(struct line *l, bool trial)
{
	struct errand *a = first_of(l);
	list_remove(&l->node);
	a->under_way = true;
	a->trial = trial;
	lines.trial |= trial;
	lines.under_way += !trial;
	errand_send(a); /* which may be the end of it, and of the line */
}

static void go_on(void)
{
	if (lines.going)
		return;
	lines.going = true;
	for (;;) {
		if (!lines.trial && !list_is_empty(&lines.due))
			send_first(list_entry(lines.due.next, struct line, node), true);
		else if (lines.under_way < AT_ONCE && !list_is_empty(&lines.ready))
			send_first(list_entry(lines.ready.next, struct line, node),
				   false);
		else
			break;
	}
	lines.going = false;
}

static void no_longer_under_way(struct errand *a)
{
	if (!a->under_way)
		return;
	if (a->trial)
		lines.trial = false;
	else
		lines.under_way--;
	a->under_way = a->trial = false;
}

void line_enter(struct errand *a)
{
	struct line *l = line_of(a);
	bool first = list_is_empty(&l->errands);
	a->line = l;
	list_push(&l->errands, &a->node);
	if (first)
		list_push(&lines.ready, &l->node);
	go_on();
}

void line_leave(struct errand *a)
{
	struct line *l = a->line;
	bool had_turn = a->under_way;
	if (!l)
		return;
	no_longer_under_way(a);
	list_remove(&a->node);
	a->line = NULL;
	if (list_is_empty(&l->errands)) {
		line_free(l);
	} else if (had_turn) { /* nothing held it */
		l->tries = 0;
		list_push(&lines.ready, &l->node);
	}
	go_on();
}

void line_held(struct errand *a)
{
	struct line *l = a->line;
	uint32_t dice;
	crypto_random(&dice, sizeof dice);
	no_longer_under_way(a);
	l->tries++;
	loop_timer_start(l->again, backoff_us(&pause_of_held, l->tries, dice,
					      pause_of_held.first_us / 2));
	go_on();
}

bool line_is_held(const struct errand *a)
{
	return a->line && a->line->tries > 0;
}
