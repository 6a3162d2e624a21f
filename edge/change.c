/* SPDX-License-Identifier: Apache-2.0
 * If-Match on the way in, ETag on the way out. */
#include "edge/change.h"

#include <stdio.h>
#include <string.h>

#include "common/pg/param.h"
#include "common/pg/row.h"
#include "edge/reply.h"

#define TAG_MOST 100

static bool is_unquoted(struct slice *tag)
{
	if (tag->n < 2 || tag->p[0] != '"' || tag->p[tag->n - 1] != '"')
		return false;
	*tag = slice_of(tag->p + 1, tag->n - 2);
	return true;
}

static bool wrong_tag(struct call *c)
{
	reply_err(c->request, ERR_BAD_REQUEST, "If-Match",
		  "If-Match must be the one ETag that a GET of this path gave, with its "
		  "quotes",
		  0);
	return false;
}

bool change_read_tag(struct call *c, struct slice *tag)
{
	*tag = slice_trim(http_field(&c->request->head, "if-match"));
	if (!tag->p || slice_is(*tag, "*"))
		return true;
	if (!is_unquoted(tag) || !tag->n || tag->n > TAG_MOST)
		return wrong_tag(c);
	for (size_t i = 0; i < tag->n; i++)
		if (tag->p[i] < 0x21 || tag->p[i] > 0x7e || strchr("\"\\*", tag->p[i]))
			return wrong_tag(c);
	*tag = arena_slice(c->request->arena, *tag);
	return true;
}

bool change_read(struct call *c, struct change *ch)
{
	long long version;
	struct slice tag;
	*ch = (struct change){.expect = -1};
	if (!change_read_tag(c, &tag))
		return false;
	if (!tag.p || slice_is(tag, "*"))
		return true;
	if (!slice_to_i64(tag, &version) || version < 0 || version >= INT32_MAX)
		return wrong_tag(c);
	ch->expect = version;
	return true;
}

void change_refuse(struct call *c, const char *message)
{
	struct reply_error stale = {412, NULL, "If-Match", 0, NULL};
	reply_error(c->request, &stale, "%s", message);
}

void change_add_expected(struct pg_params *p, int64_t expect)
{
	if (expect < 0)
		pg_null(p, PG_INT4);
	else
		pg_i32(p, (int32_t)expect);
}

void change_add_actor(struct pg_params *p, const struct call *c)
{
	char actor[CALL_ACTOR];
	call_actor(c, actor);
	pg_uuid(p, uuid7_new());
	pg_text(p, slice_str(actor));
}

void change_add(struct pg_params *p, const struct call *c, const struct change *ch)
{
	change_add_expected(p, ch->expect);
	change_add_actor(p, c);
}

void change_take(struct change *ch, const struct pg_result *r)
{
	struct slice word = pg_rows(r) ? pg_get_text(r, 0, 0) : SLICE_NONE;
	ch->outcome = slice_is(word, "done")    ? CHANGE_DONE
		      : slice_is(word, "stale") ? CHANGE_STALE
						: CHANGE_ABSENT;
	ch->version = ch->outcome == CHANGE_ABSENT ? 0 : pg_get_i64(r, 0, 1);
}

bool change_is_done(struct call *c, const struct change *ch, const char *what)
{
	struct request *r = c->request;
	if (c->asked)
		reply_err(r, c->asked, NULL,
			  c->unsure ? "the database went away: whether this was done is "
				      "not known, read it again"
				    : NULL,
			  0);
	else if (ch->outcome == CHANGE_STALE)
		change_refuse(c, arena_printf(r->arena,
					      "%s stands at version %lld, not %lld: "
					      "somebody changed it, read it again",
					      what, (long long)ch->version,
					      (long long)ch->expect));
	else if (ch->outcome == CHANGE_ABSENT)
		reply_err(r, ERR_NOT_FOUND, NULL, NULL, 0);
	else
		return true;
	return false;
}

void change_reply(struct call *c, int64_t version, struct slice json)
{
	char tag[32];
	snprintf(tag, sizeof tag, "\"%lld\"", (long long)version);
	reply_head(c->request, 200);
	reply_field(c->request, "etag", slice_str(tag));
	reply_body(c->request, "application/json", json);
}
