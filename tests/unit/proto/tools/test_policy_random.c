/* SPDX-License-Identifier: Apache-2.0
 * The policy against a reference that knows no masks: random layers of random words, for
 * every tool. A denial always wins, a further layer never gives anything, and what cannot
 * be read refuses everything. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/strbuf.h"
#include "proto/tools/policy.h"
#include "tests/unit/common/rand.h"

#define WORDS_MOST 4
#define PARENTS_MOST 3
#define CEILING 0
#define AGENT 1
#define SESSION 2
#define PARENT 3
#define DOCS (PARENT + PARENTS_MOST)

/* ---- the reference */

static const struct {
	const char *name, *category;
} known[] = {
	{"memory_store", "memory"},  {"memory_get", "memory"},
	{"read", "filesystem"},      {"write", "filesystem"},
	{"edit", "filesystem"},      {"list_directory", "filesystem"},
	{"bash", "runtime"},         {"exec", "runtime"},
	{"process", "runtime"},      {"agent_create", "builder"},
	{"agent_update", "builder"}, {"policy_set", "builder"},
#ifdef TB_FAULTS
	{"ledger_once", "test"},     {"ledger_keyed", "test"},
#endif
};
static const char *const categories[] = {"filesystem", "runtime", "web",       "memory",
					 "session",    "canvas",  "messaging", "builder"};
static const char *const profiles[] = {"minimal", "coding", "messaging", "full"};

struct words {
	bool given;
	int count;
	char word[WORDS_MOST][48];
};
struct doc {
	bool there;
	char profile[16]; /* "": not given */
	struct words allowed, denied, ask;
	int max; /* -1: not given */
};

static bool is(const char *word, const char *name)
{
	for (; *word && *name; word++, name++)
		if (tolower((unsigned char)*word) != *name)
			return false;
	return !*word && !*name;
}

static bool is_group(const char *word, const char *category)
{
	char group[60];
	snprintf(group, sizeof group, "group:%s", category);
	return is(word, group);
}

static bool is_word(const char *word)
{
	bool yes = !strcmp(word, "*");
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		yes |= is(word, known[i].name) || is_group(word, known[i].category);
	for (size_t i = 0; i < ARRAY_LEN(categories); i++)
		yes |= is_group(word, categories[i]);
	return yes;
}

static bool names(const struct words *w, size_t tool)
{
	for (int i = 0; i < w->count; i++)
		if (!strcmp(w->word[i], "*") || is(w->word[i], known[tool].name) ||
		    is_group(w->word[i], known[tool].category))
			return true;
	return false;
}

/* Denied or asked for: write means edit too. */
static bool reaches(const struct words *w, size_t tool)
{
	return names(w, tool) ||
	       (!strcmp(known[tool].name, "edit") && names(w, tool - 1));
}

static bool has(const char *profile, size_t tool)
{
	const char *name = known[tool].name, *category = known[tool].category;
	bool memory = !strcmp(category, "memory"), read = !strcmp(name, "read");
	if (!strcmp(profile, "full"))
		return true;
	if (!strcmp(profile, "coding"))
		return strcmp(category, "runtime") && strcmp(category, "builder");
	if (!strcmp(profile, "messaging"))
		return memory || read;
	return read || !strcmp(name, "memory_get");
}

static bool words_fit(const struct words *w)
{
	for (int i = 0; i < w->count; i++)
		if (!is_word(w->word[i]))
			return false;
	return true;
}

static bool fits(const struct doc *d, int layer)
{
	bool profile = false;
	if (!d->there)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++)
		profile |= !strcmp(d->profile, profiles[i]);
	if (d->profile[0] && (!profile || layer == CEILING || layer == SESSION))
		return false;
	if (d->allowed.given && !d->allowed.count && layer != AGENT && !d->profile[0])
		return false;
	if (d->ask.given && layer == CEILING)
		return false;
	return d->max <= 1000 && words_fit(&d->allowed) && words_fit(&d->denied) &&
	       words_fit(&d->ask);
}

static enum policy_verdict of_layer(const struct doc *d, int layer, size_t tool)
{
	const char *profile = layer == AGENT ? "minimal" : "full";
	if (!d->there)
		return has(profile, tool) ? POLICY_ALLOW : POLICY_DENY;
	if (d->profile[0])
		profile = d->profile;
	if (reaches(&d->denied, tool))
		return POLICY_DENY;
	if (d->allowed.count ? !names(&d->allowed, tool) : !has(profile, tool))
		return POLICY_DENY;
	return reaches(&d->ask, tool) ? POLICY_ASK : POLICY_ALLOW;
}

