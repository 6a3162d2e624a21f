/* SPDX-License-Identifier: Apache-2.0
 * Functions of the client's: tools and tool_choice, in the words of both APIs. */
#include <stdio.h>
#include <string.h>

#include "edge/client_tools.h"
#include "edge/openai/reading.h"

/* One API has the function's members in an object of their own. */
static json_t function_of(json_t tool)
{
	json_t f = json_get(tool, "function");
	return json_kind(f) == JSON_OBJECT ? f : tool;
}

static bool put_tool(struct reading *r, const char *at, json_t tool, struct json_out *o)
{
	struct slice type = json_str(json_get(tool, "type"));
	json_t f = function_of(tool), parameters = json_get(f, "parameters");
	struct slice name = json_str(json_get(f, "name")),
		     description = json_str(json_get(f, "description"));
	if (!slice_is(type, "function"))
		return reading_wrong(
			r, at,
			"%s is of type \"%.*s\": only functions can be given; "
			"what else an agent can do is its own",
			at, (int)(type.n < 40 ? type.n : 40), type.p ? type.p : "");
	if (!name.n)
		return reading_wrong(r, at, "%s must have a name", at);
	if (json_kind(parameters) > JSON_NULL && json_kind(parameters) != JSON_OBJECT)
		return reading_wrong(
			r, at, "%s: parameters must be a JSON schema, an object", at);
	json_obj(o);
	json_kv_str(o, "name", name);
	if (description.n)
		json_kv_str(o, "description", description);
	if (json_kind(parameters) == JSON_OBJECT) {
		json_key(o, "parameters");
		json_put_value(o, parameters);
	}
	json_obj_end(o);
	return true;
}

/* A fault of client_tools.h under the name that these APIs have for the member. */
static bool blame(struct reading *r, const char *name, const char *member,
		  struct client_tools_fault *bad)
{
	client_tools_rename(bad, member, name);
	return reading_wrong(r, bad->member, "%s", bad->message);
}

static bool check_tools(struct reading *r, const char *name, struct slice list)
{
	AUTO(strbuf_fini) struct strbuf checked = STRBUF_INIT;
	struct client_tools_fault bad;
	AUTO(auto_json_free) struct json_doc *d = json_parse(list, list.n, NULL, 0);
	if (!client_tools_read(json_root(d), &checked, &bad))
		return blame(r, name, "clientTools", &bad);
	r->ask->tools = arena_slice(r->ask->arena, strbuf_slice(&checked));
	return true;
}

bool take_tools(struct reading *r, const char *name, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct json_iter it = json_iter(v);
	size_t i = 0;
	if (json_kind(v) != JSON_ARRAY || json_len(v) > CLIENT_TOOLS_MOST)
		return reading_wrong(r, name, "%s must be a list of at most %u functions",
				     name, CLIENT_TOOLS_MOST);
	if (!json_len(v))
		return true;
	json_arr(&o);
	for (json_t tool; (tool = json_next(&it, NULL)); i++) {
		char at[32];
		snprintf(at, sizeof at, "%s[%zu]", name, i);
		if (!put_tool(r, at, tool, &o))
			return false;
	}
	json_arr_end(&o);
	return check_tools(r, name, strbuf_slice(&b));
}

bool take_choice(struct reading *r, const char *name, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct slice word = json_str(v), type = json_str(json_get(v, "type")),
		     function = json_str(json_get(function_of(v), "name"));
	if (slice_is(word, "auto") || slice_is(word, "none") ||
	    slice_is(word, "required")) {
		json_put_str(&o, word);
	} else if (slice_is(type, "function") && function.n) {
		json_obj(&o);
		json_kv_str(&o, "name", function);
		json_obj_end(&o);
	} else {
		return reading_wrong(r, name,
				     "%s must be auto, none, required, or a function by "
				     "its name",
				     name);
	}
	r->ask->choice = arena_slice(r->ask->arena, strbuf_slice(&b));
	return true;
}

bool reading_choice(struct reading *r)
{
	AUTO(strbuf_fini) struct strbuf checked = STRBUF_INIT;
	struct slice tools = r->ask->tools, choice = r->ask->choice;
	struct client_tools_fault bad;
	if (!choice.p)
		return true;
	AUTO(auto_json_free) struct json_doc *t = json_parse(tools, tools.n, NULL, 0);
	AUTO(auto_json_free) struct json_doc *d = json_parse(choice, choice.n, NULL, 0);
	return client_choice_read(json_root(d), json_root(t), &checked, &bad) ||
	       blame(r, "tool_choice", "toolChoice", &bad);
}
