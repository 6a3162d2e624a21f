/* SPDX-License-Identifier: Apache-2.0
 * The sealed memory file: what is written comes back in the child, and nobody changes it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/crypto.h"
#include "proto/boot.h"
#include "proto/limits.h"

static char longest[LIMIT_ENDPOINTS];

static struct wire_boot example(void)
{
	struct wire_boot b = {.role = ROLE_WORKER,
			      .ordinal = 3,
			      .incarnation = uuid7_new(),
			      .node = uuid7_new(),
			      .parent_pid = (uint32_t)getpid(),
			      .url = SLICE("ipc:///tmp/x"),
			      .secret = slice_of(longest, 32),
			      .conninfo = slice_of(longest, 2048),
			      .endpoints = SLICE("sk-secret"),
			      .max_runs = 9};
	return b;
}

/* Runs fn in a child whose descriptor BOOT_FD is fd; its exit status, 100 + signal. */
static int in_child(int fd, int (*fn)(const struct wire_boot *),
		    const struct wire_boot *b)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, STDERR_FILENO);
		if (fd < 0)
			close(BOOT_FD);
		else
			dup2(fd, BOOT_FD);
		_exit(fn(b));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static int reads_back(const struct wire_boot *want)
{
	const struct wire_boot *b = boot_read();
	bool same = b->role == want->role && b->ordinal == want->ordinal &&
		    uuid_eq(b->incarnation, want->incarnation) &&
		    uuid_eq(b->node, want->node) && b->parent_pid == want->parent_pid &&
		    slice_eq(b->url, want->url) && slice_eq(b->secret, want->secret) &&
		    slice_eq(b->conninfo, want->conninfo) && b->model.n == 0 &&
		    slice_is(b->endpoints, "sk-secret") && b->max_runs == 9;
	if (fcntl(BOOT_FD, F_GETFD) != -1 || errno != EBADF)
		return 11;
	const char *secret = b->conninfo.p;
	boot_wipe();
	for (size_t i = 0; i < 2048; i++)
		if (secret[i])
			return 12;
	return same && b->conninfo.p == NULL ? 10 : 13;
}

static int only_reads(const struct wire_boot *b)
{
	(void)b;
	boot_read();
	return 10;
}

static void test_round_trip(void **state)
{
	(void)state;
	struct wire_boot b = example();
	int fd = boot_write(&b);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(in_child(fd, reads_back, &b), 10);
	close(fd);
}

static void test_sealed(void **state)
{
	(void)state;
	struct wire_boot b = example();
	int fd = boot_write(&b);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_ptr_equal(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	close(fd);
}

static void test_largest_fits(void **state)
{
	(void)state;
	struct wire_boot b = example();
	b.url = slice_of(longest, 128);
	b.doors = b.model = slice_of(longest, 256);
	b.endpoints = slice_of(longest, LIMIT_ENDPOINTS);
	int fd = boot_write(&b);
	assert_true(fd >= 0);
	assert_int_equal(in_child(fd, only_reads, NULL), 10);
	close(fd);
	b.conninfo = slice_of(longest, 2049);
	assert_int_equal(boot_write(&b), -1);
	assert_int_equal(errno, E2BIG);
}

static int file_of(const void *p, size_t n)
{
	int fd = memfd_create("t", MFD_CLOEXEC);
	assert_int_equal(write(fd, p, n), n);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Status 2: a supervisor does not restart what it started wrongly. */
static void test_refused(void **state)
{
	(void)state;
	struct wire_boot b = example();
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	int fd;
	assert_int_equal(in_child(-1, only_reads, NULL), 2);
	fd = file_of("", 0);
	assert_int_equal(in_child(fd, only_reads, NULL), 2);
	close(fd);
	fd = file_of("hello", 5);
	assert_int_equal(in_child(fd, only_reads, NULL), 2);
	close(fd);
	wire_encode_counter(&text, wire_table_hash() + 1); /* another build */
	assert_int_equal(wire_encode(&text, WIRE_BOOT, &b), ERR_OK);
	fd = file_of(text.p, text.n);
	assert_int_equal(in_child(fd, only_reads, NULL), 2);
	close(fd);
	strbuf_reset(&text);
	wire_encode_counter(&text, wire_table_hash());
	struct wire_drain other = {5};
	assert_int_equal(wire_encode(&text, WIRE_DRAIN, &other), ERR_OK);
	fd = file_of(text.p, text.n);
	assert_int_equal(in_child(fd, only_reads, NULL), 2);
	close(fd);
}

static int is_orphan(const struct wire_boot *b)
{
	boot_die_with_parent(b->parent_pid + 1);
	return 10;
}

static int has_parent(const struct wire_boot *b)
{
	boot_die_with_parent(b->parent_pid);
	return 10;
}

static void test_parent(void **state)
{
	(void)state;
	struct wire_boot b = example();
	assert_int_equal(in_child(-1, is_orphan, &b), 1);
	assert_int_equal(in_child(-1, has_parent, &b), 10);
}

int main(void)
{
	crypto_init();
	memset(longest, 's', sizeof longest);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_largest_fits), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
