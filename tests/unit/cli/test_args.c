/* SPDX-License-Identifier: Apache-2.0
 * Options and words of a command line. */
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

#define RUN "01932d3f-7c5e-7a31-9c0d-2f4f3b1c6a58"

static struct args args;
static char err[400];

/* The value of args_parse for a command and a line of words parted by single spaces. */
static int parse(const char *noun, const char *verb, const char *line)
{
	static char copy[400];
	static char *argv[40];
	int argc = 0;
	err[0] = 0;
	snprintf(copy, sizeof copy, "%s", line);
	for (char *p = *copy ? copy : NULL; p; argc++)
		argv[argc] = strsep(&p, " ");
	argv[argc] = NULL;
	return args_parse(&args, command_find(noun, verb), argc, argv, err, sizeof err);
}

static void refused(const char *noun, const char *verb, const char *line,
		    const char *because)
{
	assert_int_equal(parse(noun, verb, line), -1);
	if (!strstr(err, because))
		fail_msg("'%s' says '%s', not '%s'", line, err, because);
}

static void test_options_anywhere(void **state)
{
	(void)state;
	assert_int_equal(parse("lane", "list", ""), 0);
	assert_int_equal(args.given, 0);
	assert_int_equal(parse("lane", "list", "--tenant t1 --limit=7 --only busy"), 0);
	assert_string_equal(args_text(&args, PARAM_tenant, ""), "t1");
	assert_int_equal(args_number(&args, PARAM_limit, 50), 7);
	assert_int_equal(parse("run", "show", RUN " --tenant=a=b -o json"), 0);
	assert_string_equal(args_text(&args, PARAM_run, ""), RUN);
	assert_string_equal(args_text(&args, PARAM_tenant, ""), "a=b");
	assert_true(args_wants_json(&args));
	assert_int_equal(parse("run", "show", "-ojson " RUN), 0);
	assert_true(args_wants_json(&args));
	assert_int_equal(parse("run", "show", "-o table " RUN), 0);
	assert_false(args_wants_json(&args));
	assert_int_equal(parse("status", "", "--json"), 0);
	assert_true(args_wants_json(&args));
	assert_int_equal(args_number(&args, PARAM_limit, 50), 50);
	assert_null(args_text(&args, PARAM_tenant, NULL));
}

static void test_words(void **state)
{
	(void)state;
	assert_int_equal(parse("lane", "show", "--tenant t -- --key"), 0);
	assert_string_equal(args_text(&args, PARAM_session, ""), "--key");
	assert_int_equal(parse("worker", "scale", "62"), 0);
	assert_int_equal(args_number(&args, PARAM_workers, 0), 62);
	assert_int_equal(parse("queue", "pause", "tenant"), 0);
	assert_int_equal(parse("help", "", "run show"), 0);
	assert_string_equal(args_text(&args, PARAM_verb, ""), "show");
	refused("lane", "show", "", "SESSION is missing");
	refused("lane", "list", "word", "what is 'word'?");
	refused("run", "show", RUN " " RUN, "what is");
	refused("worker", "scale", "63", "N must be a number from 1 to 62, not '63'");
	refused("queue", "pause", "all", "one of node|tenant|agent");
}

static void test_a_message_is_all_the_rest(void **state)
{
	(void)state;
	assert_int_equal(parse("send", "", "--session s say --json twice"), 0);
	assert_int_equal(args.rest_count, 3);
	assert_string_equal(args.rest[1], "--json");
	assert_false(args_wants_json(&args));
	assert_int_equal(parse("send", "", "-- --json"), 0);
	assert_string_equal(args.rest[0], "--json");
	refused("send", "", "--session s", "MESSAGE... is missing");
}

static void test_values(void **state)
{
	(void)state;
	refused("lane", "list", "--limit", "--limit needs a value");
	refused("policy", "set", "a --deny", "--deny needs a value");
	refused("policy", "set", "a --profile=", "--profile needs a value");
	refused("lane", "list", "--limit=", "--limit needs a value");
	refused("lane", "list", "--limit 0", "from 1 to 1000, not '0'");
	refused("lane", "list", "--limit 1001", "from 1 to 1000");
	refused("lane", "list", "--limit 5x", "not '5x'");
	refused("lane", "list", "--limit 99999999999999999999", "from 1 to 1000");
	refused("lane", "list", "--limit 1 --limit 2", "given twice");
	refused("lane", "list", "--only idle", "one of busy|waiting|paused, not 'idle'");
	refused("lane", "list", "--only bus", "not 'bus'");
	refused("lane", "list", "-o yaml", "one of table|json");
	refused("run", "show", "01932d3f", "RUN must be a uuid");
	refused("lane", "clear", "s --yes=1", "--yes takes no value");
	refused("tenant", "suspend",
		"a234567890123456789012345678901234567890123456789012345678901234",
		"1 to 63 bytes, this has 64");
}

static void test_unknown_options(void **state)
{
	(void)state;
	refused("lane", "list", "--limt 3", "did you mean '--limit'");
	refused("lane", "list", "--yes", "there is no option '--yes' here");
	refused("lane", "list", "-x", "there is no option '-x' here");
	refused("send", "", "-o json hello", "there is no option '-o' here");
	refused("chat", "", "-ojson", "there is no option '-ojson' here");
}

static void test_sets(void **state)
{
	(void)state;
	refused("worker", "restart", "", "WORKER or --all is missing");
	refused("worker", "restart", "3 --all", "only one of WORKER or --all");
	assert_int_equal(parse("worker", "restart", "3"), 0);
	assert_int_equal(parse("worker", "restart", "--all"), 0);
	refused("worker", "pin", "3", "--session or --slot is missing");
	assert_int_equal(parse("worker", "pin", "3 --slot 4095"), 0);
	assert_int_equal(parse("worker", "pin", "--unpin --slot 0"), 0);
	refused("token", "create", "--tenant t", "--scopes is missing");
	refused("agent", "create", "main", "--tenant is missing");
	refused("dead", "redrive", RUN " --all", "only one of");
}

static void test_help_ends_it(void **state)
{
	(void)state;
	assert_int_equal(parse("run", "show", "--help"), 0);
	assert_true(args_has(&args, O(help)));
	assert_int_equal(parse("lane", "list", "--limit 3 -h nonsense"), 0);
	assert_true(args_has(&args, O(help)));
	assert_int_equal(parse("send", "", "please --help"), 0);
	assert_false(args_has(&args, O(help)));
}

static void test_choices(void **state)
{
	size_t n;
	(void)state;
	const char *word = args_choice("a|bc|d", 1, &n);
	assert_int_equal(n, 2);
	assert_memory_equal(word, "bc", 2);
	assert_non_null(args_choice("a|bc|d", 2, &n));
	assert_null(args_choice("a|bc|d", 3, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_anywhere),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_a_message_is_all_the_rest),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_unknown_options),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_help_ends_it),
		cmocka_unit_test(test_choices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
