/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/audit: who changed what, the newest first. */
#include "common/clock.h"
#include "edge/admin.h"
#include "edge/query.h"
#include "edge/reply.h"

#define TEXT_MAX 256

enum stage { AUDIT_START, AUDIT_ASKED };

static bool take_text(struct call *c, const char *name, struct slice v)
{
	struct admin_call *x = c->state;
	if (v.n == 0 || v.n > TEXT_MAX)
		return reply_wrong(c->request, name,
				   arena_printf(c->request->arena,
						"%s must be 1 to %d bytes", name,
						TEXT_MAX));
	json_kv_str(&x->doc, name, v);
	return true;
}

static bool take_actor(struct call *c, struct slice v)
{
	return take_text(c, "actor", v);
}

static bool take_action(struct call *c, struct slice v)
{
	return take_text(c, "action", v);
}

static bool take_object(struct call *c, struct slice v)
{
	return take_text(c, "object", v);
}

static bool take_since(struct call *c, struct slice v)
{
	int64_t us;
	struct admin_call *x = c->state;
	if (!clock_parse(v, &us))
		return reply_wrong(c->request, "since",
				   "since must be a day or an instant of UTC, like "
				   "2026-11-30 or 2026-11-30T12:00:00Z");
	json_kv_i64(&x->doc, "sinceUs", us);
	return true;
}

static bool take_before(struct call *c, struct slice v)
{
	long long us;
	struct uuid id;
	struct admin_call *x = c->state;
	struct slice rest = v, time = slice_cut(&rest, '.');
	if (!slice_to_i64(time, &us) || us < 0 || !uuid_parse(rest, &id))
		return reply_wrong(c->request, "before",
				   "before must be the next of a page of this list");
	json_kv_i64(&x->doc, "beforeUs", us);
	json_kv_str(&x->doc, "beforeId", rest);
	return true;
}

void audit_list(struct call *c)
{
	static const struct query_param params[] = {
		{"limit", admin_take_limit}, {"before", take_before},
		{"actor", take_actor},       {"action", take_action},
		{"object", take_object},     {"since", take_since}};
	if (c->asking)
		return;
	if (c->stage == AUDIT_START) {
		admin_begin(c, sizeof(struct admin_call));
		if (!query_read(c, params, ARRAY_LEN(params)))
			return;
		admin_put_limit(c);
		c->stage = AUDIT_ASKED;
		admin_ask(c, SQL_AUDIT_PAGE);
	} else if (admin_is_done(c, "the log")) {
		admin_reply(c, 200);
	}
}
