/* SPDX-License-Identifier: Apache-2.0
 * Member by member. */
#include "edge/client_tools.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "edge/blocks.h"
#include "proto/tools/catalog.h"

#define CALL_ID_MOST 128u

struct reading {
	struct client_tools_fault *fault;
	struct json_out *o;
	const char *member;
	size_t at;
};

/* fmt's text stands behind the member's place. */
PRINTF_LIKE(3, 4)
static bool wrong(struct reading *r, const char *part, const char *fmt, ...)
{
	struct client_tools_fault *f = r->fault;
	va_list ap;
	snprintf(f->member, sizeof f->member, "%s[%zu]%s", r->member, r->at, part);
	int n = snprintf(f->message, sizeof f->message, "%s ", f->member);
	va_start(ap, fmt);
	vsnprintf(f->message + n, sizeof f->message - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

PRINTF_LIKE(3, 4)
static bool wrong_whole(struct client_tools_fault *f, const char *member, const char *fmt,
			...)
{
	va_list ap;
	snprintf(f->member, sizeof f->member, "%s", member);
	va_start(ap, fmt);
	vsnprintf(f->message, sizeof f->message, fmt, ap);
	va_end(ap);
	return false;
}

bool client_tool_name_fits(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '_' || c == '-';
		if (!fits)
			return false;
	}
	return s.n && s.n <= CLIENT_TOOL_NAME_MOST;
}

/* The first member of an object that is none of `names`, NULL-terminated. */
static bool find_unknown(json_t v, const char *const *names, struct slice *unknown)
{
	struct json_iter it = json_iter(v);
	while (json_next(&it, unknown)) {
		const char *const *n = names;
		while (*n && !slice_is(*unknown, *n))
			n++;
		if (!*n)
			return true;
	}
	return false;
}

/* How often the list's elements before `at` have that text as `member`. */
static bool stands_before(json_t list, size_t at, const char *member, struct slice text)
{
	for (size_t i = 0; i < at; i++)
		if (slice_eq(json_str(json_get(json_at(list, i), member)), text))
			return true;
	return false;
}

static bool is_object(struct reading *r, json_t v, const char *const *names)
{
	struct slice unknown;
	if (json_kind(v) != JSON_OBJECT)
		return wrong(r, "", "must be an object");
	if (find_unknown(v, names, &unknown))
		return wrong(r, "", "has an unknown member \"%.*s\"",
			     (int)(unknown.n < 64 ? unknown.n : 64), unknown.p);
	return true;
}

/* ---- tools */

static bool take_tool(struct reading *r, json_t list, json_t v)
{
	static const char *const names[] = {"name", "description", "parameters", NULL};
	struct slice name = json_str(json_get(v, "name"));
	json_t description = json_get(v, "description"),
	       parameters = json_get(v, "parameters");
	if (!is_object(r, v, names))
		return false;
	if (!client_tool_name_fits(name))
		return wrong(r, ".name",
			     "must be 1 to %d letters, digits, \"_\" and \"-\"",
			     CLIENT_TOOL_NAME_MOST);
	if (catalog_find(name) < catalog_count())
		return wrong(r, ".name", "is \"%.*s\", a tool of the runtime's own",
			     SLICE_ARG(name));
	if (stands_before(list, r->at, "name", name))
		return wrong(r, ".name", "is \"%.*s\", as of one before it",
			     SLICE_ARG(name));
	if (description && (!json_str(description).p ||
			    json_str(description).n > CLIENT_TOOL_DESCRIPTION_MOST))
		return wrong(r, ".description", "must be a text of at most %d bytes",
			     CLIENT_TOOL_DESCRIPTION_MOST);
	if (parameters && json_kind(parameters) != JSON_OBJECT)
		return wrong(r, ".parameters", "must be a JSON schema, an object");
	json_put_value(r->o, v);
	return true;
}

bool client_tools_read(json_t v, struct strbuf *out, struct client_tools_fault *fault)
{
	struct json_out o = json_out(out);
	struct reading r = {.fault = fault, .o = &o, .member = "clientTools"};
	struct json_iter it = json_iter(v);
	if (json_kind(v) != JSON_ARRAY || json_len(v) > CLIENT_TOOLS_MOST)
		return wrong_whole(fault, "clientTools",
				   "clientTools must be a list of at most %u tools",
				   CLIENT_TOOLS_MOST);
	json_arr(&o);
	for (json_t t; (t = json_next(&it, NULL)); r.at++)
		if (!take_tool(&r, v, t))
			return false;
	json_arr_end(&o);
	return true;
}

/* ---- the choice */

bool client_choice_read(json_t v, json_t tools, struct strbuf *out,
			struct client_tools_fault *fault)
{
	static const char *const names[] = {"name", NULL};
	struct slice word = json_str(v), unknown, name = json_str(json_get(v, "name"));
	bool is_word = slice_is(word, "auto") || slice_is(word, "none") ||
		       slice_is(word, "required");
	bool names_one = json_kind(v) == JSON_OBJECT && name.n &&
			 !find_unknown(v, names, &unknown);
	if (!is_word && !names_one)
		return wrong_whole(fault, "toolChoice",
				   "toolChoice must be \"auto\", \"none\", \"required\" "
				   "or {\"name\": \"...\"}");
	if (names_one && catalog_find(name) == catalog_count() &&
	    !stands_before(tools, json_len(tools), "name", name))
		return wrong_whole(fault, "toolChoice",
				   "toolChoice names \"%.*s\", which is neither one of "
				   "the client's tools nor a tool of the runtime",
				   (int)(name.n < 64 ? name.n : 64), name.p);
	json_print(out, v);
	return true;
}

/* ---- results */

static bool take_content(struct reading *r, json_t v)
{
	AUTO(strbuf_fini) struct strbuf blocks = STRBUF_INIT;
	struct blocks_fault bad;
	if (json_str(v).p)
		return true;
	if (!blocks_read(v, &blocks, &bad)) {
		struct slice place = slice_str(bad.message);
		slice_cut(&place, ' '); /* the place of a message's block */
		return wrong(r, ".content", "%.*s", SLICE_ARG(place));
	}
	for (size_t i = 0; i < json_len(v); i++)
		if (json_get(json_at(v, i), "url"))
			return wrong(r, ".content",
				     "must hold its images as data: nobody fetches what "
				     "a tool returned");
	return true;
}

static bool take_result(struct reading *r, json_t list, json_t v)
{
	static const char *const names[] = {"toolCallId", "content", "isError", NULL};
	struct slice id = json_str(json_get(v, "toolCallId"));
	json_t is_error = json_get(v, "isError");
	if (!is_object(r, v, names))
		return false;
	if (!id.n || id.n > CALL_ID_MOST || slice_has_control(id))
		return wrong(r, ".toolCallId",
			     "must be 1 to %u bytes without control characters",
			     CALL_ID_MOST);
	if (stands_before(list, r->at, "toolCallId", id))
		return wrong(r, ".toolCallId", "is \"%.*s\", as of one before it",
			     SLICE_ARG(id));
	if (!json_get(v, "content"))
		return wrong(r, ".content", "is missing: a string or a list of blocks");
	if (is_error && json_kind(is_error) != JSON_BOOL)
		return wrong(r, ".isError", "must be true or false");
	if (!take_content(r, json_get(v, "content")))
		return false;
	json_put_value(r->o, v);
	return true;
}

bool client_results_read(json_t v, struct strbuf *out, struct client_tools_fault *fault)
{
	struct json_out o = json_out(out);
	struct reading r = {.fault = fault, .o = &o, .member = "toolResults"};
	struct json_iter it = json_iter(v);
	if (json_kind(v) != JSON_ARRAY || !json_len(v) ||
	    json_len(v) > CLIENT_RESULTS_MOST)
		return wrong_whole(fault, "toolResults",
				   "toolResults must be a list of 1 to %u results",
				   CLIENT_RESULTS_MOST);
	json_arr(&o);
	for (json_t t; (t = json_next(&it, NULL)); r.at++)
		if (!take_result(&r, v, t))
			return false;
	json_arr_end(&o);
	return true;
}

void client_tools_rename(struct client_tools_fault *fault, const char *member,
			 const char *name)
{
	struct client_tools_fault f = *fault;
	size_t n = strlen(member);
	if (!strncmp(f.message, member, n))
		snprintf(fault->message, sizeof fault->message, "%s%s", name,
			 f.message + n);
	if (!strncmp(f.member, member, n))
		snprintf(fault->member, sizeof fault->member, "%s%s", name, f.member + n);
}
