/* SPDX-License-Identifier: Apache-2.0
 * Agent, then session; by id the other way round. */
#include "edge/session_look.h"

#include <string.h>

#include "edge/lookup.h"
#include "edge/reply.h"

enum stage { LOOK_START, LOOK_AGENT, LOOK_ASKED, LOOK_ITS_AGENT, LOOK_FOUND };

void session_is_absent(struct call *c)
{
	reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such session", 0);
}

bool session_is_by_key(const struct call *c)
{
	static const char by_key[] = "/v1/agents/";
	return !strncmp(route_row(c->match.route)->pattern, by_key, sizeof by_key - 1);
}

bool session_version(const struct call *c, int *version)
{
	long long n;
	if (!slice_to_i64(c->match.params[session_is_by_key(c) ? 2 : 1], &n) || n < 1 ||
	    n > INT32_MAX)
		return false;
	*version = (int)n;
	return true;
}

static bool begin(struct call *c, struct session_look *l)
{
	struct uuid id;
	if (session_is_by_key(c)) {
		l->stage = LOOK_AGENT;
		return true;
	}
	if (!uuid_parse(c->match.params[0], &id)) {
		session_is_absent(c);
		return false;
	}
	l->stage = LOOK_ASKED;
	store_read_session(c, id, id, SLICE_NONE, &l->info);
	return true;
}

static bool take_info(struct call *c, struct session_look *l, bool with_agent)
{
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (!l->info.found)
		session_is_absent(c);
	else
		l->stage =
			with_agent && !session_is_by_key(c) ? LOOK_ITS_AGENT : LOOK_FOUND;
	return !c->asked && l->info.found;
}

/* By its id, as a text: so it is cached under the same word as that of who names it. */
static bool find_its_agent(struct call *c, struct session_look *l)
{
	char id[UUID_TEXT_LEN + 1];
	uuid_format(l->info.agent, id);
	return lookup_found(c, lookup_agent(c, slice_str(id), &l->agent), NULL,
			    "the session's agent is deleted");
}

bool session_look(struct call *c, struct session_look *l, bool with_agent)
{
	if (c->asking)
		return false;
	if (l->stage == LOOK_FOUND)
		return true;
	if (l->stage == LOOK_START && !begin(c, l))
		return false;
	if (l->stage == LOOK_AGENT) {
		if (!lookup_agent_of_path(c, &l->agent))
			return false;
		l->stage = LOOK_ASKED;
		store_read_session(c, l->info.id, l->agent.id, c->match.params[1],
				   &l->info);
	}
	if (c->asking)
		return false;
	if (l->stage == LOOK_ASKED && !take_info(c, l, with_agent))
		return false;
	if (l->stage == LOOK_ITS_AGENT) {
		if (!find_its_agent(c, l))
			return false;
		l->stage = LOOK_FOUND;
	}
	return true;
}
