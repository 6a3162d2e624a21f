/* SPDX-License-Identifier: Apache-2.0
 * Long answers end with their token. Where a revocation was told, at once; this is for
 * those of other nodes, and for tokens whose time is over meanwhile. */
#include "common/loop.h"
#include "edge/auth.h"
#include "edge/cache.h"
#include "edge/handles.h"
#include "edge/store.h"

#define EVERY_US 15000000
#define ANSWER_US 2000000 /* then what was asked for is known, and fresh */

/* What is not known after it was asked for (the database is away) ends nothing. */
static bool has_ended(struct edge *e, const struct call *c, bool asked)
{
	char key[24];
	struct token_row row;
	memcpy(key, &c->caller.tenant, 8);
	memcpy(key + 8, c->caller.token.b, 16);
	struct slice name = slice_of(key, sizeof key);
	if (!asked) {
		cache_touch(e->tokens, name);
		return false;
	}
	enum cache_verdict v = cache_peek(e->tokens, name, &row);
	return v == CACHE_ABSENT || (v == CACHE_FOUND && !auth_is_good(&row));
}

static void on_watch(void *arg)
{
	struct edge *e = arg;
	uint32_t it = 0;
	struct call *c;
	while ((c = handle_next(e->calls, &it)))
		if (c->cut && c->authorised && has_ended(e, c, e->watch_asked))
			c->cut(c);
	e->watch_asked = !e->watch_asked;
	loop_timer_start(e->watch, e->watch_asked ? ANSWER_US : EVERY_US);
}

void auth_watch(struct edge *e)
{
	e->watch = loop_timer_new(e->loop, on_watch, e);
	loop_timer_start(e->watch, EVERY_US);
}
