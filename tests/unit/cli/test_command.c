/* SPDX-License-Identifier: Apache-2.0
 * The tables of commands, parameters and answers are whole; commands are found, guessed
 * and completed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/ask.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "common/attr.h"

static const struct command *at(int i)
{
	return command_at((enum command_id)i);
}

static void test_every_command_is_whole(void **state)
{
	(void)state;
	for (int i = 0; i < COMMAND__COUNT; i++) {
		const struct command *c = at(i);
		assert_non_null(c->function);
		assert_true(strlen(c->noun) > 0 && strlen(c->help) > 10);
		assert_true(c->words.least <= c->words.count && c->words.count <= 3);
		assert_ptr_equal(command_find(c->noun, c->verb), c); /* unique */
		assert_int_equal(command_id(c), i);
		for (int k = 0; k < c->words.count; k++)
			assert_false(c->options >> c->words.id[k] & 1);
		/* Who asks must have a way to say yes. */
		assert_int_equal(*c->risk != 0, (c->options & O(yes)) != 0);
	}
}

static void test_a_noun_is_one_word_or_has_verbs(void **state)
{
	(void)state;
	for (int i = 0; i < COMMAND__COUNT; i++)
		for (int k = 0; k < COMMAND__COUNT; k++)
			if (!strcmp(at(i)->noun, at(k)->noun))
				assert_int_equal(*at(i)->verb == 0, *at(k)->verb == 0);
}

static void test_every_parameter_is_whole(void **state)
{
	param_set used = O(help);
	(void)state;
	for (int i = 0; i < COMMAND__COUNT; i++) {
		used |= at(i)->options;
		for (int k = 0; k < at(i)->words.count; k++)
			used |= (param_set)1 << at(i)->words.id[k];
	}
	for (int i = 0; i < PARAM__COUNT; i++) {
		const struct param *p = param_of((enum param_id)i);
		int is_flag = p->kind == PARAM_IS_FLAG || p->kind == PARAM_IS_NOTHING;
		assert_true(strlen(p->help) > 3);
		assert_int_equal(*p->value == 0, is_flag);
		assert_true(p->kind != PARAM_IS_NUMBER || p->min < p->max);
		if (!(used >> i & 1))
			fail_msg("no command takes %s", p->name);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(p->name,
						param_of((enum param_id)k)->name);
	}
}

/* A command that prints, prints something: it has columns or a sentence. */
static void test_every_answer_is_printed(void **state)
{
	static const char *const said[] = {
#define COLUMN(command, section, path, title, format)
#define SAY(command, path, is, is_not) #command,
#define PEEK(command, peek, section, filter, sentence)
#define ONE_OF(command, set)
#define NEEDS(command, option)
#include "cli/answers.tbl"
#undef COLUMN
#undef SAY
#undef PEEK
#undef ONE_OF
#undef NEEDS
	};
	(void)state;
	for (int i = 0; i < COMMAND__COUNT; i++) {
		char id[80];
		int found = table_has((enum command_id)i);
		snprintf(id, sizeof id, "%s_%s", at(i)->noun, at(i)->verb);
		for (size_t k = 0; k < ARRAY_LEN(said); k++)
			found |= !strcmp(said[k], id);
		if (at(i)->function == ask_command && !found)
			fail_msg("%s has neither columns nor a sentence", id);
	}
}

static void test_finding(void **state)
{
	(void)state;
	assert_string_equal(command_find("lane", "clear")->verb, "clear");
	assert_null(command_find("lane", ""));
	assert_null(command_find("lane", "cleer"));
	assert_null(command_find("", ""));
	assert_true(command_is_noun("lane") && command_is_noun("top"));
	assert_false(command_is_noun("list"));
}

/* Splits a line of words parted by single spaces. */
static int split(const char *line, char **argv)
{
	static char copy[400];
	int argc = 0;
	snprintf(copy, sizeof copy, "%s", line);
	for (char *p = *copy ? copy : NULL; p; argc++)
		argv[argc] = strsep(&p, " ");
	argv[argc] = NULL;
	return argc;
}

static int run(const char *line)
{
	char *argv[20];
	int argc = split(line, argv);
	return command_run(argc, argv);
}

