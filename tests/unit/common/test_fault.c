/* SPDX-License-Identifier: Apache-2.0
 * Fault points: whoever passes an armed one takes the order, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/fault.h"

#ifdef TB_FAULTS

static struct fault_slot *slots;
static char faults[] = "/tmp/tb-faultsXXXXXX", ledger[] = "/tmp/tb-ledgerXXXXXX";

static int set_up(void **state)
{
	(void)state;
	int fd = mkstemp(faults), lines = mkstemp(ledger);
	size_t size = FAULT__COUNT * sizeof *slots;
	if (fd < 0 || lines < 0 || ftruncate(fd, (off_t)size))
		return -1;
	slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	close(lines);
	setenv("TERABITS_FAULTS", faults, 1);
	setenv("TERABITS_LEDGER", ledger, 1);
	fault_init();
	return slots == MAP_FAILED;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(faults);
	unlink(ledger);
	return 0;
}

static int status_of(void (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		fn();
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (WIFSTOPPED(status)) {
		assert_int_equal(slots[FAULT_T0_SEND].pid, pid);
		kill(pid, SIGCONT);
		waitpid(pid, &status, 0);
		assert_int_equal(WEXITSTATUS(status), 7);
		return SIGSTOP;
	}
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void pass(void)
{
	FAULT(T0_SEND);
}

static void test_not_armed(void **state)
{
	uint32_t before = slots[FAULT_T0_SEND].passes;
	(void)state;
	assert_int_equal(status_of(pass), -7);
	assert_int_equal(slots[FAULT_T0_SEND].passes, before + 1);
	assert_int_equal(slots[FAULT_T0_SEND].hits, 0);
}

static void test_dies_once(void **state)
{
	(void)state;
	slots[FAULT_T0_SEND].action = FAULT_DIE;
	assert_int_equal(status_of(pass), SIGKILL);
	assert_int_equal(slots[FAULT_T0_SEND].hits, 1);
	assert_int_equal(status_of(pass), -7);
}

static void test_stops_until_continued(void **state)
{
	(void)state;
	slots[FAULT_T0_SEND].action = FAULT_STOP;
	assert_int_equal(status_of(pass), SIGSTOP);
	assert_int_equal(slots[FAULT_T0_SEND].action, FAULT_NONE);
}

static void test_the_ledger_is_appended_to(void **state)
{
	char text[16] = "";
	(void)state;
	assert_true(fault_ledger(SLICE("one\n")));
	assert_true(fault_ledger(SLICE("two\n")));
	int fd = open(ledger, O_RDONLY);
	assert_int_equal(read(fd, text, sizeof text), 8);
	close(fd);
	assert_string_equal(text, "one\ntwo\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_armed),
		cmocka_unit_test(test_dies_once),
		cmocka_unit_test(test_stops_until_continued),
		cmocka_unit_test(test_the_ledger_is_appended_to),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else

int main(void)
{
	return 0; /* a build without fault points has nothing to test */
}

#endif
