/* SPDX-License-Identifier: Apache-2.0
 * Options and words of a command line; finding commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/args.h"
#include "cli/command.h"
#include "common/attr.h"

static int flag;
static const char *text;
static long number;
static char err[200];

/* The index of the first word, by a line of words parted by single spaces. */
static int parse(const char *line)
{
	static char copy[200];
	static char *argv[20];
	const struct args_option options[] = {{"--flag", ARGS_FLAG, &flag, 0, 0},
					      {"--text", ARGS_TEXT, &text, 0, 0},
					      {"--number", ARGS_NUMBER, &number, 0, 100}};
	int argc = 0;
	flag = 0, text = NULL, number = -1, err[0] = 0;
	snprintf(copy, sizeof copy, "%s", line);
	for (char *p = copy; p; argc++) {
		argv[argc] = strsep(&p, " ");
	}
	argv[argc] = NULL;
	return args_parse(options, ARRAY_LEN(options), argc, argv, err, sizeof err);
}

static void test_good(void **state)
{
	(void)state;
	assert_int_equal(parse("cmd"), 1);
	assert_int_equal(parse("cmd --flag --text x --number 7 word --flag"), 6);
	assert_int_equal(flag, 1);
	assert_string_equal(text, "x");
	assert_int_equal(number, 7);
	assert_int_equal(parse("cmd --text=a=b --number=100"), 3);
	assert_string_equal(text, "a=b");
	assert_int_equal(number, 100);
	assert_int_equal(parse("cmd -- --flag"), 2);
	assert_int_equal(flag, 0);
	assert_int_equal(parse("cmd - --flag"), 1);
	assert_int_equal(parse("cmd --text --flag"), 3);
	assert_string_equal(text, "--flag");
}

static void test_bad(void **state)
{
	(void)state;
	static const struct {
		const char *line, *says;
	} cases[] = {{"cmd --fla", "no option '--fla'"},
		     {"cmd --flags", "no option '--flags'"},
		     {"cmd -f", "no option '-f'"},
		     {"cmd --flag=1", "takes no value"},
		     {"cmd --text", "needs a value"},
		     {"cmd --text=", "needs a value"},
		     {"cmd --number", "needs a value"},
		     {"cmd --number 101", "from 0 to 100, not '101'"},
		     {"cmd --number -1", "from 0 to 100"},
		     {"cmd --number 1x", "'1x'"},
		     {"cmd --number 99999999999999999999", "from 0 to 100"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (parse(cases[i].line) != -1 || !strstr(err, cases[i].says))
			fail_msg("'%s': '%s'", cases[i].line, err);
}

static int run(const char *word)
{
	char name[] = "terabitsctl", copy[64];
	snprintf(copy, sizeof copy, "%s", word ? word : "");
	char *argv[] = {name, word ? copy : NULL, NULL};
	return command_run(word ? 2 : 1, argv);
}

static void test_commands(void **state)
{
	(void)state;
	assert_int_equal(run(NULL), EXIT_USAGE);
	assert_int_equal(run("nonsense"), EXIT_USAGE);
	assert_int_equal(run("send"), EXIT_USAGE);
	assert_int_equal(run("version"), EXIT_FINE);
	assert_int_equal(run("--help"), EXIT_FINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),
					   cmocka_unit_test(test_bad),
					   cmocka_unit_test(test_commands)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
