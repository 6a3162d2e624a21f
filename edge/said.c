/* SPDX-License-Identifier: Apache-2.0
 * Pieces of a message, checked as an order's own are. */
#include "edge/said.h"

#include <stdarg.h>
#include <stdio.h>

#include "edge/blocks.h"
#include "edge/client_tools.h"
#include "proto/model/settings.h"

#define CALL_ID_MOST 256u

void said_init(struct said *s, struct order_fault *fault)
{
	*s = (struct said){.fault = fault};
	*fault = (struct order_fault){0};
}

void said_fini(struct said *s)
{
	strbuf_fini(&s->blocks);
	strbuf_fini(&s->results);
	strbuf_fini(&s->tools);
	strbuf_fini(&s->system);
	strbuf_fini(&s->choice);
}

bool said_wrong(struct said *s, const char *param, const char *fmt, ...)
{
	va_list ap;
	if (s->is_wrong)
		return false;
	s->is_wrong = true;
	snprintf(s->fault->param, sizeof s->fault->param, "%s", param);
	va_start(ap, fmt);
	vsnprintf(s->fault->message, sizeof s->fault->message, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- blocks */

static struct json_out begin_element(struct strbuf *list)
{
	if (list->n)
		strbuf_add_char(list, ',');
	struct json_out o = json_out(list);
	json_obj(&o);
	return o;
}

void said_text(struct said *s, struct slice text)
{
	if (!text.n)
		return;
	struct json_out o = begin_element(&s->blocks);
	json_kv_cstr(&o, "type", "text");
	json_kv_str(&o, "text", text);
	json_obj_end(&o);
	s->block_count++;
}

void said_image(struct said *s, struct slice media_type, struct slice data)
{
	struct json_out o = begin_element(&s->blocks);
	json_kv_cstr(&o, "type", "image");
	json_kv_str(&o, "mediaType", media_type.p ? media_type : SLICE(""));
	json_kv_str(&o, "data", data.p ? data : SLICE(""));
	json_obj_end(&o);
	s->block_count++;
}

/* data:<type>;base64,<data> */
static bool data_url(struct said *s, struct slice url)
{
	struct slice rest = url, head = slice_cut(&rest, ',');
	ptrdiff_t at = slice_find(head, SLICE(";base64"));
	if (!rest.p || at < 5 || (size_t)at + 7 != head.n)
		return false;
	said_image(s, slice_of(head.p + 5, (size_t)at - 5), rest);
	return true;
}

void said_image_url(struct said *s, const char *param, struct slice url)
{
	if (slice_has_prefix(url, SLICE("data:"))) {
		if (!data_url(s, url))
			said_wrong(s, param,
				   "%s must be data:<type>;base64,<data> or begin with "
				   "https://",
				   param);
		return;
	}
	struct json_out o = begin_element(&s->blocks);
	json_kv_cstr(&o, "type", "image");
	json_kv_str(&o, "url", url.p ? url : SLICE(""));
	json_obj_end(&o);
	s->block_count++;
}

void said_system(struct said *s, struct slice text)
{
	if (!text.n)
		return;
	if (s->system.n)
		strbuf_add_str(&s->system, "\n\n");
	strbuf_add_slice(&s->system, text);
}

/* ---- tools of the client's own */

void said_result(struct said *s, const char *param, struct slice call, json_t content,
		 bool is_error)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (!call.n || call.n > CALL_ID_MOST) {
		said_wrong(s, param, "%s must name the call: 1 to %u bytes", param,
			   CALL_ID_MOST);
		return;
	}
	if (content && json_kind(content) != JSON_STRING)
		json_print(&b, content);
	struct json_out o = begin_element(&s->results);
	json_kv_str(&o, "toolCallId", call);
	json_kv_str(&o, "content",
		    json_kind(content) == JSON_STRING ? json_str(content)
		    : b.n                             ? strbuf_slice(&b)
						      : SLICE(""));
	if (is_error)
		json_kv_bool(&o, "isError", true);
	json_obj_end(&o);
}

static void add_tool(struct said *s, json_t tool)
{
	static const char *const names[] = {"name", "description", "parameters"};
	struct json_out o = begin_element(&s->tools);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t v = json_get(tool, names[i]);
		if (!v || (i == 1 && json_kind(v) == JSON_NULL))
			continue;
		json_key(&o, names[i]);
		json_put_value(&o, v);
	}
	json_obj_end(&o);
}

