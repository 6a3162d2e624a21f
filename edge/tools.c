/* SPDX-License-Identifier: Apache-2.0
 * GET /v1/tools: the tools of this build. */
#include "common/json.h"
#include "edge/call.h"
#include "edge/reply.h"
#include "proto/tools/catalog.h"

static void put_tool(struct json_out *o, size_t i)
{
	const struct tool_spec *t = catalog_at(i);
	json_obj(o);
	json_kv_cstr(o, "name", t->name);
	json_kv_cstr(o, "category", t->category);
	if (catalog_is_builder(i))
		json_kv_cstr(o, "mode", "builder");
	json_kv_cstr(o, "effect", tool_effect_word(t->effect));
	json_kv_cstr(o, "place", tool_place_word(t->place));
	json_kv_i64(o, "deadlineMs", t->deadline_us / 1000);
	json_kv_i64(o, "outputMaxBytes", (int64_t)t->output_most);
	json_kv_cstr(o, "description", t->description);
	json_kv_raw(o, "schema", slice_str(t->schema));
	json_obj_end(o);
}

void tool_list(struct call *c)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_key(&o, "tools");
	json_arr(&o);
	for (size_t i = 0; i < catalog_count(); i++)
		put_tool(&o, i);
	json_arr_end(&o);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}
