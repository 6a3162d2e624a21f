/* SPDX-License-Identifier: Apache-2.0
 * Member by member; the configuration's by the module that its workers read it with. */
#include "edge/agent_body.h"

#include "common/attr.h"
#include "edge/body.h"
#include "edge/reply.h"
#include "proto/model/agent_config.h"

struct reading {
	struct call *c;
	enum agent_body_for what;
	struct agent_body *out;
	struct json_out config;
};

static bool wrong(struct reading *x, const char *name, const char *clause)
{
	return reply_wrong(x->c->request, name,
			   arena_printf(x->c->request->arena, "%s %s", name, clause));
}

/* ---- beside the configuration */

static bool take_name(struct reading *x, json_t v)
{
	struct slice s = json_str(v);
	const char *clause =
		s.p ? agent_name_problem(s) : "must be a text of 1 to 63 bytes";
	if (clause)
		return wrong(x, "name", clause);
	x->out->name = arena_slice(x->c->request->arena, s);
	return true;
}

static bool take_max_running(struct reading *x, json_t v)
{
	int64_t *n = &x->out->max_running;
	return (json_i64(v, n) && *n >= 1 && *n <= AGENT_RUNNING_MOST) ||
	       wrong(x, "maxRunning", "must be an integer from 1 to 1000000");
}

static bool take_revision(struct reading *x, json_t v)
{
	int64_t *n = &x->out->revision;
	return (json_i64(v, n) && *n >= 1 && *n <= INT32_MAX) ||
	       wrong(x, "revision", "must be the number of one of the agent's revisions");
}

static bool take_profile(struct reading *x, json_t v)
{
	static const char *const words[] = {"minimal", "coding", "messaging", "full"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(json_str(v), words[i])) {
			x->out->profile = words[i];
			return true;
		}
	return wrong(x, "profile", "must be minimal, coding, messaging or full");
}

static bool take_nothing(struct reading *x, json_t v)
{
	(void)x, (void)v;
	return true;
}

static const struct {
	const char *name;
	unsigned of; /* enum agent_body_for */
	bool (*take)(struct reading *x, json_t v);
} members[] = {{"name", ~0u, take_name},
	       {"maxRunning", ~(unsigned)AGENT_BODY_CLONE, take_max_running},
	       {"profile", AGENT_BODY_NEW, take_profile},
	       {"revision", AGENT_BODY_CLONE, take_revision},
	       {"revision", AGENT_BODY_WHOLE, take_nothing},
	       {"id", AGENT_BODY_WHOLE, take_nothing},
	       {"createdAt", AGENT_BODY_WHOLE, take_nothing},
	       {"updatedAt", AGENT_BODY_WHOLE, take_nothing},
	       {"updatedBy", AGENT_BODY_WHOLE, take_nothing}};

/* ---- all of it */

static bool take_member(struct reading *x, struct slice key, json_t v)
{
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (members[i].of & x->what && slice_is(key, members[i].name))
			return members[i].take(x, v);
	struct arena *a = x->c->request->arena;
	const char *name = arena_strndup(a, key.p, key.n < 63 ? key.n : 63);
	if (x->what == AGENT_BODY_CLONE || !agent_config_knows(key))
		return reply_wrong(
			x->c->request, name,
			arena_printf(a, "there is no member \"%s\" here", name));
	json_key(&x->config, name);
	json_put_value(&x->config, v);
	return true;
}

static bool check_config(struct reading *x, json_t root)
{
	struct agent_config config;
	struct settings_fault fault;
	if (x->what == AGENT_BODY_CLONE)
		return true;
	agent_config_init(&config);
	bool fine = agent_config_read(&config, root, true, &fault);
	agent_config_fini(&config);
	if (fine)
		return true;
	struct arena *a = x->c->request->arena;
	return reply_wrong(x->c->request, arena_strdup(a, fault.member),
			   arena_strdup(a, fault.message));
}

static bool take_members(struct reading *x, json_t root)
{
	struct json_iter it = json_iter(root);
	struct slice key;
	json_obj(&x->config);
	for (json_t v; (v = json_next(&it, &key));)
		if (!take_member(x, key, v))
			return false;
	json_obj_end(&x->config);
	if (x->what & (AGENT_BODY_NEW | AGENT_BODY_CLONE) && !x->out->name.p)
		return wrong(x, "name", "is missing");
	return check_config(x, root);
}

bool agent_body_read(struct call *c, enum agent_body_for what, struct agent_body *out)
{
	AUTO(strbuf_fini) struct strbuf config = STRBUF_INIT;
	struct reading x = {c, what, out, json_out(&config)};
	*out = (struct agent_body){.max_running = -1, .revision = -1};
	AUTO(auto_json_free) struct json_doc *d = body_object(c);
	if (!d || !take_members(&x, json_root(d)))
		return false;
	out->config = arena_slice(c->request->arena, strbuf_slice(&config));
	return true;
}
