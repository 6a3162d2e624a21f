/* SPDX-License-Identifier: Apache-2.0
 * A theoretical time of arrival for each address (GCRA): one number, and no timer. */
#include "edge/penalties.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/list.h"
#include "common/map.h"
#include "common/slice.h"

#define BURST_US ((int64_t)PENALTIES_FREE * PENALTIES_EACH_US)

struct penalty {
	struct list node; /* the one that failed longest ago first */
	uint8_t address[16];
	int64_t due_us; /* when all that came is worked off */
};

struct penalties {
	struct map *map;
	struct list order;
};

struct penalties *penalties_new(void)
{
	struct penalties *p = xcalloc(1, sizeof *p);
	p->map = map_new();
	list_init(&p->order);
	return p;
}

static struct slice key_of(const uint8_t *address)
{
	return slice_of(address, 16);
}

static void forget(struct penalties *p, struct penalty *x)
{
	map_take(p->map, key_of(x->address));
	list_remove(&x->node);
	free(x);
}

void penalties_free(struct penalties *p)
{
	if (!p)
		return;
	list_each (n, &p->order)
		forget(p, list_entry(n, struct penalty, node));
	map_free(p->map);
	free(p);
}

static unsigned seconds(const struct penalty *x, int64_t now)
{
	int64_t over = x ? x->due_us - now - BURST_US + PENALTIES_EACH_US : 0;
	return over > 0 ? (unsigned)((over + 999999) / 1000000) : 0;
}

unsigned penalties_look(const struct penalties *p, const uint8_t *address, int64_t now)
{
	return p ? seconds(map_get(p->map, key_of(address)), now) : 0;
}

static struct penalty *add(struct penalties *p, const uint8_t *address)
{
	if (map_count(p->map) >= PENALTIES_MAX)
		forget(p, list_entry(p->order.next, struct penalty, node));
	struct penalty *x = xcalloc(1, sizeof *x);
	for (int i = 0; i < 16; i++)
		x->address[i] = address[i];
	list_init(&x->node);
	map_put(p->map, key_of(address), x);
	return x;
}

unsigned penalties_note(struct penalties *p, const uint8_t *address, int64_t now)
{
	if (!p)
		return 0;
	struct penalty *x = map_get(p->map, key_of(address));
	unsigned wait = seconds(x, now);
	if (!x)
		x = add(p, address);
	list_remove(&x->node);
	list_push(&p->order, &x->node);
	if (wait) /* who goes on guessing does not wait for ever */
		return wait;
	x->due_us = (x->due_us > now ? x->due_us : now) + PENALTIES_EACH_US;
	return 0;
}
