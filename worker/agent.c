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
#include "worker/context/tokens.h"
#include "worker/tools/registry.h"

#define CACHED_MOST 512
#define CONFIG_MOST (1u << 20)

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
	agent_config_fini(&a->config);
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

static void complain(struct agent *a, const char *what, const char *which)
{
	char text[300];
	snprintf(text, sizeof text, "the agent's configuration %s%s", what, which);
	a->problem = xstrdup(text);
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
	struct settings_fault bad;
	make_room(s);
	struct agent *a = map_get(s->by_key, key_of(&k, tenant, id, revision));
	if (a) /* two runs read it at once */
		return used(a);
	a = xcalloc(1, sizeof *a);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse_unique(config, CONFIG_MOST, err, sizeof err);
	list_init(&a->lru);
	a->home = s;
	a->tenant = tenant;
	a->id = id;
	a->revision = revision;
	agent_config_init(&a->config);
	if (!d)
		complain(a, "cannot be read: ", err);
	else if (!agent_config_read(&a->config, json_root(d), false, &bad))
		complain(a, "is wrong: ", bad.message);
	map_put(s->by_key, key_of(&k, tenant, id, revision), a);
	return used(a);
}
