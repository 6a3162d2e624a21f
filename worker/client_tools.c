/* SPDX-License-Identifier: Apache-2.0
 * Tools out of a message. */
#include "worker/client_tools.h"

#include <string.h>

#include "common/attr.h"
#include "worker/context/tokens.h"
#include "worker/run.h"
#include "worker/tools/registry.h"

#define TOOLS_BYTES (8u << 20)
#define NO_PARAMETERS "{\"type\":\"object\",\"properties\":{}}"

static const char *text_in(struct arena *a, struct slice s)
{
	return s.n ? arena_strndup(a, s.p, s.n) : NULL;
}

/* Its members as Postgres keeps them, so that the question is the same whether the
 * message was kept here or read. */
static const char *schema_in(struct arena *a, json_t parameters)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (json_kind(parameters) != JSON_OBJECT)
		return NO_PARAMETERS;
	json_print_ordered(&b, parameters);
	return arena_strndup(a, b.p, b.n);
}

static void add(struct client_tools *c, json_t tool)
{
	struct slice name = json_str(json_get(tool, "name"));
	if (!name.n || tool_find(name) || client_tools_have(c, name))
		return;
	struct llm_tool *t = &c->tools[c->count++];
	t->name = text_in(c->arena, name);
	t->description = text_in(c->arena, json_str(json_get(tool, "description")));
	t->schema = schema_in(c->arena, json_get(tool, "parameters"));
	c->tokens += TOKENS_CALL + tokens_of_text(name) +
		     tokens_of_text(slice_str(t->description)) +
		     tokens_of_text(slice_str(t->schema));
}

static struct llm_choice choice_in(struct arena *a, json_t v)
{
	struct slice word = json_str(v), name = json_str(json_get(v, "name"));
	if (slice_is(word, "none"))
		return (struct llm_choice){.kind = LLM_CHOICE_NONE};
	if (slice_is(word, "required"))
		return (struct llm_choice){.kind = LLM_CHOICE_REQUIRED};
	if (name.n)
		return (struct llm_choice){LLM_CHOICE_NAMED, arena_slice(a, name)};
	return (struct llm_choice){.kind = LLM_CHOICE_FREE};
}

void client_tools_read(struct client_tools *c, json_t content)
{
	json_t tools = json_get(content, "clientTools");
	struct json_iter it = json_iter(tools);
	c->arena = arena_new(TOOLS_BYTES);
	c->tools = arena_zalloc(c->arena, (json_len(tools) + 1) * sizeof *c->tools);
	for (json_t t; (t = json_next(&it, NULL));)
		add(c, t);
	c->choice = choice_in(c->arena, json_get(content, "toolChoice"));
}

void client_tools_fini(struct client_tools *c)
{
	arena_free(c->arena);
	memset(c, 0, sizeof *c);
}

bool client_tools_have(const struct client_tools *c, struct slice name)
{
	for (size_t i = 0; i < c->count; i++)
		if (slice_is(name, c->tools[i].name))
			return true;
	return false;
}

struct llm_choice client_tools_choice(const struct run *r)
{
	struct llm_choice c = r->asking.client.choice;
	if (c.kind >= LLM_CHOICE_REQUIRED && r->step_no > 0)
		c = (struct llm_choice){.kind = LLM_CHOICE_FREE};
	return c;
}
