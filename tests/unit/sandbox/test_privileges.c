/* SPDX-License-Identifier: Apache-2.0
 * What the supervisor takes up for a moment, and puts down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "sandbox/privileges.h"

#define NOBODY 65534
#define SYS_ADMIN (1ull << 21)
#define KILL (1ull << 5)

static unsigned long long effective(void)
{
	char line[128];
	unsigned long long mask = 0;
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof line, f))
		sscanf(line, "CapEff: %llx", &mask);
	if (f)
		fclose(f);
	return mask;
}

/* In a child, for there is no way back; the number of the check that failed. */
static int in_child(int (*fn)(void))
{
	int how;
	pid_t child = fork();
	if (child == 0)
		_exit(fn());
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFEXITED(how));
	return WEXITSTATUS(how);
}

static int as_supervisor(void)
{
	privileges_keep(NOBODY, NOBODY);
	if ((effective() & (SYS_ADMIN | KILL)) != KILL)
		return 1;
	for (int i = 0; i < 2; i++) {
		if (!privileges_raise() || !(effective() & SYS_ADMIN))
			return 2;
		privileges_lower();
		if ((effective() & (SYS_ADMIN | KILL)) != KILL)
			return 3;
	}
	return 0;
}

static int as_who_has_none(void)
{
	privileges_leave(geteuid() ? geteuid() : NOBODY, getegid() ? getegid() : NOBODY);
	if (privileges_raise() || effective())
		return 1;
	privileges_lower();
	return effective() ? 2 : 0;
}

static void test_a_moment(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(in_child(as_supervisor), 0);
}

static void test_nothing_to_take_up(void **state)
{
	(void)state;
	assert_int_equal(in_child(as_who_has_none), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_moment),
					   cmocka_unit_test(test_nothing_to_take_up)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
