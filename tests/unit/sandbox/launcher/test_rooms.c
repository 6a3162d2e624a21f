/* SPDX-License-Identifier: Apache-2.0
 * Counts of workspaces, by a process with the tenant's user, as root and otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

#include "sandbox/launcher/rooms.h"

#define TENANT 200001

static char home[32];
static int top;
static struct list rooms;
static struct jail_host host;
static struct grant grant;

static int setup(void **state)
{
	struct stat st;
	(void)state;
	strcpy(home, "/tmp/tb-rooms-XXXXXX");
	if (!mkdtemp(home) || (top = open(home, O_RDONLY | O_DIRECTORY)) < 0 ||
	    fstat(top, &st))
		abort();
	list_init(&rooms);
	host.identity = geteuid() == 0 ? JAIL_SWITCH_UID : JAIL_USER_NAMESPACE;
	if (geteuid() == 0 && fchown(top, TENANT, TENANT))
		abort();
	grant = (struct grant){.handle = 1,
			       .dev = st.st_dev,
			       .ino = st.st_ino,
			       .uid = TENANT,
			       .quota_bytes = 1 << 20,
			       .quota_files = 10};
	strcpy(grant.workspace, home);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tree_empty(top, NULL);
	close(top);
	while (!list_is_empty(&rooms))
		free(list_entry(list_pop(&rooms), struct room, node));
	return rmdir(home);
}

static void put(const char *name, size_t bytes)
{
	static char block[1 << 16];
	int fd = openat(top, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	memset(block, 'x', sizeof block);
	for (; bytes; bytes -= sizeof block)
		assert_int_equal(write(fd, block, sizeof block), sizeof block);
	close(fd);
}

static void own(const char *name)
{
	if (geteuid() == 0)
		assert_int_equal(fchownat(top, name, TENANT, TENANT, 0), 0);
}

static struct room *counted(void)
{
	struct room *r = room_of(&rooms, &grant);
	struct pollfd p;
	assert_int_equal(room_count(r, &host, &grant), 0);
	assert_int_equal(rooms_poll(&rooms, &p, 1), 1);
	assert_int_equal(poll(&p, 1, 20000), 1);
	rooms_look(&rooms);
	assert_ptr_equal(rooms_next(&rooms), r);
	assert_null(rooms_next(&rooms));
	return r;
}

static void test_full_of_bytes_and_files(void **state)
{
	char text[ROOMS_TEXT], name[8];
	(void)state;
	put("a", 512 << 10);
	struct room *r = counted();
	assert_true(room_is_counted(r));
	assert_false(room_is_full(r, text));
	assert_true(room_left(r) <= 512 << 10 && room_left(r) > 400 << 10);
	put("b", 1 << 20);
	r = counted();
	assert_true(room_is_full(r, text));
	assert_non_null(strstr(text, "of 1048576 bytes; remove files"));
	assert_int_equal(room_left(r), 0);
	unlinkat(top, "b", 0);
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof name, "n%d", i);
		put(name, 0);
	}
	assert_true(room_is_full(counted(), text));
	assert_string_equal(text, "the workspace is over its quota: 13 of 10 files; "
				  "remove files");
}

/* By its owner, so that one who is root without the right to read everything can count.
 */
static void test_what_is_the_tenants_alone(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(top, "d", 0700), 0);
	put("d/f", 0);
	own("d/f");
	own("d");
	assert_int_equal(fchmodat(top, "d", 0, 0), 0);
	struct room *r = counted();
	assert_false(r->sum.closed);
	assert_int_equal(r->sum.files, 2);
	assert_int_equal(fchmodat(top, "d", 0700, 0), 0);
}

static void test_what_was_written_meanwhile_spoils_it(void **state)
{
	(void)state;
	struct room *r = room_of(&rooms, &grant);
	assert_int_equal(room_count(r, &host, &grant), 0);
	room_forget_count(r);
	assert_false(room_is_counted(counted()));
	assert_true(room_is_counted(counted()));
	room_forget_count(r);
	assert_false(room_is_counted(r));
}

/* Another directory has its name now: what was granted cannot be counted, and is full. */
static void test_a_directory_that_is_another(void **state)
{
	char text[ROOMS_TEXT];
	(void)state;
	grant.ino++;
	assert_true(room_is_full(counted(), text));
	assert_non_null(strstr(text, "cannot be counted"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_full_of_bytes_and_files),
					   T(test_what_is_the_tenants_alone),
					   T(test_what_was_written_meanwhile_spoils_it),
					   T(test_a_directory_that_is_another)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
