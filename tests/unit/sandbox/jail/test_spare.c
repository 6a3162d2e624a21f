/* SPDX-License-Identifier: Apache-2.0
 * Spare jails: they do what others do, hold nothing, and end with their launcher. */
#include <errno.h>
#include <signal.h>

#include "tests/unit/sandbox/jail/jail_case.h"

static void say_number(void *arg)
{
	char text[16];
	snprintf(text, sizeof text, "%d", (int)(intptr_t)arg);
	if (write(1, text, strlen(text)) < 0)
		_exit(1);
}

static void run_spare(void)
{
	struct jail_spec s = make_spec();
	s.run = say_number;
	s.arg = (void *)(intptr_t)42;
	run(&s, &said, 10000);
	assert_string_equal(said.text, "42");
	assert_int_equal(said.report.kind, JAIL_EXITED);
	assert_says("echo $HOME; pwd; id -u; echo x >f; cat f; rm f",
		    "/workspace\n/workspace\n");
}

/* Longer than what a socket takes at once. */
static void run_spare_with_much(void)
{
	static char word[100001];
	char *argv[] = {(char[]){"/bin/bash"},
			(char[]){"-c"},
			(char[]){"echo ${#1} ${#2} ${#3} $A"},
			(char[]){"x"},
			word,
			word,
			word,
			NULL};
	char *env[] = {(char[]){"A=b"}, NULL};
	struct jail_spec s = make_spec();
	memset(word, 'w', sizeof word - 1);
	s.argv = argv;
	s.env = env;
	run(&s, &said, 10000);
	assert_string_equal(said.text, "100000 100000 100000 b\n");
}

static void test_spare(void **state)
{
	(void)state;
	from_spare = true;
	run_spare();
	run_spare_with_much();
	struct jail_spec s = make_spec();
	s.cwd = "/workspace/missing";
	s.run = say_number;
	run(&s, &said, 10000);
	from_spare = false;
	assert_int_equal(said.report.kind, JAIL_NO_DIRECTORY);
	assert_int_equal(said.report.number, ENOENT);
}

/* It holds nothing of its launcher's, and ends with it. */
static void test_a_spare_one_waits(void **state)
{
	int of_launcher[2], alive[2];
	char byte, err[300];
	struct jail j;
	struct jail_report r;
	(void)state;
	assert_int_equal(pipe2(of_launcher, O_CLOEXEC), 0);
	if (jail_birth(&host, NULL, &j, err, sizeof err))
		fail_msg("%s", err);
	close(of_launcher[1]);
	assert_int_equal(read(of_launcher[0], &byte, 1), 0);
	close(of_launcher[0]);
	jail_kill(&j);
	jail_wait(&j, &r);
	assert_int_equal(r.kind, JAIL_SIGNALLED);
	assert_int_equal(pipe(alive), 0);
	pid_t launcher = fork();
	if (launcher == 0) {
		if (dup2(alive[1], 2) < 0 || jail_birth(&host, NULL, &j, err, sizeof err))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	close(alive[1]);
	waitpid(launcher, NULL, 0);
	assert_int_equal(read(alive[0], &byte, 1), 0); /* the spare one's errors: gone */
	close(alive[0]);
}

static int begin(void **state)
{
	(void)state;
	return jail_begin();
}

static int all(const char *name)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spare),
		cmocka_unit_test(test_a_spare_one_waits),
	};
	printf("as %s\n", name);
	return cmocka_run_group_tests(tests, begin, jail_finish);
}

int main(void)
{
	return in_both_modes(all);
}
