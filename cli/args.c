/* SPDX-License-Identifier: Apache-2.0
 * Options by a table. */
#include "cli/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"

static int take_number(const struct args_option *o, const char *value, char *err,
		       size_t err_size)
{
	char *end;
	errno = 0;
	long v = strtol(value, &end, 10);
	if (errno || end == value || *end || v < o->min || v > o->max) {
		snprintf(err, err_size, "%s must be a number from %ld to %ld, not '%s'",
			 o->name, o->min, o->max, value);
		return -1;
	}
	*(long *)o->to = v;
	return 0;
}

/* Stores one option; `value` is NULL when the command line gave none. */
static int store(const struct args_option *o, const char *value, char *err,
		 size_t err_size)
{
	if (o->kind == ARGS_FLAG) {
		if (value)
			snprintf(err, err_size, "%s takes no value", o->name);
		else
			*(int *)o->to = 1;
		return value ? -1 : 0;
	}
	if (!value || !*value) {
		snprintf(err, err_size, "%s needs a value", o->name);
		return -1;
	}
	if (o->kind == ARGS_NUMBER)
		return take_number(o, value, err, err_size);
	*(const char **)o->to = value;
	return 0;
}

static const struct args_option *find(const struct args_option *options, size_t count,
				      const char *word, size_t n)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(options[i].name) == n && !strncmp(options[i].name, word, n))
			return &options[i];
	return NULL;
}

int args_parse(const struct args_option *options, size_t count, int argc, char **argv,
	       char *err, size_t err_size)
{
	int i = 1;
	for (; i < argc; i++) {
		const char *word = argv[i], *equals = strchr(word, '=');
		if (!strcmp(word, "--"))
			return i + 1;
		if (word[0] != '-' || !word[1])
			break;
		size_t n = equals ? (size_t)(equals - word) : strlen(word);
		const struct args_option *o = find(options, count, word, n);
		if (!o) {
			snprintf(err, err_size,
				 "there is no option '%.*s' here; put -- before words "
				 "that begin with a dash",
				 (int)n, word);
			return -1;
		}
		const char *value = equals ? equals + 1 : NULL;
		if (!equals && o->kind != ARGS_FLAG && i + 1 < argc)
			value = argv[++i];
		if (store(o, value, err, err_size))
			return -1;
	}
	return i;
}

int args_take(const struct args_option *options, size_t count, int argc, char **argv,
	      enum args_words words)
{
	char err[256];
	int at = args_parse(options, count, argc, argv, err, sizeof err);
	if (at < 0) {
		report("%s: %s. 'terabitsctl help' lists the options", argv[0], err);
		return -1;
	}
	if (words == ARGS_NO_WORDS && at < argc) {
		report("%s: what is '%s'? This command takes options only", argv[0],
		       argv[at]);
		return -1;
	}
	return at;
}
