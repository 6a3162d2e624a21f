/* SPDX-License-Identifier: Apache-2.0
 * Agents and sessions, cached. A session's entry serves for ever: its id never changes,
 * its queue mode seldom (the refresh learns of it, INVALIDATE sooner), and a deleted
 * session is found out by the supervisor's answer. */
#include "edge/lookup.h"

#include "edge/opener.h"
#include "edge/reply.h"
#include "edge/slot.h"

#define AGENTS_MAX 16384
#define SESSIONS_MAX 65536
#define SESSION_REFRESH_US 60000000

#define WORD_MAX LIMIT_NAME
#define SESSION_KEY_BYTES (24 + LIMIT_SESSION_KEY)

static void load_agent(void *arg, struct cache_entry *e, struct slice key,
		       const void *hint)
{
	int64_t tenant;
	(void)hint;
	memcpy(&tenant, key.p, 8);
	store_load_agent(arg, e, tenant, slice_of(key.p + 8, key.n - 8));
}

static void load_session(void *arg, struct cache_entry *e, struct slice key,
			 const void *hint)
{
	struct edge *edge = arg;
	const struct slice *user = hint;
	struct session_open open = {.key = slice_of(key.p + 24, key.n - 24),
				    .user = user ? *user : SLICE_NONE};
	memcpy(&open.tenant, key.p, 8);
	memcpy(open.agent.b, key.p + 8, 16);
	open.slot = slot_of(open.tenant, open.agent, open.key);
	opener_add(edge->opener, e, &open);
}

struct cache *lookup_agents_new(struct edge *e)
{
	return cache_new(&(struct cache_config){.loop = e->loop,
						.capacity = AGENTS_MAX,
						.value_size = sizeof(struct agent_row),
						.refresh_us = 2500000,
						.fresh_us = 5000000,
						.absent_us = 500000,
						.load = load_agent,
						.arg = e});
}

struct cache *lookup_sessions_new(struct edge *e)
{
	return cache_new(&(struct cache_config){.loop = e->loop,
						.capacity = SESSIONS_MAX,
						.value_size = sizeof(struct session_row),
						.refresh_us = SESSION_REFRESH_US,
						.absent_us = 0,
						.load = load_session,
						.arg = e});
}

enum cache_verdict lookup_agent(struct call *c, struct slice word, struct agent_row *out)
{
	char key[8 + WORD_MAX];
	if (word.n > WORD_MAX)
		return CACHE_ABSENT;
	memcpy(key, &c->caller.tenant, 8);
	memcpy(key + 8, word.p, word.n);
	return cache_look(c->edge->agents, slice_of(key, 8 + word.n), &c->wait, &c->task,
			  NULL, out);
}

bool lookup_found(struct call *c, enum cache_verdict v, const char *param,
		  const char *absent)
{
	if (v == CACHE_ABSENT)
		reply_err(c->request, ERR_NOT_FOUND, param, absent, 0);
	else if (v == CACHE_FAILED)
		reply_err(c->request, c->wait.failed, NULL, NULL, 0);
	return v == CACHE_FOUND;
}

bool lookup_agent_of_path(struct call *c, struct agent_row *out)
{
	return lookup_found(c, lookup_agent(c, c->match.params[0], out), NULL,
			    "there is no such agent");
}

static struct slice session_key(const struct call *c, struct uuid agent, struct slice key,
				char out[SESSION_KEY_BYTES])
{
	memcpy(out, &c->caller.tenant, 8);
	memcpy(out + 8, agent.b, 16);
	memcpy(out + 24, key.p, key.n);
	return slice_of(out, 24 + key.n);
}

/* A caller who is an end user is told of no other's. */
static bool is_mine(const struct call *c, const struct session_row *row)
{
	uint8_t user[CRYPTO_DIGEST];
	if (!c->caller.user.n)
		return true;
	crypto_digest(c->caller.user, user);
	return !memcmp(user, row->user, sizeof user);
}

enum cache_verdict lookup_session(struct call *c, struct uuid agent, struct slice key,
				  struct slice user, struct session_row *out,
				  unsigned *slot)
{
	char text[SESSION_KEY_BYTES];
	*slot = slot_of(c->caller.tenant, agent, key);
	if (c->caller.user.n)
		user = c->caller.user;
	enum cache_verdict v =
		cache_look(c->edge->sessions, session_key(c, agent, key, text), &c->wait,
			   &c->task, &user, out);
	return v == CACHE_FOUND && !is_mine(c, out) ? CACHE_ABSENT : v;
}

void lookup_forget_session(struct call *c, struct uuid agent, struct slice key)
{
	char text[SESSION_KEY_BYTES];
	cache_drop(c->edge->sessions, session_key(c, agent, key, text));
}

static bool is_agent(const void *value, const void *id)
{
	return uuid_eq(((const struct agent_row *)value)->id, *(const struct uuid *)id);
}

static bool is_session(const void *value, const void *id)
{
	return uuid_eq(((const struct session_row *)value)->id, *(const struct uuid *)id);
}

void lookup_invalidate_agent(struct edge *e, struct uuid agent)
{
	cache_drop_if(e->agents, is_agent, &agent);
}

void lookup_invalidate_session(struct edge *e, struct uuid session)
{
	cache_drop_if(e->sessions, is_session, &session);
}
