/* SPDX-License-Identifier: Apache-2.0
 * Words and options by the tables. */
#include "cli/args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/suggest.h"
#include "common/attr.h"
#include "common/ident.h"
#include "common/slice.h"

static const struct param params[] = {
#define PARAM(id, name, kind, min, max, value, key, help)                                \
	{name, PARAM_IS_##kind, min, max, value, key, help},
#include "cli/params.tbl"
#undef PARAM
};
_Static_assert(PARAM__COUNT <= 128, "sets of parameters are 128 bits");

static const struct {
	param_set set;
	enum command_id command;
} one_of[] = {
#define COLUMN(command, section, path, title, format)
#define SAY(command, path, is, is_not)
#define PEEK(command, peek, section, filter, sentence)
#define ONE_OF(command, set) {set, COMMAND_##command},
#define NEEDS(command, option) {O(option), COMMAND_##command},
#include "cli/answers.tbl"
#undef COLUMN
#undef SAY
#undef PEEK
#undef ONE_OF
#undef NEEDS
};

const struct param *param_of(enum param_id id)
{
	return &params[id];
}

const char *args_choice(const char *choices, size_t i, size_t *n)
{
	for (; *choices; i--) {
		*n = strcspn(choices, "|");
		if (i == 0)
			return choices;
		choices += *n + (choices[*n] == '|');
	}
	return NULL;
}

/* ---- one value */

struct parse {
	struct args *a;
	char *err;
	size_t err_size;
};

PRINTF_LIKE(2, 3) static int wrong(struct parse *p, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(p->err, p->err_size, fmt, ap);
	va_end(ap);
	return -1;
}

static int is_choice(const char *choices, const char *value)
{
	size_t n;
	const char *word;
	for (size_t i = 0; (word = args_choice(choices, i, &n)); i++)
		if (strlen(value) == n && !strncmp(word, value, n))
			return 1;
	return 0;
}

static int take_number(struct parse *p, enum param_id id, const char *shown,
		       const char *value)
{
	const struct param *o = param_of(id);
	char *end;
	errno = 0;
	long v = strtol(value, &end, 10);
	if (errno || end == value || *end || v < o->min || v > o->max)
		return wrong(p, "%s must be a number from %ld to %ld, not '%s'", shown,
			     o->min, o->max, value);
	p->a->number[id] = v;
	return 0;
}

/* `shown` is how the parameter is called in a complaint: "--limit" or "RUN". */
static int take(struct parse *p, enum param_id id, const char *shown, const char *value)
{
	const struct param *o = param_of(id);
	struct uuid u;
	size_t n = strlen(value);
	if (p->a->given >> id & 1)
		return wrong(p, "%s is given twice", shown);
	if (o->kind == PARAM_IS_NUMBER && take_number(p, id, shown, value))
		return -1;
	if (o->kind == PARAM_IS_UUID && !uuid_parse(slice_str(value), &u))
		return wrong(p,
			     "%s must be a uuid like "
			     "01932d3f-7c5e-7a31-9c0d-2f4f3b1c6a58, not '%s'",
			     shown, value);
	if (o->kind == PARAM_IS_CHOICE && !is_choice(o->value, value))
		return wrong(p, "%s must be one of %s, not '%s'", shown, o->value, value);
	if (o->kind == PARAM_IS_TEXT && (n < (size_t)o->min || n > (size_t)o->max))
		return wrong(p, "%s must have %ld to %ld bytes, this has %zu", shown,
			     o->min, o->max, n);
	p->a->text[id] = value;
	p->a->given |= (param_set)1 << id;
	return 0;
}

/* ---- options */

static int find_option(const struct command *c, const char *name, size_t n)
{
	if (n == 1 && *name == 'o' && (c->options & O(output)))
		return PARAM_output;
	for (int i = 0; i < PARAM__COUNT; i++)
		if ((c->options >> i & 1) && strlen(params[i].name) == n &&
		    !strncmp(params[i].name, name, n))
			return i;
	return -1;
}

static int unknown_option(struct parse *p, const char *word, size_t n)
{
	const char *names[PARAM__COUNT], *near;
	char typed[64];
	size_t count = 0;
	for (int i = 0; i < PARAM__COUNT; i++)
		if (p->a->command->options >> i & 1)
			names[count++] = params[i].name;
	snprintf(typed, sizeof typed, "%.*s", (int)n, word);
	near = suggest(typed + strspn(typed, "-"), names, count);
	if (near)
		return wrong(p, "there is no option '%s' here (did you mean '--%s'?)",
			     typed, near);
	return wrong(p,
		     "there is no option '%s' here; put -- before words that begin with "
		     "a dash",
		     typed);
}

/* The option at argv[i]; how many words it took, or -1. */
static int option(struct parse *p, int argc, char **argv, int i)
{
	const char *word = argv[i], *equals = strchr(word, '=');
	size_t n = equals ? (size_t)(equals - word) : strlen(word);
	int is_short = word[1] != '-', id;
	if (is_short && word[1] == 'o' && n > 2 && (p->a->command->options & O(output)))
		return take(p, PARAM_output, "-o", word + 2) ? -1 : 1;
	id = find_option(p->a->command, word + 2 - is_short, n - 2 + (size_t)is_short);
	if (id < 0 || (is_short && id != PARAM_output))
		return unknown_option(p, word, n);
	char shown[64];
	snprintf(shown, sizeof shown, "%.*s", (int)n, word);
	const struct param *o = param_of((enum param_id)id);
	if (o->kind == PARAM_IS_FLAG || o->kind == PARAM_IS_NOTHING) {
		if (equals)
			return wrong(p, "%s takes no value", shown);
		p->a->given |= (param_set)1 << id;
		return 1;
	}
	const char *value = equals ? equals + 1 : i + 1 < argc ? argv[i + 1] : NULL;
	bool may_be_empty = o->kind == PARAM_IS_TEXT && o->min == 0;
	if (!value || (!*value && !may_be_empty))
		return wrong(p, "%s needs a value", shown);
	return take(p, (enum param_id)id, shown, value) ? -1 : equals ? 1 : 2;
}

/* ---- words */

static int rest_is_next(const struct command *c, int words)
{
	return words < c->words.count && params[c->words.id[words]].kind == PARAM_IS_REST;
}

static int word(struct parse *p, char *text, int *count)
{
	const struct command_words *w = &p->a->command->words;
	if (*count == w->count)
		return wrong(p, "what is '%s'? It takes %s", text,
			     w->count ? "no further word" : "options only");
	enum param_id id = w->id[(*count)++];
	if (!*text)
		return wrong(p, "%s is empty", params[id].value);
	const struct param *o = param_of(id);
	return take(p, id, o->kind == PARAM_IS_CHOICE ? "the word" : o->value, text);
}

/* Names of a set, "--a or --b"; a word by its VALUE. */
static void put_set(char *out, size_t size, const struct command *c, param_set set)
{
	size_t n = 0;
	out[0] = 0;
	for (int i = 0; i < PARAM__COUNT && n < size; i++) {
		int is_word = 0;
		if (!(set >> i & 1))
			continue;
		for (int k = 0; k < c->words.count; k++)
			is_word |= c->words.id[k] == i;
		n += (size_t)snprintf(out + n, size - n, "%s%s%s", n ? " or " : "",
				      is_word ? "" : "--",
				      is_word ? params[i].value : params[i].name);
	}
}

static int count_of(param_set set)
{
	return __builtin_popcountll((unsigned long long)set) +
	       __builtin_popcountll((unsigned long long)(set >> 64));
}

static int check_sets(struct parse *p)
{
	char names[200];
	for (size_t i = 0; i < ARRAY_LEN(one_of); i++) {
		if (one_of[i].command != command_id(p->a->command))
			continue;
		int given = count_of(one_of[i].set & p->a->given);
		put_set(names, sizeof names, p->a->command, one_of[i].set);
		if (given == 0)
			return wrong(p, "%s is missing", names);
		if (given > 1)
			return wrong(p, "only one of %s can be given", names);
	}
	return 0;
}

static int check_whole(struct parse *p, int count)
{
	const struct command_words *w = &p->a->command->words;
	if (args_has(p->a, O(help)))
		return 0;
	if (count < w->least)
		return wrong(p, "%s is missing", params[w->id[count]].value);
	return check_sets(p);
}

int args_parse(struct args *a, const struct command *c, int argc, char **argv, char *err,
	       size_t err_size)
{
	struct parse p = {a, err, err_size};
	int words = 0, only_words = 0;
	*a = (struct args){.command = c};
	for (int i = 0; i < argc;) {
		int used = 1;
		if (!only_words && !strcmp(argv[i], "--")) {
			only_words = 1;
		} else if (!only_words &&
			   (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
			a->given |= O(help);
			return 0;
		} else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
			used = option(&p, argc, argv, i);
		} else if (rest_is_next(c, words)) {
			a->rest = argv + i;
			a->rest_count = used = argc - i;
			words++;
		} else {
			used = word(&p, argv[i], &words) ? -1 : 1;
		}
		if (used < 0)
			return -1;
		i += used;
	}
	return check_whole(&p, words);
}

/* ---- what was given */

int args_has(const struct args *a, param_set set)
{
	return (a->given & set) == set;
}

const char *args_text(const struct args *a, enum param_id id, const char *otherwise)
{
	return a->given >> id & 1 ? a->text[id] : otherwise;
}

long args_number(const struct args *a, enum param_id id, long otherwise)
{
	return a->given >> id & 1 ? a->number[id] : otherwise;
}

int args_wants_json(const struct args *a)
{
	return args_has(a, O(json)) || !strcmp(args_text(a, PARAM_output, ""), "json");
}
