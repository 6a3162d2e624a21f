/* SPDX-License-Identifier: Apache-2.0
 * Tokens of this minute, and those that are still to be told. */
#include "edge/token_uses.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/loop.h"
#include "common/map.h"
#include "edge/edge.h"
#include "edge/meter_store.h"

#define MINUTE_US 60000000
#define FLUSH_US 1000000
#define TOKENS_MAX 16384

struct token_uses {
	struct edge *edge;
	struct map *seen; /* token -> int64_t, when it was noted last */
	struct loop_timer *timer;
	unsigned count;
	struct meter_token waiting[METER_BATCH];
};

static void on_flush(void *arg)
{
	struct token_uses *u = arg;
	meter_store_uses(u->edge, u->waiting, u->count);
	u->count = 0;
}

struct token_uses *token_uses_new(struct edge *e)
{
	struct token_uses *u = xcalloc(1, sizeof *u);
	u->edge = e;
	u->seen = map_new();
	u->timer = loop_timer_new(e->loop, on_flush, u);
	return u;
}

static void forget_all(struct token_uses *u)
{
	size_t it = 0;
	struct slice key;
	void *value;
	while (map_next(u->seen, &it, &key, &value)) {
		map_take(u->seen, key);
		free(value);
	}
}

/* False: it was noted less than a minute ago. */
static bool is_due(struct token_uses *u, struct uuid token, int64_t now)
{
	int64_t *at = map_get(u->seen, uuid_slice(&token));
	if (at && now - *at < MINUTE_US)
		return false;
	if (!at) {
		if (map_count(u->seen) >= TOKENS_MAX)
			forget_all(u);
		at = xmalloc(sizeof *at);
		map_put(u->seen, uuid_slice(&token), at);
	}
	*at = now;
	return true;
}

void token_uses_note(struct token_uses *u, int64_t tenant, struct uuid token)
{
	if (!u || u->count == METER_BATCH ||
	    !is_due(u, token, loop_now_us(u->edge->loop)))
		return;
	u->waiting[u->count++] = (struct meter_token){tenant, token};
	if (!loop_timer_is_running(u->timer))
		loop_timer_start(u->timer, FLUSH_US);
}
