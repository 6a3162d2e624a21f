/* SPDX-License-Identifier: Apache-2.0
 * Documents, in and out. */
#include "proto/tools/policy_doc.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/die.h"
#include "proto/tools/policy_words.h"

/* ---- as it is kept */

static struct slice lower(struct slice word, char *text, size_t size)
{
	size_t n = word.n < size ? word.n : size;
	for (size_t i = 0; i < n; i++) {
		char ch = word.p[i];
		text[i] = ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
	}
	return slice_of(text, n);
}

/* More than there are: tools, groups, "*". */
#define WORDS_MOST (CATALOG_MOST + 32)

struct words {
	struct slice seen[WORDS_MOST];
	size_t count;
};

static bool is_new(struct words *w, struct slice word)
{
	for (size_t i = 0; i < w->count; i++)
		if (slice_ieq(w->seen[i], word))
			return false;
	check(w->count < WORDS_MOST);
	w->seen[w->count++] = word;
	return true;
}

/* `otherwise`: a word of a list that was not given; NULL: none. */
static void put_words(struct json_out *o, const char *member, json_t list,
		      const char *otherwise)
{
	char text[80]; /* longer than any word there is */
	struct words words = {.count = 0};
	struct json_iter it = json_iter(list);
	json_key(o, member);
	json_arr(o);
	if (!list && otherwise)
		json_put_cstr(o, otherwise);
	for (json_t w; (w = json_next(&it, NULL));)
		if (is_new(&words, json_str(w)))
			json_put_str(o, lower(json_str(w), text, sizeof text));
	json_arr_end(o);
}

static void put_document(struct json_out *o, enum policy_layer l, json_t doc)
{
	int64_t calls = l == POLICY_CEILING ? POLICY_CALLS_MOST : POLICY_CALLS_DEFAULT;
	bool whole = l != POLICY_SESSION;
	json_t allowed = json_get(doc, "allowed"), v;
	json_obj(o);
	if (l == POLICY_AGENT)
		json_kv_cstr(o, "profile",
			     json_cstr(json_get(doc, "profile"), "minimal"));
	if (whole || allowed)
		put_words(o, "allowed", allowed, l == POLICY_CEILING ? "*" : NULL);
	if (whole || json_get(doc, "denied"))
		put_words(o, "denied", json_get(doc, "denied"), NULL);
	if (l == POLICY_AGENT || json_get(doc, "ask"))
		put_words(o, "ask", json_get(doc, "ask"), NULL);
	v = json_get(doc, "maxToolCallsPerTurn");
	json_i64(v, &calls);
	if (whole || v)
		json_kv_i64(o, "maxToolCallsPerTurn", calls);
	json_obj_end(o);
}

bool policy_compose(enum policy_layer l, struct slice json, struct strbuf *out, char *err,
		    size_t err_size)
{
	struct json_out o = json_out(out);
	if (!policy_check(l, json, err, err_size))
		return false;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse_unique(json, POLICY_TEXT_MOST, err, err_size);
	if (json_get(json_root(d), "parent")) {
		snprintf(err, err_size, "parent: the runtime alone writes it");
		return false;
	}
	put_document(&o, l, json_root(d));
	return true;
}

void policy_blame(const char *err, char *member, size_t size)
{
	const char *colon = strchr(err, ':');
	size_t n = colon ? (size_t)(colon - err) : 0;
	if (n >= size || memchr(err, ' ', n))
		n = 0;
	memcpy(member, err, n);
	member[n] = 0;
}

/* ---- what comes of it */

struct policy *policy_of(const struct policy_layers *d)
{
	struct policy *p = policy_new();
	policy_put(p, POLICY_CEILING, d->ceiling);
	policy_put(p, POLICY_AGENT, d->agent);
	policy_put_tools(p, d->tools);
	policy_put(p, POLICY_SESSION, d->session);
	return p;
}

static void put_tool(struct json_out *o, const struct policy *p, size_t tool)
{
	struct policy_reason why;
	policy_judge(p, tool, &why);
	json_obj(o);
	json_kv_cstr(o, "name", catalog_at(tool)->name);
	json_kv_cstr(o, "category", catalog_at(tool)->category);
	if (catalog_is_builder(tool)) /* whatever the verdict, in no other run */
		json_kv_cstr(o, "mode", "builder");
	json_kv_cstr(o, "verdict", policy_verdict_word(why.verdict));
	json_kv_cstr(o, "layer", why.layer);
	json_kv_cstr(o, "rule", why.rule);
	json_obj_end(o);
}

void policy_explain(struct json_out *o, const struct policy *p, uint64_t tools)
{
	json_kv_cstr(o, "problem", policy_problem(p));
	json_kv_i64(o, "maxToolCallsPerTurn", policy_max_calls(p));
	json_key(o, "tools");
	json_arr(o);
	for (size_t i = 0; i < catalog_count(); i++)
		if (tools >> i & 1)
			put_tool(o, p, i);
	json_arr_end(o);
}
