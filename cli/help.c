/* SPDX-License-Identifier: Apache-2.0
 * Help, and the version. */
#include "cli/help.h"

#include <string.h>

#include "cli/report.h"
#include "common/config.h"
#include "common/strbuf.h"

#define NAME_WIDTH 32

static void put_words(FILE *out, const struct command *c)
{
	for (int i = 0; i < c->words.count; i++) {
		const char *value = param_of(c->words.id[i])->value;
		fprintf(out, i < c->words.least ? " %s" : " [%s]", value);
	}
}

static void put_line(FILE *out, const struct command *c)
{
	char name[80];
	FILE *f = fmemopen(name, sizeof name, "w");
	fprintf(f, "%s%s%s", c->noun, *c->verb ? " " : "", c->verb);
	put_words(f, c);
	fclose(f);
	fprintf(out, "  %-*s %s\n", NAME_WIDTH, name, c->help);
}

void help_noun(FILE *out, const char *noun)
{
	for (int i = 0; i < COMMAND__COUNT; i++)
		if (!strcmp(command_at((enum command_id)i)->noun, noun))
			put_line(out, command_at((enum command_id)i));
}

void help_list(FILE *out)
{
	fputs("usage: terabitsctl COMMAND [ARGUMENTS]\n\n", out);
	for (int i = 0; i < COMMAND__COUNT; i++)
		put_line(out, command_at((enum command_id)i));
	fputs("\n'terabitsctl help COMMAND' says what one takes.\n"
	      "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 timeout, "
	      "5 no node.\n",
	      out);
}

static void put_param(FILE *out, const char *dashes, const struct param *o)
{
	char left[100];
	snprintf(left, sizeof left, "%s%s%s%s", dashes, *dashes ? o->name : "",
		 *dashes && *o->value ? " " : "", o->value);
	fprintf(out, "  %-*s %s", NAME_WIDTH, left, o->help);
	if (o->kind == PARAM_IS_NUMBER)
		fprintf(out, ", %ld to %ld", o->min, o->max);
	fputc('\n', out);
}

void help_of(FILE *out, const struct command *c)
{
	fprintf(out, "usage: terabitsctl %s%s%s", c->noun, *c->verb ? " " : "", c->verb);
	if (c->options)
		fputs(" [OPTIONS]", out);
	put_words(out, c);
	fprintf(out, "\n\n%s\n", c->help);
	if (*c->risk)
		fprintf(out, "It %s%s: asks first, or wants --yes.\n",
			c->options & O(all) ? "with --all " : "", c->risk);
	if (c->words.count || c->options)
		fputc('\n', out);
	for (int i = 0; i < c->words.count; i++)
		put_param(out, "", param_of(c->words.id[i]));
	for (int i = 0; i < PARAM__COUNT; i++)
		if (c->options >> i & 1)
			put_param(out, "--", param_of((enum param_id)i));
}

static int help_for(const char *noun, const char *verb)
{
	const struct command *c = command_find(noun, verb);
	if (c)
		help_of(stdout, c);
	else if (!*verb && command_is_noun(noun))
		help_noun(stdout, noun);
	else
		report("there is no command '%s%s%s'; 'terabitsctl help' lists them",
		       noun, *verb ? " " : "", verb);
	return c || (!*verb && command_is_noun(noun)) ? EXIT_FINE : EXIT_USAGE;
}

int help_command(const struct args *a)
{
	if (args_has(a, O(noun)))
		return help_for(args_text(a, PARAM_noun, ""),
				args_text(a, PARAM_verb, ""));
	help_list(stdout);
	fputs("\nEnvironment, beside the node's own settings below:\n"
	      "  TERABITS_DATABASE_URL    migrate, doctor, tenant, agent, token: the "
	      "owner's connection string; else the file secrets/owner of the state "
	      "directory\n"
	      "  TERABITS_MIGRATIONS      migrate, doctor: directory of the migrations\n"
	      "  TERABITS_TOKEN           send, chat, run wait, run tail: the token; "
	      "else "
	      "the file token of the state directory\n\n",
	      stdout);
	config_help(stdout);
	return EXIT_FINE;
}

int version_command(const struct args *a)
{
	(void)a;
	puts("terabitsctl " TB_VERSION);
	return EXIT_FINE;
}