static void test_exit_status(void **state)
{
	(void)state;
	assert_int_equal(run("terabitsctl"), EXIT_USAGE);
	assert_int_equal(run("terabitsctl --version"), EXIT_FINE);
	assert_int_equal(run("terabitsctl frobnicate"), EXIT_USAGE);
	assert_int_equal(run("terabitsctl lane"), EXIT_USAGE);
	assert_int_equal(run("terabitsctl lane lsit"), EXIT_USAGE);
	assert_int_equal(run("terabitsctl lane clear --help"), EXIT_FINE);
	assert_int_equal(run("terabitsctl lane --help"), EXIT_FINE);
	assert_int_equal(run("terabitsctl help lane nothing"), EXIT_USAGE);
	assert_int_equal(run("terabitsctl send"), EXIT_USAGE);
}

static void test_suggestions(void **state)
{
	static const char *const names[] = {"lane",   "list",   "limit",
					    "status", "resume", "run"};
	(void)state;
	assert_string_equal(suggest("lsit", names, ARRAY_LEN(names)), "list");
	assert_string_equal(suggest("limt", names, ARRAY_LEN(names)), "limit");
	assert_string_equal(suggest("stat", names, ARRAY_LEN(names)), "status");
	assert_string_equal(suggest("rn", names, ARRAY_LEN(names)), "run");
	assert_string_equal(suggest("ressume", names, ARRAY_LEN(names)), "resume");
	assert_null(suggest("frobnicate", names, ARRAY_LEN(names)));
	assert_null(suggest("", names, ARRAY_LEN(names)));
	assert_null(suggest("x", names, 0));
}

static void test_completions_name_everything(void **state)
{
	static const char *const shells[] = {"bash", "zsh", "fish"};
	struct strbuf none = STRBUF_INIT;
	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(shells); s++) {
		AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
		assert_int_equal(completion_print(&out, shells[s]), 0);
		for (int i = 0; i < COMMAND__COUNT; i++) {
			char path[100];
			snprintf(path, sizeof path, s < 2 ? "\"%s%s%s\"" : "%s%s%s",
				 at(i)->noun,
				 !*at(i)->verb ? ""
				 : s < 2       ? " "
					       : "' -a ",
				 at(i)->verb);
			if (!strstr(out.p, path))
				fail_msg("%s does not know %s", shells[s], path);
		}
		for (int i = 0; i < PARAM__COUNT; i++) {
			char option[100];
			snprintf(option, sizeof option, s < 2 ? " --%s" : " -l %s",
				 param_of((enum param_id)i)->name);
			int taken = 0;
			for (int k = 0; k < COMMAND__COUNT; k++)
				taken |= at(k)->options >> i & 1;
			if (taken && !strstr(out.p, option))
				fail_msg("%s does not know%s", shells[s], option);
		}
	}
	assert_int_equal(completion_print(&none, "tcsh"), -1);
}

/* ---- requests */

static void composes(const char *noun, const char *verb, const char *line,
		     const char *request)
{
	struct args a;
	char *argv[20], err[300];
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	int argc = split(line, argv);
	assert_int_equal(
		args_parse(&a, command_find(noun, verb), argc, argv, err, sizeof err), 0);
	ask_compose(&b, &a, a.command);
	assert_string_equal(b.p, request);
}

static void test_requests(void **state)
{
	(void)state;
	composes("worker", "list", "-o json", "{\"cmd\":\"worker.list\",\"args\":{}}\n");
	composes("lane", "list", "--limit 5 --only busy --tenant t\"1",
		 "{\"cmd\":\"lane.list\",\"args\":{\"tenant\":\"t\\\"1\",\"only\":"
		 "\"busy\",\"limit\":5}}\n");
	composes("worker", "pin", "--slot 17 --unpin",
		 "{\"cmd\":\"worker.pin\",\"args\":{\"worker\":null,\"slot\":17}}\n");
	composes(
		"dead", "redrive", "--all --reason poison --yes",
		"{\"cmd\":\"dead.redrive\",\"args\":{\"reason\":\"poison\",\"all\":true}}"
		"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_command_is_whole),
		cmocka_unit_test(test_a_noun_is_one_word_or_has_verbs),
		cmocka_unit_test(test_every_parameter_is_whole),
		cmocka_unit_test(test_every_answer_is_printed),
		cmocka_unit_test(test_finding),
		cmocka_unit_test(test_exit_status),
		cmocka_unit_test(test_suggestions),
		cmocka_unit_test(test_completions_name_everything),
		cmocka_unit_test(test_requests),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
