/* SPDX-License-Identifier: Apache-2.0
 * Thousands of tool calls of every kind leave nothing in the launcher: no descriptor, no
 * process, no mount, no memory. As the user who runs the tests, and as an ordinary one.
 */
#include "driver.h"

#include <stdbool.h>

#include "common/clock.h"

#ifdef TB_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

struct state {
	unsigned descriptors, children, mounts, directories;
	long rss_kib;
};

/* How often that begins a line, or what stands behind it there. */
static long lines(const char *path, const char *what, bool value)
{
	char line[512];
	long n = 0;
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, what, strlen(what)))
			n = value ? atol(line + strlen(what)) : n + 1;
	fclose(f);
	return n;
}

static unsigned words(const char *path)
{
	unsigned n = 0;
	char word[32];
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fscanf(f, "%31s", word) == 1)
		n++;
	fclose(f);
	return n;
}

static struct state look(const struct driven *d)
{
	char path[4][64];
	snprintf(path[0], sizeof path[0], "/proc/%d/fd", (int)d->pid);
	snprintf(path[1], sizeof path[1], "/proc/%d/task/%d/children", (int)d->pid,
		 (int)d->pid);
	snprintf(path[2], sizeof path[2], "/proc/%d/mounts", (int)d->pid);
	snprintf(path[3], sizeof path[3], "/proc/%d/status", (int)d->pid);
	return (struct state){.descriptors = driver_entries(path[0]),
			      .children = words(path[1]),
			      .mounts = (unsigned)lines(path[2], "", false),
			      .directories = driver_entries(d->workspace),
			      .rss_kib = lines(path[3], "VmRSS:", true)};
}

/* It answers before it has tidied up: in its next turn at the latest. */
static struct state settled(const struct driven *d, const struct state *wanted)
{
	int64_t until = clock_mono_us() + 5000000;
	struct state s = look(d);
	while (wanted && clock_mono_us() < until &&
	       (s.children != wanted->children || s.descriptors != wanted->descriptors)) {
		sched_yield();
		s = look(d);
	}
	return s;
}

static void refuse_one(const struct driven *d, uint64_t id)
{
	struct wire_jail_open m = {.id = id, .handle = 99, .kind = JAIL_KIND_EXEC};
	assert_int_equal(packet_send(d->peer, WIRE_JAIL_OPEN, &m, NULL, 0), ERR_OK);
	assert_int_equal(driver_hear(d), WIRE_JAIL_REFUSED);
}

static void kill_one(const struct driven *d, const struct wire_jail_open *m)
{
	struct wire_jail_kill kill_it = {.id = m->id};
	assert_int_equal(packet_send(d->peer, WIRE_JAIL_OPEN, m, NULL, 0), ERR_OK);
	assert_int_equal(driver_hear(d), WIRE_JAIL_OPENED);
	for (int i = 0; i < 3; i++)
		close(answer.fds[i]);
	assert_int_equal(packet_send(d->peer, WIRE_JAIL_KILL, &kill_it, NULL, 0), ERR_OK);
	assert_int_equal(driver_hear(d), WIRE_JAIL_CLOSED);
}

static void expect(const char *printed, const char *wanted, uint64_t id)
{
	const struct wire_jail_closed *end = &answer.message.jail_closed;
	if (strcmp(printed, wanted))
		fail_msg("call %llu printed \"%s\"; it ended by %u, number %u: %.*s",
			 (unsigned long long)id, printed, (unsigned)end->end,
			 (unsigned)end->number, SLICE_ARG(end->message));
}

static void call(const struct driven *d, uint64_t id)
{
	char buffer[256];
	struct wire_jail_open m = {.id = id, .handle = 1, .env = SLICE("")};
	struct wire_jail_open program = m;
	program.kind = JAIL_KIND_EXEC;
	program.argv = driver_words(buffer, sizeof buffer, "/bin/sh", "-c",
				    "(sleep 100 &) ; mkdir /tmp/d; echo hi >/dev/shm/f; "
				    "echo out");
	switch (id % 8) {
	case 0:
	case 1:
		program.argv = driver_words(buffer, sizeof buffer, "/bin/echo", "a", "b");
		expect(driver_run(d, &program, ""), "a b\n", id);
		break;
	case 2:
		expect(driver_run(d, &program, ""), "out\n", id);
		break;
	case 3:
		program.argv = slice_of("/nonexistent", 13);
		assert_string_equal(driver_run(d, &program, ""), "");
		break;
	case 4:
		refuse_one(d, id);
		break;
	case 5:
		program.argv =
			driver_words(buffer, sizeof buffer, "/bin/sleep", "50", NULL);
		kill_one(d, &program);
		break;
	default:
		m.kind = id % 8 == 6 ? JAIL_KIND_WRITE : JAIL_KIND_READ;
		assert_non_null(strstr(
			driver_run(d, &m, "{\"path\":\"a\",\"content\":\"x\"}"), "{"));
	}
}

static void test_calls_leave_nothing(void **state)
{
	struct driven d;
	unsigned calls = getenv("TB_LONG") ? 10000 : 120;
	(void)state;
	if (SANITIZED) /* a guard is a copy of its launcher, and that grows with the calls
			*/
		driver_memory = 1 << 30;
	driver_start(&d);
	driver_grant(&d, 1, 20000);
	for (uint64_t id = 1; id <= 40; id++) /* what is allocated once */
		call(&d, id);
	struct state before = settled(&d, NULL), after;
	for (uint64_t id = 41; id <= calls; id++)
		call(&d, id);
	after = settled(&d, &before);
	print_message("%u calls: rss %ld -> %ld KiB\n", calls, before.rss_kib,
		      after.rss_kib);
	assert_int_equal(after.descriptors, before.descriptors);
	assert_int_equal(after.children, before.children);
	assert_int_equal(after.mounts, before.mounts);
	assert_int_equal(after.directories, before.directories);
	if (!SANITIZED) {
		assert_true(after.rss_kib < 5 << 10);
		assert_true(after.rss_kib <= before.rss_kib + 64);
	}
	driver_stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls_leave_nothing)};
	int failed = 0;
	if (!driver_can(0))
		print_message("namespaces are refused here: nothing can be tested\n");
	else
		failed = cmocka_run_group_tests_name("ourselves", tests, NULL, NULL);
	if (geteuid() == 0 && driver_can(ORDINARY)) {
		driver_uid = ORDINARY;
		failed += cmocka_run_group_tests_name("an ordinary user", tests, NULL,
						      NULL);
	}
	return failed;
}
