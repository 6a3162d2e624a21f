/* SPDX-License-Identifier: Apache-2.0
 * A session's history, the newest first, and the search in transcripts. */
#include <stdio.h>

#include "common/json.h"
#include "edge/lookup.h"
#include "edge/query.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "edge/session_look.h"

#define LIMIT_DEFAULT 50
#define SEARCH_TEXT_MAX 1000

struct reading {
	struct session_look look;
	unsigned limit;
	struct time_place before; /* of a history the seq alone */
	struct slice text;
	struct message_page page;
	struct found_page found;
};
enum { READ_START, READ_LOOK, READ_ASKED };

static struct reading *reading_of(const struct call *c)
{
	return c->state;
}

/* ---- the query */

static bool take_limit(struct call *c, struct slice v)
{
	long long n;
	if (!slice_to_i64(v, &n) || n < 1 || n > PAGE_MAX)
		return reply_wrong(c->request, "limit",
				   "limit must be an integer from 1 to 200");
	reading_of(c)->limit = (unsigned)n;
	return true;
}

static bool take_seq(struct call *c, struct slice v)
{
	long long n;
	if (!slice_to_i64(v, &n) || n < 1)
		return reply_wrong(c->request, "before",
				   "before must be a message's seq, such as a page's "
				   "next");
	reading_of(c)->before.seq = n;
	return true;
}

static bool take_place(struct call *c, struct slice v)
{
	long long us, seq;
	struct slice rest = v, time = slice_cut(&rest, '.');
	if (!slice_to_i64(time, &us) || us < 0 || !slice_to_i64(rest, &seq) || seq < 1)
		return reply_wrong(c->request, "before",
				   "before must be the next of a page of this search");
	reading_of(c)->before = (struct time_place){.us = us, .seq = seq};
	return true;
}

static bool take_text(struct call *c, struct slice v)
{
	reading_of(c)->text = v;
	if (v.n == 0 || v.n > SEARCH_TEXT_MAX || !slice_is_utf8(v) || memchr(v.p, 0, v.n))
		return reply_wrong(c->request, "q",
				   "q must be a text of 1 to 1000 bytes: the words that "
				   "a message must hold");
	return true;
}

static const struct query_param history_params[] = {{"limit", take_limit},
						    {"before", take_seq}};
static const struct query_param search_params[] = {
	{"q", take_text}, {"limit", take_limit}, {"before", take_place}};

static bool begin(struct call *c, const struct query_param *params, size_t count)
{
	struct reading *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	x->limit = LIMIT_DEFAULT;
	x->before = (struct time_place){.us = INT64_MAX, .seq = INT64_MAX};
	if (!query_read(c, params, count))
		return false;
	c->stage = READ_LOOK;
	return true;
}

static void reply_json(struct call *c, struct strbuf *b)
{
	strbuf_add_char(b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(b));
}

/* ---- history */

static void reply_history(struct call *c, const struct reading *x)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	run_put_id(&o, "sessionId", x->look.info.id);
	json_key(&o, "messages");
	json_arr(&o);
	for (unsigned i = 0; i < x->page.count; i++)
		json_put_raw(&o, x->page.lines[i]);
	json_arr_end(&o);
	if (x->page.count && x->page.last > 1)
		json_kv_i64(&o, "next", x->page.last);
	json_obj_end(&o);
	reply_json(c, &b);
}

void session_messages(struct call *c)
{
	struct reading *x = c->state;
	if (c->asking)
		return;
	if (c->stage == READ_START &&
	    !begin(c, history_params, ARRAY_LEN(history_params)))
		return;
	x = c->state;
	if (c->stage == READ_LOOK) {
		if (!session_look(c, &x->look, false))
			return;
		c->stage = READ_ASKED;
		store_read_messages(c, x->look.info.id, x->before.seq, false, x->limit,
				    &x->page);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else {
		reply_history(c, x);
	}
}

/* ---- search */

static void reply_found(struct call *c, const struct found_page *page)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	char next[48];
	json_obj(&o);
	json_key(&o, "found");
	json_arr(&o);
	for (unsigned i = 0; i < page->count; i++)
		json_put_raw(&o, page->rows[i]);
	json_arr_end(&o);
	json_kv_bool(&o, "complete", page->complete);
	if (page->more) {
		snprintf(next, sizeof next, "%lld.%lld", (long long)page->next.us,
			 (long long)page->next.seq);
		json_kv_cstr(&o, "next", next);
	}
	json_obj_end(&o);
	reply_json(c, &b);
}

static void search(struct call *c, bool in_session)
{
	struct reading *x = c->state;
	if (c->asking)
		return;
	if (c->stage == READ_START) {
		if (!begin(c, search_params, ARRAY_LEN(search_params)))
			return;
		x = c->state;
		if (!x->text.p) {
			reply_wrong(c->request, "q",
				    "q is missing: the words that a message must hold");
			return;
		}
	}
	if (c->stage == READ_LOOK) {
		bool there = in_session ? session_look(c, &x->look, false)
					: lookup_agent_of_path(c, &x->look.agent);
		if (!there)
			return;
		c->stage = READ_ASKED;
		struct message_search s = {.session = x->look.info.id,
					   .agent = in_session ? x->look.info.agent
							       : x->look.agent.id,
					   .text = x->text,
					   .before = x->before,
					   .limit = x->limit};
		store_search_messages(c, &s, &x->found);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else {
		reply_found(c, &x->found);
	}
}

void session_search(struct call *c)
{
	search(c, true);
}

void agent_search(struct call *c)
{
	search(c, false);
}
