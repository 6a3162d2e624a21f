/* SPDX-License-Identifier: Apache-2.0
 * Layers as masks, and the words they came from for those who ask why. */
#include "proto/tools/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "common/json.h"
#include "proto/tools/policy_words.h"

#define PARENTS_MOST 16

struct layer {
	const char *name;
	struct json_doc *doc; /* borrowed by `at` and those of its parents */
	json_t at;            /* NULL: it says nothing */
	uint64_t base;        /* before what it denies */
	uint64_t denied, ask;
	int max_calls;
};

struct policy {
	struct layer layers[POLICY_LAYERS + PARENTS_MOST];
	size_t count; /* parents stand behind the four */
	char problem[320];
};

static const char *const names[POLICY_LAYERS] = {"ceiling", "agent", "revision",
						 "session"};

/* ---- reading */

struct reading {
	const char *layer;
	char *err;
	size_t err_size;
};

PRINTF_LIKE(2, 3) static bool wrong(const struct reading *r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(r->err, r->err_size, fmt, ap);
	va_end(ap);
	return false;
}

static bool read_words(const struct reading *r, json_t list, const char *member,
		       uint64_t *set)
{
	struct json_iter it = json_iter(list);
	*set = 0;
	if (json_kind(list) != JSON_ARRAY)
		return wrong(r, "%s: must be a list of names", member);
	for (json_t w; (w = json_next(&it, NULL));) {
		uint64_t tools;
		struct slice word = json_str(w);
		if (!word.p)
			return wrong(r, "%s: must be a list of names", member);
		if (!policy_word(word, &tools))
			return wrong(r, "%s: there is no tool or group '%.*s'", member,
				     word.n > 80 ? 80 : (int)word.n, word.p);
		*set |= tools;
	}
	return true;
}

static bool read_max(const struct reading *r, json_t v, int *out)
{
	int64_t n;
	if (!json_i64(v, &n) || n < 0 || n > POLICY_CALLS_MOST)
		return wrong(r, "maxToolCallsPerTurn: must be a number from 0 to %d",
			     POLICY_CALLS_MOST);
	*out = (int)n;
	return true;
}

static bool read_profile(const struct reading *r, json_t v, struct layer *l)
{
	struct slice name = json_str(v);
	if (!name.p || !policy_profile(name, &l->base))
		return wrong(r,
			     "profile: there is no profile '%.*s': minimal, coding, "
			     "messaging or full",
			     name.n > 80 ? 80 : (int)name.n, name.p ? name.p : "");
	return true;
}

/* An agent's empty list is its profile's; elsewhere it would be read as nothing by some
 * and as everything by others. */
static bool read_allowed(const struct reading *r, json_t v, struct layer *l)
{
	uint64_t set;
	bool with_profile = json_get(l->at, "profile") || !strcmp(r->layer, "agent");
	if (!read_words(r, v, "allowed", &set))
		return false;
	if (json_len(v))
		l->base = set;
	else if (!with_profile)
		return wrong(r, "allowed: is empty: leave it out to take nothing away, "
				"or name tools");
	return true;
}

static bool may_have(const char *layer, struct slice member)
{
	static const char *const all[] = {"allowed", "denied", "maxToolCallsPerTurn"};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (slice_is(member, all[i]))
			return true;
	if (slice_is(member, "ask"))
		return strcmp(layer, "ceiling");
	if (slice_is(member, "profile"))
		return !strcmp(layer, "agent") || !strcmp(layer, "parent");
	return slice_is(member, "parent") &&
	       (!strcmp(layer, "session") || !strcmp(layer, "parent"));
}

static bool check_members(const struct reading *r, json_t v)
{
	struct json_iter it = json_iter(v);
	struct slice member;
	if (json_kind(v) != JSON_OBJECT)
		return wrong(r, "must be an object");
	while (json_next(&it, &member))
		if (!may_have(r->layer, member))
			return wrong(r, "%.*s: there is no such member here",
				     member.n > 60 ? 60 : (int)member.n, member.p);
	return true;
}

