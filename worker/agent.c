/* SPDX-License-Identifier: Apache-2.0
 * Parsing of agent_revisions.config and a small cache of the result. A tool that this
 * build does not know refuses the whole agent: guessing which tools were meant would be
 * worse than saying so. */
#include "worker/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "common/json.h"
#include "common/map.h"
#include "worker/context/skill_list.h"
#include "worker/context/tokens.h"
#include "worker/tools/registry.h"

#define CACHED_MOST 512
#define CONFIG_MOST (1u << 20)
#define SKILL_NAME_MOST 64

struct agents {
	struct map *by_key;
	struct list lru;
	struct llm_tool *tools; /* the registry in the models' words */
	int64_t tool_tokens[CATALOG_MOST];
};

struct key {
	int64_t tenant;
	struct uuid id;
	int64_t revision;
};

static struct slice key_of(struct key *k, int64_t tenant, struct uuid id, int revision)
{
	memset(k, 0, sizeof *k);
	k->tenant = tenant;
	k->id = id;
	k->revision = revision;
	return slice_of(k, sizeof *k);
}

static int64_t tokens_of_tool(const struct tool_spec *t)
{
	return TOKENS_CALL + tokens_of_text(slice_str(t->name)) +
	       tokens_of_text(slice_str(t->description)) +
	       tokens_of_text(slice_str(t->schema));
}

struct agents *agents_new(void)
{
	struct agents *s = xcalloc(1, sizeof *s);
	s->by_key = map_new();
	s->tools = xcalloc(tool_count(), sizeof *s->tools);
	list_init(&s->lru);
	for (size_t i = 0; i < tool_count(); i++) {
		s->tool_tokens[i] = tokens_of_tool(tool_at(i));
		s->tools[i] = (struct llm_tool){.name = tool_at(i)->name,
						.description = tool_at(i)->description,
						.schema = tool_at(i)->schema};
	}
	return s;
}

static void drop(struct agent *a)
{
	struct key k;
	map_take(a->home->by_key, key_of(&k, a->tenant, a->id, a->revision));
	list_remove(&a->lru);
	model_settings_fini(&a->settings);
	json_free(a->skills);
	free(a->system);
	free(a->problem);
	free(a);
}

void agents_free(struct agents *s)
{
	if (!s)
		return;
	while (!list_is_empty(&s->lru))
		drop(list_entry(s->lru.next, struct agent, lru));
	map_free(s->by_key);
	free(s->tools);
	free(s);
}

static struct agent *used(struct agent *a)
{
	list_remove(&a->lru);
	list_push(&a->home->lru, &a->lru);
	a->users++;
	return a;
}

struct agent *agent_take(struct agents *s, int64_t tenant, struct uuid id, int revision)
{
	struct key k;
	struct agent *a = map_get(s->by_key, key_of(&k, tenant, id, revision));
	return a ? used(a) : NULL;
}

void agent_give_back(struct agent *a)
{
	check(a->users > 0);
	a->users--;
}

const struct llm_tool *agent_tool(const struct agent *a, size_t i)
{
	check(i < tool_count());
	return &a->home->tools[i];
}

int64_t agent_tool_tokens(const struct agent *a, const struct llm_tool *t)
{
	ptrdiff_t i = t - a->home->tools;
	check(i >= 0 && i < (ptrdiff_t)tool_count());
	return a->home->tool_tokens[i];
}

static void complain(struct agent *a, const char *what, struct slice which)
{
	char text[300];
	if (a->problem)
		return;
	snprintf(text, sizeof text, "the agent's configuration %s%.*s", what,
		 which.n > 100 ? 100 : (int)which.n, which.p ? which.p : "");
	a->problem = xstrdup(text);
}

/* Once: providers refuse a tool that is offered twice. */
/* Without a list it is the policy alone that decides. */
static void read_tools(struct agent *a, json_t tools)
{
	if (json_kind(tools) <= JSON_NULL) {
		a->tool_set = ~0ull >> (CATALOG_MOST - tool_count());
		return;
	}
	if (json_kind(tools) != JSON_ARRAY)
		complain(a, "says 'tools' and means no list", SLICE_NONE);
	for (size_t i = 0; i < json_len(tools); i++) {
		struct slice name = json_str(json_at(tools, i));
		const struct tool_spec *t = tool_find(name);
		if (!t)
			complain(a, "names a tool that does not exist: ", name);
		else
			a->tool_set |= 1ull << tool_index(t);
	}
}

