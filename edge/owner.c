/* SPDX-License-Identifier: Apache-2.0
 * By the beginning of a path; row-level security answers. */
#include "edge/owner.h"

#include <string.h>

#include "edge/reply.h"
#include "edge/session_look.h"
#include "edge/webhook_store.h"

struct owner {
	bool asked;
	struct run_row run;
	struct approval_row approval;
	struct session_look session;
	struct slice delivery;
};

/* ---- one kind each. False: answered, or under way. */

static bool has_answer(struct call *c, bool found, const char *what)
{
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (!found)
		reply_err(c->request, ERR_NOT_FOUND, NULL, what, 0);
	return !c->asked && found;
}

static bool check_run(struct call *c, struct owner *o)
{
	struct uuid id;
	if (o->asked)
		return has_answer(c, o->run.found, "there is no such run");
	o->asked = true;
	if (call_run_id(c, 0, &id))
		store_get_run(c, id, &o->run);
	return false;
}

/* Its name in OpenAI's APIs is its run's. */
static bool check_response(struct call *c, struct owner *o)
{
	struct slice word = SLICE("resp_"), name = c->match.params[0];
	struct uuid id;
	if (o->asked)
		return has_answer(c, o->run.found, "there is no such response");
	o->asked = true;
	if (slice_has_prefix(name, word) &&
	    uuid_parse(slice_of(name.p + word.n, name.n - word.n), &id))
		store_get_run(c, id, &o->run);
	else
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such response",
			  0);
	return false;
}

static bool check_approval(struct call *c, struct owner *o)
{
	struct uuid id;
	if (o->asked)
		return has_answer(c, o->approval.found, "there is no such approval");
	o->asked = true;
	if (uuid_parse(c->match.params[0], &id))
		store_get_approval(c, id, &o->approval);
	else
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such approval",
			  0);
	return false;
}

static bool check_session(struct call *c, struct owner *o)
{
	return session_look(c, &o->session, false);
}

static bool check_delivery(struct call *c, struct owner *o)
{
	struct uuid id;
	if (o->asked)
		return has_answer(c, o->delivery.p != NULL, "there is no such delivery");
	o->asked = true;
	if (uuid_parse(c->match.params[0], &id))
		webhook_store_get(c, id, &o->delivery);
	else
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such delivery",
			  0);
	return false;
}

static const struct {
	const char *prefix;
	bool (*check)(struct call *c, struct owner *o);
} kinds[] = {{"/v1/runs/:", check_run},
	     {"/v1/dead-letters/:", check_run},
	     {"/v1/responses/:", check_response},
	     {"/v1/approvals/:", check_approval},
	     {"/v1/webhooks/deliveries/:", check_delivery},
	     {"/v1/sessions/:", check_session},
	     {"/v1/agents/:/sessions/:", check_session}};

bool owner_check(struct call *c)
{
	const char *pattern = route_row(c->match.route)->pattern;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strncmp(pattern, kinds[i].prefix, strlen(kinds[i].prefix)) != 0)
			continue;
		if (!c->owner)
			c->owner = arena_zalloc(c->request->arena, sizeof *c->owner);
		return !c->asking && kinds[i].check(c, c->owner);
	}
	return true;
}