/* revision: a bit a tool of `known`. */
static enum policy_verdict reference(const struct doc *docs, unsigned revision,
				     size_t tool)
{
	enum policy_verdict least = revision >> tool & 1 ? POLICY_ALLOW : POLICY_DENY;
	for (int l = 0; l < DOCS; l++) {
		if (!fits(&docs[l], l))
			return POLICY_DENY;
		enum policy_verdict v = of_layer(&docs[l], l, tool);
		least = v < least ? v : least;
	}
	return least;
}

/* ---- the dice */

static void mix_case(char *word)
{
	for (; *word; word++)
		if (rand_chance(30))
			*word = (char)toupper((unsigned char)*word);
}

static void roll_word(char out[48])
{
	static const char *const marks[] = {
		" ", "\xc2\xa0", "\xe2\x80\x8b", "_",
		"*", "group:",   "mcp__",        "\xef\xbd\x82"};
	char word[40];
	if (rand_chance(12))
		strcpy(word, "*");
	else if (rand_chance(30))
		snprintf(word, sizeof word, "group:%s",
			 categories[rand_below(ARRAY_LEN(categories))]);
	else
		strcpy(word, known[rand_below(ARRAY_LEN(known))].name);
	mix_case(word);
	bool bad = rand_chance(1);
	const char *mark = bad ? marks[rand_below(ARRAY_LEN(marks))] : "";
	if (rand_chance(50))
		snprintf(out, 48, "%s%s", mark, word);
	else
		snprintf(out, 48, "%s%s", word, mark);
}

static void roll_words(struct words *w, uint32_t percent)
{
	*w = (struct words){.given = rand_chance(percent)};
	if (w->given)
		w->count = (int)rand_below(WORDS_MOST + 1);
	for (int i = 0; i < w->count; i++)
		roll_word(w->word[i]);
}

static void roll_doc(struct doc *d, int layer)
{
	*d = (struct doc){.there = rand_chance(layer == AGENT ? 95 : 50), .max = -1};
	roll_words(&d->denied, 40);
	roll_words(&d->allowed, 50);
	if (d->allowed.given && !d->allowed.count && layer != AGENT && rand_chance(95))
		d->allowed.given = false;
	if (layer != CEILING || rand_chance(1))
		roll_words(&d->ask, 25);
	if ((layer == AGENT && rand_chance(80)) || (layer >= PARENT && rand_chance(30)))
		strcpy(d->profile, profiles[rand_chance(60) ? 3 : rand_below(4)]);
	if (rand_chance(1))
		strcpy(d->profile, rand_chance(50) ? "Full" : "none");
	if (rand_chance(30))
		d->max = (int)rand_below(rand_chance(3) ? 2000 : 1001);
}

static void add_words(struct strbuf *b, const char *member, const struct words *w)
{
	if (!w->given)
		return;
	strbuf_printf(b, "\"%s\":[", member);
	for (int i = 0; i < w->count; i++)
		strbuf_printf(b, "%s\"%s\"", i ? "," : "", w->word[i]);
	strbuf_add_str(b, "],");
}

static void add_doc(struct strbuf *b, const struct doc *d, const struct doc *parents)
{
	strbuf_add_str(b, "{");
	if (d->profile[0])
		strbuf_printf(b, "\"profile\":\"%s\",", d->profile);
	add_words(b, "ask", &d->ask);
	add_words(b, "allowed", &d->allowed);
	add_words(b, "denied", &d->denied);
	if (d->max >= 0)
		strbuf_printf(b, "\"maxToolCallsPerTurn\":%d,", d->max);
	if (parents && parents->there) {
		strbuf_add_str(b, "\"parent\":");
		add_doc(b, parents, parents + 1);
		strbuf_add_str(b, ",");
	}
	if (b->p[b->n - 1] == ',')
		b->n--;
	strbuf_add_str(b, "}");
}

/* ---- both of them */

struct texts {
	struct strbuf doc[SESSION + 1];
};

static void write_down(struct texts *t, const struct doc *docs)
{
	for (int l = CEILING; l <= SESSION; l++) {
		strbuf_reset(&t->doc[l]);
		if (docs[l].there)
			add_doc(&t->doc[l], &docs[l],
				l == SESSION ? docs + PARENT : NULL);
	}
}

static size_t index_of(size_t tool)
{
	return catalog_find(slice_str(known[tool].name));
}

static struct policy *build(const struct texts *t, unsigned revision)
{
	static const enum policy_layer layers[] = {POLICY_CEILING, POLICY_AGENT,
						   POLICY_SESSION};
	struct policy *p = policy_new();
	uint64_t set = 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		set |= (uint64_t)(revision >> i & 1) << index_of(i);
	for (int l = CEILING; l <= SESSION; l++)
		if (t->doc[l].n)
			policy_put(p, layers[l], strbuf_slice(&t->doc[l]));
	policy_put_set(p, set);
	return p;
}