/* Sets all but name, doc and at. */
static bool read_layer(const struct reading *r, struct layer *l)
{
	json_t v;
	uint64_t denied = 0, ask = 0;
	l->base = policy_all();
	l->max_calls = POLICY_CALLS_MOST;
	if (!strcmp(r->layer, "agent")) {
		policy_profile(SLICE("minimal"), &l->base);
		l->max_calls = POLICY_CALLS_DEFAULT;
	}
	if (!l->at)
		return true;
	if (!check_members(r, l->at))
		return false;
	if ((v = json_get(l->at, "profile")) && !read_profile(r, v, l))
		return false;
	if ((v = json_get(l->at, "allowed")) && !read_allowed(r, v, l))
		return false;
	if ((v = json_get(l->at, "denied")) && !read_words(r, v, "denied", &denied))
		return false;
	if ((v = json_get(l->at, "ask")) && !read_words(r, v, "ask", &ask))
		return false;
	l->denied = policy_reach(denied);
	l->ask = policy_reach(ask);
	v = json_get(l->at, "maxToolCallsPerTurn");
	return !v || read_max(r, v, &l->max_calls);
}

/* ---- layers */

struct policy *policy_new(void)
{
	struct policy *p = xcalloc(1, sizeof *p);
	p->count = POLICY_LAYERS;
	for (size_t i = 0; i < POLICY_LAYERS; i++) {
		struct reading r = {names[i], p->problem, sizeof p->problem};
		p->layers[i].name = names[i];
		check(read_layer(&r, &p->layers[i]));
	}
	return p;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < POLICY_LAYERS; i++)
		json_free(p->layers[i].doc);
	free(p);
}

static void complain(struct policy *p, const char *layer, const char *what)
{
	if (p->problem[0])
		return;
	snprintf(p->problem, sizeof p->problem,
		 "every tool is refused, for the tool policy (%s) cannot be read: %s",
		 layer, what);
}

static void put_parents(struct policy *p, json_t parent)
{
	char err[200];
	struct reading r = {"parent", err, sizeof err};
	p->count = POLICY_LAYERS;
	for (; parent; parent = json_get(parent, "parent")) {
		if (p->count == ARRAY_LEN(p->layers)) {
			complain(p, "parent", "too many parents");
			return;
		}
		struct layer *l = &p->layers[p->count++];
		*l = (struct layer){.name = "parent", .at = parent};
		if (!read_layer(&r, l))
			complain(p, "parent", err);
	}
}

void policy_put(struct policy *p, enum policy_layer which, struct slice json)
{
	char err[240];
	struct layer *l = &p->layers[which];
	struct reading r = {names[which], err, sizeof err};
	json_free(l->doc);
	l->doc = NULL;
	l->at = NULL;
	if (json.p) {
		l->doc = json_parse_unique(json, POLICY_TEXT_MOST, err, sizeof err);
		if (!l->doc)
			complain(p, names[which], err);
		else if (json_kind(json_root(l->doc)) != JSON_NULL)
			l->at = json_root(l->doc);
	}
	if (!read_layer(&r, l))
		complain(p, names[which], err);
	if (which == POLICY_SESSION)
		put_parents(p, json_get(l->at, "parent"));
}

void policy_put_set(struct policy *p, uint64_t tools)
{
	p->layers[POLICY_REVISION].base = tools;
}

void policy_put_tools(struct policy *p, struct slice json)
{
	uint64_t set = 0;
	char err[160] = "it has no list of names";
	AUTO(auto_json_free)
	struct json_doc *d =
		json.p ? json_parse(json, POLICY_TEXT_MOST, err, sizeof err) : NULL;
	json_t list = json_root(d);
	struct json_iter it = json_iter(list);
	if (!json.p || json_kind(list) == JSON_NULL)
		return;
	if (json_kind(list) != JSON_ARRAY)
		complain(p, names[POLICY_REVISION], err);
	for (json_t v; (v = json_next(&it, NULL));) {
		struct slice name = json_str(v);
		size_t tool = catalog_find(name);
		snprintf(err, sizeof err, "tools: there is no tool '%.*s'",
			 name.n > 80 ? 80 : (int)name.n, name.p ? name.p : "");
		if (tool == catalog_count())
			complain(p, names[POLICY_REVISION], err);
		else
			set |= 1ull << tool;
	}
	policy_put_set(p, set);
}

const char *policy_problem(const struct policy *p)
{
	return p->problem[0] ? p->problem : NULL;
}

int policy_max_calls(const struct policy *p)
{
	int least = POLICY_CALLS_MOST;
	for (size_t i = 0; i < p->count; i++)
		if (p->layers[i].max_calls < least)
			least = p->layers[i].max_calls;
	return least;
}

/* ---- the verdict */

