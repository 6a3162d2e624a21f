/* SPDX-License-Identifier: Apache-2.0
 * The table of commands, and the reading of their arguments by it. */
#include "supervisor/admin_args.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "supervisor/admin_commands.h"

enum type { TEXT, OBJECT, UUID, NUMBER, FLAG, WORD };

struct rule {
	const char *name;
	enum type type;
	int64_t low, high;
	const char *words;
};
static const struct rule rules[ARG__COUNT] = {
#define ARG(NAME, word, TYPE, low, high, words) {word, TYPE, low, high, words},
#include "supervisor/admin_args.tbl"
#undef ARG
};

#define A(NAME) (UINT32_C(1) << ARG_##NAME)
static const struct command commands[] = {
#define COMMAND(name, function, needed, allowed)                                         \
	{name, admin_##function, needed, (needed) | (allowed), false},
#define DOOR(name, function, needed, allowed)                                            \
	{name, admin_##function, needed, (needed) | (allowed), true},
#include "supervisor/admin_commands.tbl"
#undef COMMAND
#undef DOOR
};

const struct command *command_find(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (slice_is(name, commands[i].name))
			return &commands[i];
	return NULL;
}

/* ---- one value */

static bool is_word(const char *words, struct slice text)
{
	struct slice rest = slice_str(words);
	while (rest.p)
		if (slice_eq(slice_cut(&rest, '|'), text))
			return true;
	return false;
}

static bool number_fits(const struct rule *r, int64_t n)
{
	return r->type == OBJECT ? n >= 0 : n >= r->low && n <= r->high;
}

/* Whether v is what the rule says; fills a. */
static bool read_value(const struct rule *r, json_t v, struct arg *a)
{
	long long digits;
	a->text = json_str(v);
	switch (r->type) {
	case OBJECT:
		if (slice_to_i64(a->text, &digits)) {
			a->number = digits;
			a->is_number = true;
			return number_fits(r, digits);
		}
		if (!a->text.p) {
			a->is_number = json_i64(v, &a->number);
			return a->is_number && number_fits(r, a->number);
		}
		return number_fits(&(struct rule){.low = r->low, .high = r->high},
				   (int64_t)a->text.n);
	case TEXT:
		return a->text.p && number_fits(r, (int64_t)a->text.n);
	case UUID:
		return a->text.p && uuid_parse(a->text, &a->uuid);
	case NUMBER:
		a->is_number = json_i64(v, &a->number);
		return a->is_number && number_fits(r, a->number);
	case FLAG:
		a->flag = json_bool(v, false);
		return json_kind(v) == JSON_BOOL;
	case WORD:
		return a->text.p && is_word(r->words, a->text);
	}
	return false;
}

static void tell_rule(const struct rule *r, char *err, size_t size)
{
	long long low = r->low, high = r->high;
	switch (r->type) {
	case TEXT:
		snprintf(err, size, "%s: a text of %lld to %lld bytes is needed", r->name,
			 low, high);
		break;
	case OBJECT:
		snprintf(err, size, "%s: its number or its name is needed", r->name);
		break;
	case UUID:
		snprintf(err, size, "%s: a uuid is needed", r->name);
		break;
	case NUMBER:
		snprintf(err, size, "%s: a whole number from %lld to %lld is needed",
			 r->name, low, high);
		break;
	case FLAG:
		snprintf(err, size, "%s: true or false is needed", r->name);
		break;
	case WORD:
		snprintf(err, size, "%s: one of %s is needed", r->name, r->words);
		break;
	}
}

/* ---- a request */

static int find_rule(struct slice name)
{
	for (int i = 0; i < ARG__COUNT; i++)
		if (slice_is(name, rules[i].name))
			return i;
	return -1;
}

static void tell_allowed(const struct command *c, struct slice key, char *err,
			 size_t size)
{
	int n = snprintf(err, size, "%.*s: %s takes no such argument, but ",
			 key.n > 64 ? 64 : (int)key.n, key.p, c->name);
	const char *comma = "";
	for (int i = 0; i < ARG__COUNT && (size_t)n < size; i++) {
		if (!(c->allowed & (UINT32_C(1) << i)))
			continue;
		n += snprintf(err + n, size - (size_t)n, "%s%s", comma, rules[i].name);
		comma = ", ";
	}
	if (!*comma && (size_t)n < size)
		snprintf(err + n, size - (size_t)n, "none at all");
}

static bool read_args(const struct command *c, json_t given, struct arg *args, char *err,
		      size_t size)
{
	struct json_iter it = json_iter(given);
	struct slice key;
	for (json_t v; (v = json_next(&it, &key));) {
		int i = find_rule(key);
		if (i < 0 || !(c->allowed & (UINT32_C(1) << i))) {
			tell_allowed(c, key, err, size);
			return false;
		}
		args[i].is_null = json_kind(v) == JSON_NULL;
		args[i].given = !args[i].is_null;
		if (args[i].given && !read_value(&rules[i], v, &args[i])) {
			tell_rule(&rules[i], err, size);
			return false;
		}
	}
	for (int i = 0; i < ARG__COUNT; i++)
		if ((c->needed & (UINT32_C(1) << i)) && !args[i].given) {
			tell_rule(&rules[i], err, size);
			return false;
		}
	return true;
}

const struct command *command_read(json_t request, struct arg args[ARG__COUNT], char *err,
				   size_t size)
{
	json_t given = json_get(request, "args");
	struct slice name = json_str(json_get(request, "cmd")), key;
	struct json_iter it = json_iter(request);
	memset(args, 0, sizeof *args * ARG__COUNT);
	if (json_kind(request) != JSON_OBJECT || !name.p) {
		snprintf(err, size,
			 "cmd: a request is {\"cmd\":\"status\"}, with "
			 "\"args\":{...} where the command takes some");
		return NULL;
	}
	while (json_next(&it, &key))
		if (!slice_is(key, "cmd") && !slice_is(key, "args")) {
			snprintf(err, size, "%.*s: a request has cmd and args only",
				 key.n > 64 ? 64 : (int)key.n, key.p);
			return NULL;
		}
	const struct command *c = command_find(name);
	if (!c)
		snprintf(err, size, "cmd: there is no command %.*s",
			 name.n > 64 ? 64 : (int)name.n, name.p);
	else if (given && json_kind(given) != JSON_OBJECT)
		snprintf(err, size, "args: an object is needed");
	else if (read_args(c, given, args, err, size))
		return c;
	return NULL;
}