static void broken(const struct texts *t, const char *what, size_t tool)
{
	for (int l = CEILING; l <= SESSION; l++)
		print_error("%d: %.*s\n", l, SLICE_ARG(strbuf_slice(&t->doc[l])));
	fail_msg("%s: %s", known[tool].name, what);
}

static void check_tools(const struct texts *t, const struct policy *p,
			const struct doc *docs, unsigned revision)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		struct policy_reason why;
		enum policy_verdict got = policy_judge(p, index_of(i), &why);
		if (got != reference(docs, revision, i))
			broken(t, "not as the reference says", i);
		if (got != why.verdict || !why.rule[0])
			broken(t, "no reason, or that of another verdict", i);
		for (int l = 0; l < DOCS; l++)
			if (docs[l].there && reaches(&docs[l].denied, i) &&
			    got != POLICY_DENY)
				broken(t, "a denial did not win", i);
	}
}

/* Without the layer there is at least as much. */
static void check_narrowing(const struct texts *t, const struct policy *p,
			    unsigned revision)
{
	static const int layers[] = {CEILING, SESSION};
	for (size_t l = 0; l < ARRAY_LEN(layers); l++) {
		struct texts less = *t;
		less.doc[layers[l]] = STRBUF_INIT;
		struct policy *wider = build(&less, revision);
		for (size_t i = 0; i < ARRAY_LEN(known) && !policy_problem(wider); i++)
			if (policy_judge(p, index_of(i), NULL) >
			    policy_judge(wider, index_of(i), NULL))
				broken(t, "a layer gave something", i);
		if (!policy_problem(p) && policy_max_calls(p) > policy_max_calls(wider))
			broken(t, "a layer gave calls", 0);
		policy_free(wider);
	}
}

/* A document that was cut short, or holds a byte that is none of a text. */
static void check_corruption(struct texts *t, unsigned revision)
{
	int l = (int)rand_below(SESSION + 1);
	struct strbuf *b = &t->doc[l];
	if (!b->n)
		return;
	size_t at = rand_below((uint32_t)b->n);
	if (rand_chance(50))
		b->n = at;
	else
		b->p[at] = (char)(rand_chance(50) ? 0xff : 1);
	if (!b->n) /* would stand for a layer that is not there */
		strbuf_add_str(b, "{");
	struct policy *p = build(t, revision);
	if (!policy_problem(p))
		broken(t, "a corrupt layer was read", 0);
	for (size_t i = 0; i < catalog_count(); i++)
		assert_int_equal(policy_judge(p, i, NULL), POLICY_DENY);
	policy_free(p);
}

static void test_random_layers(void **state)
{
	(void)state;
	struct texts t = {{STRBUF_INIT, STRBUF_INIT, STRBUF_INIT}};
	int verdicts[3] = {0}, unread = 0;
	const int rounds = getenv("TB_LONG") ? 300000 : 4000;
	assert_int_equal(ARRAY_LEN(known), catalog_count());
	for (int round = 0; round < rounds; round++) {
		struct doc docs[DOCS + 1] = {0}; /* the last is none */
		unsigned revision = rand_chance(60) ? ~0u : (unsigned)rand_next();
		for (int l = 0; l < DOCS; l++)
			roll_doc(&docs[l], l);
		for (int l = PARENT; l < DOCS; l++) /* one hangs on the other */
			docs[l].there &= docs[l == PARENT ? SESSION : l - 1].there;
		write_down(&t, docs);
		struct policy *p = build(&t, revision);
		check_tools(&t, p, docs, revision);
		check_narrowing(&t, p, revision);
		for (size_t i = 0; i < catalog_count(); i++)
			verdicts[policy_judge(p, i, NULL)]++;
		unread += policy_problem(p) != NULL;
		policy_free(p);
		check_corruption(&t, revision);
	}
	print_message("deny %d, ask %d, allow %d; %d of %d could not be read\n",
		      verdicts[POLICY_DENY], verdicts[POLICY_ASK], verdicts[POLICY_ALLOW],
		      unread, rounds);
	assert_true(verdicts[POLICY_ASK] > rounds / 20 &&
		    verdicts[POLICY_ALLOW] > rounds / 2 && unread > rounds / 50 &&
		    unread < rounds / 2); /* the dice are no good otherwise */
	for (int l = 0; l <= SESSION; l++)
		strbuf_fini(&t.doc[l]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_layers)};
	rand_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