/* The word of a list that reaches the tool. */
static struct slice word_of(const struct layer *l, const char *member, uint64_t tool,
			    bool reaching)
{
	struct json_iter it = json_iter(json_get(l->at, member));
	for (json_t w; (w = json_next(&it, NULL));) {
		uint64_t tools = 0;
		policy_word(json_str(w), &tools);
		if ((reaching ? policy_reach(tools) : tools) & tool)
			return json_str(w);
	}
	return SLICE("");
}

static const char *owner(const struct layer *l)
{
	return !strcmp(l->name, "ceiling")    ? "the tenant's ceiling"
	       : !strcmp(l->name, "agent")    ? "the agent's policy"
	       : !strcmp(l->name, "revision") ? "the agent's revision"
	       : !strcmp(l->name, "session")  ? "the session's policy"
					      : "the policy of the session's parent";
}

static void say_profile(const struct layer *l, struct policy_reason *why)
{
	snprintf(why->rule, sizeof why->rule, "it is not in the profile '%s' of %s",
		 json_cstr(json_get(l->at, "profile"), "minimal"), owner(l));
}

static void say_denied(const struct layer *l, uint64_t tool, struct policy_reason *why)
{
	struct slice word = word_of(l, "denied", tool, true);
	*why = (struct policy_reason){.verdict = POLICY_DENY, .layer = l->name};
	if (l->denied & tool)
		snprintf(why->rule, sizeof why->rule, "%s denies '%.*s'", owner(l),
			 SLICE_ARG(word));
	else if (!strcmp(l->name, "revision"))
		snprintf(why->rule, sizeof why->rule, "%s does not list it", owner(l));
	else if (json_len(json_get(l->at, "allowed")))
		snprintf(why->rule, sizeof why->rule, "it is not among what %s allows",
			 owner(l));
	else
		say_profile(l, why);
}

static void say_ask(const struct layer *l, uint64_t tool, struct policy_reason *why)
{
	*why = (struct policy_reason){.verdict = POLICY_ASK, .layer = l->name};
	snprintf(why->rule, sizeof why->rule, "%s wants a person asked for '%.*s'",
		 owner(l), SLICE_ARG(word_of(l, "ask", tool, true)));
}

static void say_allowed(const struct layer *l, uint64_t tool, struct policy_reason *why)
{
	*why = (struct policy_reason){.verdict = POLICY_ALLOW, .layer = l->name};
	if (json_len(json_get(l->at, "allowed")))
		snprintf(why->rule, sizeof why->rule, "%s allows '%.*s'", owner(l),
			 SLICE_ARG(word_of(l, "allowed", tool, false)));
	else
		snprintf(why->rule, sizeof why->rule, "the profile '%s' of %s has it",
			 json_cstr(json_get(l->at, "profile"), "minimal"), owner(l));
}

enum policy_verdict policy_judge(const struct policy *p, size_t tool,
				 struct policy_reason *why)
{
	struct policy_reason unheard;
	const struct layer *asking = NULL;
	check(tool < catalog_count());
	uint64_t bit = 1ull << tool;
	if (!why)
		why = &unheard;
	if (p->problem[0]) {
		*why = (struct policy_reason){.verdict = POLICY_DENY, .layer = "none"};
		snprintf(why->rule, sizeof why->rule, "%s", p->problem);
		return POLICY_DENY;
	}
	for (size_t i = 0; i < p->count; i++) {
		const struct layer *l = &p->layers[i];
		if (!(l->base & ~l->denied & bit)) {
			say_denied(l, bit, why);
			return POLICY_DENY;
		}
		if (!asking && (l->ask & bit))
			asking = l;
	}
	if (asking)
		say_ask(asking, bit, why);
	else
		say_allowed(&p->layers[POLICY_AGENT], bit, why);
	return why->verdict;
}

/* ---- people's documents */

bool policy_check(enum policy_layer l, struct slice json, char *err, size_t err_size)
{
	struct policy *p = policy_new();
	struct reading r = {names[l], err, err_size};
	AUTO(auto_json_free)
	struct json_doc *d = json_parse_unique(json, POLICY_TEXT_MOST, err, err_size);
	struct layer one = {.name = names[l], .at = json_root(d)};
	bool good = d && read_layer(&r, &one);
	if (good && l == POLICY_SESSION) {
		put_parents(p, json_get(one.at, "parent"));
		good = !p->problem[0];
		if (!good)
			snprintf(err, err_size, "parent: %s", p->problem);
	}
	policy_free(p);
	return good;
}

const char *policy_verdict_word(enum policy_verdict v)
{
	static const char *const words[] = {"deny", "ask", "allow"};
	return words[v];
}
