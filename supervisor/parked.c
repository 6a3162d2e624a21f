/* SPDX-License-Identifier: Apache-2.0
 * Parked lanes by name and by due time. */
#include "supervisor/parked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/map.h"
#include "supervisor/journal_item.h"

struct key {
	int64_t tenant;
	struct uuid session;
};

static struct slice key_of(struct key *k, int64_t tenant, struct uuid session)
{
	memset(k, 0, sizeof *k);
	k->tenant = tenant;
	k->session = session;
	return slice_of(k, sizeof *k);
}

void parked_init(struct parked *p, const struct backoff *b)
{
	*p = (struct parked){.backoff = *b, .lanes = map_new()};
}

void parked_fini(struct parked *p)
{
	size_t at = 0;
	void *l;
	while (map_next(p->lanes, &at, NULL, &l))
		free(l);
	map_free(p->lanes);
	heap_fini(&p->due);
}

struct parked_lane *parked_find(const struct parked *p, int64_t tenant,
				struct uuid session)
{
	struct key k;
	return map_count(p->lanes) ? map_get(p->lanes, key_of(&k, tenant, session))
				   : NULL;
}

static struct parked_lane *lane_get(struct parked *p, const struct item *it)
{
	struct parked_lane *l = parked_find(p, it->tenant, it->session);
	struct key k;
	if (l)
		return l;
	l = xcalloc(1, sizeof *l);
	list_init(&l->items);
	l->tenant = it->tenant;
	l->session = it->session;
	map_put(p->lanes, key_of(&k, it->tenant, it->session), l);
	return l;
}

struct parked_lane *parked_put(struct parked *p, struct item *it, int64_t now_us,
			       uint32_t dice)
{
	struct parked_lane *l = lane_get(p, it);
	list_push_front(&l->items, &it->node);
	l->tries++;
	parked_set_due(p, l,
		       now_us + backoff_us(&p->backoff, l->tries, dice,
					   p->backoff.first_us / 2));
	return l;
}

bool parked_join(struct parked *p, struct item *it)
{
	struct parked_lane *l = parked_find(p, it->tenant, it->session);
	if (l)
		list_push(&l->items, &it->node);
	return l != NULL;
}

struct parked_lane *parked_take_due(struct parked *p, int64_t now_us)
{
	struct heap_node *n = heap_top(&p->due);
	if (!n || n->key > now_us)
		return NULL;
	heap_remove(&p->due, n);
	return container_of(n, struct parked_lane, due);
}

void parked_set_due(struct parked *p, struct parked_lane *l, int64_t due_us)
{
	heap_set(&p->due, &l->due, due_us);
}

void parked_set_why(struct parked_lane *l, const char *sqlstate, const char *message)
{
	snprintf(l->sqlstate, sizeof l->sqlstate, "%s", sqlstate);
	snprintf(l->message, sizeof l->message, "%s", message);
}

int64_t parked_due_us(const struct parked_lane *l)
{
	return heap_has(&l->due) ? l->due.key : 0;
}

unsigned parked_count(const struct parked *p)
{
	return (unsigned)map_count(p->lanes);
}

int64_t parked_next_us(const struct parked *p)
{
	struct heap_node *n = heap_top(&p->due);
	return n ? n->key : 0;
}

void parked_release(struct parked *p, struct parked_lane *l, struct list *to)
{
	struct key k;
	while (!list_is_empty(&l->items)) {
		struct list *last = l->items.prev;
		list_remove(last);
		list_push_front(to, last);
	}
	heap_remove(&p->due, &l->due);
	map_take(p->lanes, key_of(&k, l->tenant, l->session));
	free(l);
}

void parked_release_all(struct parked *p, struct list *to)
{
	size_t at = 0;
	void *l;
	while (map_next(p->lanes, &at, NULL, &l))
		parked_release(p, l, to);
}
