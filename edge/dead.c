/* SPDX-License-Identifier: Apache-2.0
 * Dead letters: GET /v1/dead-letters, GET and DELETE /v1/dead-letters/{run}, POST
 * .../redrive: what becomes of the message of a run that was given up. */
#include <string.h>

#include "common/json.h"
#include "edge/dead_store.h"
#include "edge/reply.h"
#include "edge/retry.h"

enum stage { DEAD_START, DEAD_AGENT, DEAD_ASKED, DEAD_RETRY };

/* ---- the list */

struct listing {
	struct paging paging;
	struct page_filter filter;
	struct slice reason; /* SLICE_NONE: any */
	struct json_page page;
};

static bool take_reason(struct call *c, struct slice v)
{
	static const char *const words[] = {"attempts", "poison", "unknown_tool",
					    "deadline", "policy", "no_input"};
	((struct listing *)c->state)->reason = v;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(v, words[i]))
			return true;
	return reply_wrong(c->request, "reason",
			   "reason must be attempts, poison, unknown_tool, deadline, "
			   "policy or no_input");
}

static const struct query_param params[] = {PAGING_PARAMS, {"reason", take_reason}};

static void ask_list(struct call *c, struct listing *l)
{
	if (!paging_is_complete(c))
		return;
	c->stage = DEAD_ASKED;
	dead_store_list(c, &l->filter, l->reason, &l->page);
}

void dead_list(struct call *c)
{
	struct listing *l = c->state;
	if (c->asking)
		return;
	if (c->stage == DEAD_START) {
		c->state = l = arena_zalloc(c->request->arena, sizeof *l);
		if (!paging_read(c, &l->filter, params, ARRAY_LEN(params)))
			return;
		c->stage = DEAD_AGENT;
	}
	if (c->stage == DEAD_AGENT)
		ask_list(c, l);
	else
		json_page_reply(c, "deadLetters", &l->page);
}

/* ---- one of them */

struct one {
	struct retry retry; /* of redrive */
	struct uuid run;
	struct slice answer;
};

/* False: answered. */
static bool read_path(struct call *c, struct one *x)
{
	return call_run_id(c, 0, &x->run) && query_read(c, NULL, 0);
}

static bool is_absent(struct call *c, const struct one *x)
{
	if (c->asked)
		reply_err(c->request, c->asked, NULL,
			  c->unsure ? "the database went away: whether this was done is "
				      "not known, ask again"
				    : NULL,
			  0);
	else if (!x->answer.p || slice_is(x->answer, "absent"))
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such dead letter",
			  0);
	else
		return false;
	return true;
}

static void ask_one(struct call *c, struct one *x)
{
	c->stage = DEAD_ASKED;
	dead_store_get(c, x->run, &x->answer);
}

static struct one *begin(struct call *c)
{
	struct one *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	return read_path(c, x) ? x : NULL;
}

void dead_get(struct call *c)
{
	struct one *x = c->state;
	if (c->asking)
		return;
	if (c->stage == DEAD_START) {
		x = begin(c);
		if (x)
			ask_one(c, x);
	} else if (!is_absent(c, x)) {
		reply_head(c->request, 200);
		reply_body(c->request, "application/json",
			   slice_str(arena_printf(c->request->arena, "%.*s\n",
						  SLICE_ARG(x->answer))));
	}
}

void dead_discard(struct call *c)
{
	struct one *x = c->state;
	if (c->asking)
		return;
	if (c->stage == DEAD_ASKED) {
		if (is_absent(c, x))
			return;
		reply_head(c->request, 200);
		reply_body(c->request, "application/json",
			   SLICE("{\"discarded\":true}\n"));
		return;
	}
	x = begin(c);
	if (!x)
		return;
	c->stage = DEAD_ASKED;
	dead_store_discard(c, x->run, &x->answer);
}

/* As a retry of the run, of those that are among the dead letters. */
void dead_redrive(struct call *c)
{
	struct one *x = c->state;
	if (c->asking)
		return;
	if (c->stage == DEAD_START) {
		x = begin(c);
		if (x && retry_read(c, &x->retry))
			ask_one(c, x);
	} else if (c->stage == DEAD_RETRY) {
		retry_reply(c, &x->retry);
	} else if (!is_absent(c, x)) {
		c->stage = DEAD_RETRY;
		retry_send(c, &x->retry, x->run);
	}
}