static char *text_of(struct agent *a, json_t config, const char *key)
{
	json_t v = json_get(config, key);
	if (json_kind(v) > JSON_NULL && json_kind(v) != JSON_STRING)
		complain(a, "has no text at: ", slice_str(key));
	return xstrdup(json_cstr(v, ""));
}

static uint64_t number_of(struct agent *a, json_t config, const char *key)
{
	json_t v = json_get(config, key);
	int64_t n = 0;
	if (json_kind(v) > JSON_NULL && (!json_i64(v, &n) || n < 1))
		complain(a, "has no positive number at: ", slice_str(key));
	return n > 0 ? (uint64_t)n : 0;
}

static void read_workspace(struct agent *a, json_t root)
{
	json_t kind = json_get(root, "workspace");
	a->by_session = slice_is(json_str(kind), "session");
	if (json_kind(kind) > JSON_NULL && !a->by_session &&
	    !slice_is(json_str(kind), "agent"))
		complain(a, "says of 'workspace' neither \"agent\" nor \"session\"",
			 SLICE_NONE);
	a->workspace_bytes = number_of(a, root, "workspaceBytes");
	a->workspace_files = number_of(a, root, "workspaceFiles");
}

static void read_budgets(struct agent *a, json_t budgets)
{
	struct json_iter it = json_iter(budgets);
	struct slice key;
	if (json_kind(budgets) > JSON_NULL && json_kind(budgets) != JSON_OBJECT)
		complain(a, "says 'budgets' and means no object", SLICE_NONE);
	for (json_t v; (v = json_next(&it, &key));) {
		bool known = slice_is(key, "run") || slice_is(key, "session");
		if (!known ||
		    !budget_limits_read(v, slice_is(key, "run") ? &a->run_budget
								: &a->session_budget))
			complain(a,
				 "has no limits (tokens, costMicros, calls, seconds: "
				 "whole "
				 "numbers above 0) of a run or session in 'budgets' at: ",
				 key);
	}
}

static void read_settings(struct agent *a, json_t root)
{
	struct settings_fault bad;
	model_settings_init(&a->settings);
	if (!model_settings_read_all(&a->settings, root, SETTINGS_AGENT, &bad))
		complain(a, "is wrong: ", slice_str(bad.message));
}

static void read_skills(struct agent *a, json_t skills)
{
	AUTO(strbuf_fini) struct strbuf names = STRBUF_INIT;
	if (json_kind(skills) <= JSON_NULL)
		return;
	if (json_kind(skills) != JSON_ARRAY || json_len(skills) > SKILL_LIST_MOST) {
		complain(a, "says 'skills' and means no list of at most 150 names",
			 SLICE_NONE);
		return;
	}
	for (size_t i = 0; i < json_len(skills); i++) {
		struct slice name = json_str(json_at(skills, i));
		if (!name.n || name.n > SKILL_NAME_MOST)
			complain(a, "has no skill's name in 'skills': ", name);
	}
	json_print(&names, skills);
	a->skills = json_parse(strbuf_slice(&names), CONFIG_MOST, NULL, 0);
}

static void make_room(struct agents *s)
{
	list_each (n, &s->lru) {
		struct agent *a = list_entry(n, struct agent, lru);
		if (map_count(s->by_key) < CACHED_MOST)
			return;
		if (!a->users)
			drop(a);
	}
}

struct agent *agent_put(struct agents *s, int64_t tenant, struct uuid id, int revision,
			struct slice config)
{
	struct key k;
	char err[160];
	make_room(s);
	struct agent *a = map_get(s->by_key, key_of(&k, tenant, id, revision));
	if (a) /* two runs read it at once */
		return used(a);
	a = xcalloc(1, sizeof *a);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse_unique(config, CONFIG_MOST, err, sizeof err);
	json_t root = json_root(d);
	list_init(&a->lru);
	a->home = s;
	a->tenant = tenant;
	a->id = id;
	a->revision = revision;
	if (!d)
		complain(a, "cannot be read: ", slice_str(err));
	else if (json_kind(root) != JSON_OBJECT)
		complain(a, "is no object", SLICE_NONE);
	a->system = text_of(a, root, "systemPrompt");
	a->context_window = (int64_t)number_of(a, root, "contextWindow");
	read_settings(a, root);
	read_tools(a, json_get(root, "tools"));
	read_skills(a, json_get(root, "skills"));
	read_workspace(a, root);
	read_budgets(a, json_get(root, "budgets"));
	map_put(s->by_key, key_of(&k, tenant, id, revision), a);
	return used(a);
}