bool said_tools(struct said *s, json_t list)
{
	struct json_iter it = json_iter(list);
	if (json_kind(list) != JSON_ARRAY)
		return said_wrong(s, "tools", "tools must be a list");
	for (json_t tool; (tool = json_next(&it, NULL));)
		add_tool(s, tool);
	return true;
}

void said_choice(struct said *s, json_t v)
{
	strbuf_reset(&s->choice);
	json_print(&s->choice, v);
}

/* ---- the content */

static void add_list(struct strbuf *b, const struct strbuf *elements)
{
	strbuf_add_char(b, '[');
	strbuf_add_slice(b, strbuf_slice(elements));
	strbuf_add_char(b, ']');
}

/* Checked as a message of the native API. */
static bool add_blocks(struct said *s, struct strbuf *b)
{
	AUTO(strbuf_fini) struct strbuf list = STRBUF_INIT;
	char why[160];
	struct blocks_fault bad;
	strbuf_add_str(b, "\"blocks\":");
	if (!s->block_count) {
		strbuf_add_str(b, "[]");
		return true;
	}
	add_list(&list, &s->blocks);
	AUTO(auto_json_free)
	struct json_doc *doc =
		json_parse(strbuf_slice(&list), LIMIT_BODY_BYTES, why, sizeof why);
	if (!doc)
		return said_wrong(s, "messages", "messages: what is new in them: %s",
				  why);
	return blocks_read(json_root(doc), b, &bad) ||
	       said_wrong(s, "messages", "messages: %s", bad.message);
}

static bool add_overrides(struct said *s, struct strbuf *b)
{
	if (!s->system.n)
		return true;
	if (s->system.n > SETTINGS_SYSTEM_BYTES)
		return said_wrong(s, "messages",
				  "the instructions in the request must have at most %u "
				  "bytes",
				  SETTINGS_SYSTEM_BYTES);
	strbuf_add_str(b, ",\"overrides\":");
	struct json_out o = json_out(b);
	json_obj(&o);
	json_kv_str(&o, "system", strbuf_slice(&s->system));
	json_obj_end(&o);
	return true;
}

/* Checked as those of the native API, whose clientTools are `tools` here. */
static bool add_tools(struct said *s, struct strbuf *b)
{
	AUTO(strbuf_fini) struct strbuf list = STRBUF_INIT;
	struct client_tools_fault bad;
	struct slice choice = strbuf_slice(&s->choice);
	bool fine = true;
	add_list(&list, &s->tools);
	AUTO(auto_json_free)
	struct json_doc *tools = json_parse(strbuf_slice(&list), list.n, NULL, 0);
	AUTO(auto_json_free)
	struct json_doc *chosen = json_parse(choice, choice.n, NULL, 0);
	if (s->tools.n) {
		strbuf_add_str(b, ",\"clientTools\":");
		fine = client_tools_read(json_root(tools), b, &bad);
	}
	if (fine && choice.n) {
		strbuf_add_str(b, ",\"toolChoice\":");
		fine = client_choice_read(json_root(chosen), json_root(tools), b, &bad);
	}
	if (fine)
		return true;
	client_tools_rename(&bad, "clientTools", "tools");
	return said_wrong(s, bad.member, "%s", bad.message);
}

bool said_compose(struct said *s, struct arena *a, struct slice *content)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_char(&b, '{');
	if (s->is_wrong || !add_blocks(s, &b) || !add_overrides(s, &b) ||
	    !add_tools(s, &b))
		return false;
	if (s->results.n) {
		strbuf_add_str(&b, ",\"toolResults\":");
		add_list(&b, &s->results);
	}
	strbuf_add_char(&b, '}');
	if (b.n > LIMIT_BODY_BYTES)
		return said_wrong(s, "messages",
				  "what is new in the messages is larger "
				  "than its limit");
	*content = arena_slice(a, strbuf_slice(&b));
	return true;
}
