/* SPDX-License-Identifier: Apache-2.0
 * The sessions that a session spawned, each with those that it spawned: GET
 * .../sessions/{session}/spawns. */
#include "edge/ask.h"
#include "edge/place.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "edge/session_look.h"

#define LIMIT_DEFAULT 50
#define SPAWNS_MOST 200 /* in one answer, whatever their depth */
#define DEPTH_MOST 5

struct asked {
	struct session_look look;
	bool asks;
	struct place before;
	int64_t limit;
	struct ask_answer answer;
};

static bool take_limit(struct call *c, struct slice v)
{
	return query_number(c, "limit", v, 1, SPAWNS_MOST,
			    &((struct asked *)c->state)->limit);
}

static bool take_before(struct call *c, struct slice v)
{
	return place_parse(v, &((struct asked *)c->state)->before) ||
	       reply_wrong(c->request, "before",
			   "before must be the id of a spawn, such as a page's next");
}

static const struct query_param params[] = {{"limit", take_limit},
					    {"before", take_before}};

static bool begin(struct call *c)
{
	struct asked *a = arena_zalloc(c->request->arena, sizeof *a);
	c->state = a;
	a->limit = LIMIT_DEFAULT;
	a->before = place_newest();
	return query_read(c, params, ARRAY_LEN(params));
}

void session_spawns(struct call *c)
{
	if (!c->state && !begin(c))
		return;
	struct asked *a = c->state;
	if (!a->asks) {
		if (!session_look(c, &a->look, false))
			return;
		struct ask_value v[] = {
			ask_id(a->look.info.id),    ask_id(a->before.run),
			ask_number(a->before.step), ask_number(a->before.call),
			ask_number(a->limit),       ask_number(DEPTH_MOST),
			ask_number(SPAWNS_MOST)};
		a->asks = true;
		ask_read(c, SQL_SPAWNS, v, ARRAY_LEN(v), &a->answer);
	} else if (!c->asking && ask_found(c, &a->answer, "")) {
		ask_reply(c, &a->answer);
	}
}
