/* SPDX-License-Identifier: Apache-2.0
 * Pieces of a message, checked as an order's own are. */
#include "edge/said.h"

#include <stdarg.h>
#include <stdio.h>

#include "edge/blocks.h"
#include "edge/client_tools.h"
#include "proto/model/settings.h"
#include "proto/tools/catalog.h"

#define CALL_ID_MOST 256u
#define DESCRIPTION_MOST 4096u

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
	strbuf_fini(&s->names);
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

/* Not named before, and none of the runtime's own. */
static bool is_new(struct said *s, const char *param, struct slice name)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, " %.*s ", SLICE_ARG(name));
	if (slice_find(strbuf_slice(&s->names), strbuf_slice(&b)) >= 0)
		return said_wrong(s, param, "%s stands there twice: %.*s", param,
				  SLICE_ARG(name));
	if (catalog_find(name) < catalog_count())
		return said_wrong(s, param,
				  "%s must be another name: %.*s is a tool of the "
				  "runtime",
				  param, SLICE_ARG(name));
	strbuf_add_slice(&s->names, strbuf_slice(&b));
	return true;
}

static bool check_tool(struct said *s, const char *param, json_t name, json_t description,
		       json_t parameters)
{
	if (!client_tool_name_fits(json_str(name)))
		return said_wrong(s, param,
				  "%s must have a name of 1 to %u letters, digits, _ "
				  "and -",
				  param, CLIENT_TOOL_NAME_MOST);
	if (description && json_kind(description) != JSON_NULL &&
	    (!json_str(description).p || json_str(description).n > DESCRIPTION_MOST))
		return said_wrong(s, param,
				  "%s: description must be a string of at most %u bytes",
				  param, DESCRIPTION_MOST);
	if (parameters && json_kind(parameters) != JSON_OBJECT)
		return said_wrong(s, param,
				  "%s: parameters must be a JSON schema, an object",
				  param);
	if (s->tool_count == SAID_TOOLS_MOST)
		return said_wrong(s, param, "there may be %u tools at most",
				  SAID_TOOLS_MOST);
	return is_new(s, param, json_str(name));
}

void said_tool(struct said *s, const char *param, json_t name, json_t description,
	       json_t parameters)
{
	if (s->is_wrong || !check_tool(s, param, name, description, parameters))
		return;
	s->tool_count++;
	struct json_out o = begin_element(&s->tools);
	json_kv_str(&o, "name", json_str(name));
	if (json_str(description).n)
		json_kv_str(&o, "description", json_str(description));
	if (parameters) {
		json_key(&o, "parameters");
		json_put_value(&o, parameters);
	}
	json_obj_end(&o);
}

void said_choice(struct said *s, json_t v)
{
	struct slice word = json_str(v), name = json_str(json_get(v, "name"));
	bool fits = slice_is(word, "auto") || slice_is(word, "none") ||
		    slice_is(word, "required") ||
		    (client_tool_name_fits(name) && json_len(v) == 1);
	if (!fits) {
		said_wrong(s, "toolChoice",
			   "toolChoice must be auto, none, required or {\"name\"}");
		return;
	}
	strbuf_reset(&s->choice);
	json_print(&s->choice, v);
}

/* ---- the content */

static void add_list(struct strbuf *b, const char *name, const struct strbuf *elements)
{
	strbuf_printf(b, ",\"%s\":[", name);
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
	strbuf_add_char(&list, '[');
	strbuf_add_slice(&list, strbuf_slice(&s->blocks));
	strbuf_add_char(&list, ']');
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

bool said_compose(struct said *s, struct arena *a, struct slice *content)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_char(&b, '{');
	if (s->is_wrong || !add_blocks(s, &b) || !add_overrides(s, &b))
		return false;
	if (s->tool_count)
		add_list(&b, "clientTools", &s->tools);
	if (s->choice.n) {
		strbuf_add_str(&b, ",\"toolChoice\":");
		strbuf_add_slice(&b, strbuf_slice(&s->choice));
	}
	if (s->results.n)
		add_list(&b, "toolResults", &s->results);
	strbuf_add_char(&b, '}');
	if (b.n > LIMIT_BODY_BYTES)
		return said_wrong(s, "messages",
				  "what is new in the messages is larger "
				  "than its limit");
	*content = arena_slice(a, strbuf_slice(&b));
	return true;
}
