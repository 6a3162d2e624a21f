/* SPDX-License-Identifier: Apache-2.0
 * Control groups. The file logic of v2 everywhere: a directory with the kernel's file
 * names stands for the mount, and what is written is looked at. Then the real thing, of
 * v2 and of v1, where this process may make groups (v2: alone in a group of its own,
 * which scripts/vm-test sees to). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "sandbox/cgroup/cgroup.h"

#define MB (1ull << 20)

/* ---- a pretended kernel, below `root`: directories are born with files, go with them,
 * and keep all that is written */

static char root[64];
static const char *refused; /* a file whose opening for writing is EBUSY */

static const struct {
	const char *name, *text;
} v2_files[] = {
	{"cgroup.procs", ""},
	{"cgroup.type", "domain\n"},
	{"cgroup.controllers", "cpuset cpu io memory pids\n"},
	{"cgroup.subtree_control", ""},
	{"cgroup.kill", ""},
	{"memory.max", ""},
	{"memory.swap.max", ""},
	{"memory.oom.group", ""},
	{"memory.current", "4096\n"},
	{"memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 0\noom_group_kill 0\n"},
	{"pids.max", ""},
	{"cpu.max", ""},
};

static int open_raw(int at, const char *path, int flags, mode_t mode)
{
	return (int)syscall(SYS_openat, at, path, flags, mode);
}

static bool is_pretended(int at, const char *path)
{
	char dir[PATH_MAX], link[64];
	if (path[0] == '/')
		return !strncmp(path, root, strlen(root));
	snprintf(link, sizeof link, "/proc/self/fd/%d", at);
	ssize_t n = readlink(link, dir, sizeof dir - 1);
	return n > 0 && !strncmp(dir, root, strlen(root));
}

static void populate(int at, const char *path, const char *controllers)
{
	char file[PATH_MAX];
	for (size_t i = 0; i < ARRAY_LEN(v2_files); i++) {
		bool own = controllers && !strcmp(v2_files[i].name, "cgroup.controllers");
		const char *text = own ? controllers : v2_files[i].text;
		snprintf(file, sizeof file, "%s/%s", path, v2_files[i].name);
		int fd = open_raw(at, file, O_CREAT | O_WRONLY, 0644);
		if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
			abort();
		close(fd);
	}
}

int openat(int at, const char *path, int flags, ...)
{
	if ((flags & O_WRONLY) && is_pretended(at, path)) {
		if (refused && strstr(path, refused)) {
			errno = EBUSY;
			return -1;
		}
		flags |= O_APPEND;
	}
	return open_raw(at, path, flags, 0);
}

int mkdirat(int at, const char *path, mode_t mode)
{
	if (syscall(SYS_mkdirat, at, path, mode))
		return -1;
	if (is_pretended(at, path))
		populate(at, path, NULL);
	return 0;
}

int unlinkat(int at, const char *path, int flags)
{
	char file[PATH_MAX];
	for (size_t i = 0;
	     (flags & AT_REMOVEDIR) && is_pretended(at, path) && i < ARRAY_LEN(v2_files);
	     i++) {
		snprintf(file, sizeof file, "%s/%s", path, v2_files[i].name);
		syscall(SYS_unlinkat, at, file, 0);
	}
	return (int)syscall(SYS_unlinkat, at, path, flags);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* ---- looking */

static const char *text_of(const char *fmt, ...)
{
	static char text[4096];
	char path[PATH_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(path, sizeof path, fmt, ap);
	va_end(ap);
	if (cgroup_read(AT_FDCWD, path, text, sizeof text) < 0)
		return "-";
	return text;
}

static void put_text(const char *path, const char *text)
{
	int fd = open_raw(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static bool exists(const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(path, sizeof path, fmt, ap);
	va_end(ap);
	return access(path, F_OK) == 0;
}

/* ---- finding */

static void check_found(const char *cgroup, const char *mounts, const char *unified,
			const char *memory, const char *pids)
{
	struct cgroup_places p;
	char path[128];
	snprintf(path, sizeof path, "%s/cgroup", root);
	put_text(path, cgroup);
	snprintf(path, sizeof path, "%s/mountinfo", root);
	put_text(path, mounts);
	cgroup_find(root, &p);
	assert_string_equal(p.unified, unified);
	assert_string_equal(p.memory, memory);
	assert_string_equal(p.pids, pids);
}

static void test_find(void **state)
{
	const char *v1 = "31 30 0:28 / /c/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
			 "34 30 0:31 / /c/memory rw - cgroup cgroup rw,memory\n"
			 "38 30 0:35 / /c/pids rw shared:3 - cgroup cgroup rw,pids\n"
			 "40 30 0:37 / /c/unified rw - cgroup2 cgroup2 rw\n";
	(void)state;
	check_found("8:pids:/\n4:memory:/a/b\n0::/\n", v1, "/c/unified", "/c/memory/a/b",
		    "/c/pids");
	check_found("4:memory:/a/b\n", v1, "", "/c/memory/a/b", "");
	check_found("0::/system.slice/x.service\n",
		    "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 "
		    "rw,nsdelegate\n",
		    "/sys/fs/cgroup/system.slice/x.service", "", "");
	/* A container sees a part of the hierarchy, with or without its own namespace. */
	check_found("0::/docker/abc\n",
		    "30 24 0:26 /docker/abc /cg rw - cgroup2 cgroup rw\n", "/cg", "", "");
	check_found("0::/docker/abcd\n",
		    "30 24 0:26 /docker/abc /cg rw - cgroup2 cgroup rw\n", "", "", "");
	check_found("0::/../elsewhere\n", "30 24 0:26 / /cg rw - cgroup2 cgroup rw\n", "",
		    "", "");
	/* Words of a list, not parts of them; lines that are none. */
	check_found("4:memoryx,pidsy:/a\nnonsense\n5:x,pids:/p\n", v1, "", "",
		    "/c/pids/p");
	check_found("", "", "", "", "");
}

/* ---- v2 */

static struct cgroup_places places;

static int setup(void **state)
{
	(void)state;
	refused = NULL;
	snprintf(root, sizeof root, "/tmp/tb-cgroup-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	populate(AT_FDCWD, root, NULL);
	memset(&places, 0, sizeof places);
	snprintf(places.unified, sizeof places.unified, "%s", root);
	return 0;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof command, "rm -r %s", root);
	return system(command);
}

static void test_v2_base(void **state)
{
	struct cgroup_base b;
	(void)state;
	cgroup_base_make(&places, "id", &b);
	assert_int_equal(b.kind, CGROUP_V2);
	assert_true(b.cpu);
	assert_string_equal(b.why, "");
	/* This process is beside the jails, so that the group may hand on controllers. */
	assert_string_equal(text_of("%s/terabits-node/cgroup.procs", root), "0");
	assert_string_equal(text_of("%s/cgroup.subtree_control", root),
			    "+memory +pids+cpu");
	assert_string_equal(text_of("%s/terabits-id/cgroup.subtree_control", root),
			    "+memory +pids+cpu");
	assert_true(cgroup_base_remove(&b, 0));
	assert_false(exists("%s/terabits-id", root));
	assert_false(exists("%s/terabits-node", root));
	assert_string_equal(text_of("%s/cgroup.procs", root), "0");
	assert_string_equal(text_of("%s/cgroup.subtree_control", root),
			    "+memory +pids+cpu-cpu-memory -pids");
}

static void check_no_v2(const char *why)
{
	struct cgroup_base b;
	cgroup_base_make(&places, "id", &b);
	assert_int_equal(b.kind, CGROUP_NONE);
	assert_false(b.cpu);
	if (!strstr(b.why, why))
		fail_msg("not \"%s\" but \"%s\"", why, b.why);
	assert_non_null(strstr(b.why, "v1 memory: not mounted"));
	assert_false(exists("%s/terabits-id", root));
	assert_false(exists("%s/terabits-node", root));
}

static void test_v2_not_ours(void **state)
{
	char path[128];
	(void)state;
	refused = "cgroup.subtree_control"; /* as the kernel does with others in it */
	check_no_v2("v2: other processes are in our group");
	assert_string_equal(text_of("%s/cgroup.procs", root), "0"); /* and back */
	refused = "cgroup.procs";
	check_no_v2("v2: a group below ours cannot be made");
	refused = NULL;
	snprintf(path, sizeof path, "%s/cgroup.controllers", root);
	put_text(path, "cpu pids memory_extra\n");
	check_no_v2("v2: our group has not the memory and pids controllers");
	snprintf(places.unified, sizeof places.unified, "%s/none", root);
	check_no_v2("v2: our group cannot be opened");
	*places.unified = 0;
	check_no_v2("v2: not mounted");
}

static void test_v2_without_cpu(void **state)
{
	struct cgroup_base b;
	char path[128];
	(void)state;
	snprintf(path, sizeof path, "%s/cgroup.controllers", root);
	put_text(path, "memory pids\n");
	cgroup_base_make(&places, "id", &b);
	assert_int_equal(b.kind, CGROUP_V2);
	assert_false(b.cpu);
	assert_string_equal(text_of("%s/terabits-id/cgroup.subtree_control", root),
			    "+memory +pids");
	assert_true(cgroup_base_remove(&b, 0));
}

static void test_v2_trial(void **state)
{
	struct cgroup_base b;
	char path[128], pids[64];
	(void)state;
	snprintf(path, sizeof path, "%s/cgroup.procs", root);
	snprintf(pids, sizeof pids, "%d\n%d\n", (int)getpid(), (int)getppid());
	put_text(path, pids);
	cgroup_base_try(&places, &b);
	assert_int_equal(b.kind, CGROUP_V2);
	put_text(path, "1\n");
	cgroup_base_try(&places, &b);
	assert_int_equal(b.kind, CGROUP_NONE);
	assert_non_null(strstr(b.why, "other processes are in our group"));
	assert_false(exists("%s/terabits-node", root));
}

static void test_v2_groups(void **state)
{
	struct cgroup_base b;
	struct cgroup_pool p;
	struct cgroup_way way;
	char dir[256], path[300];
	struct stat st, same;
	(void)state;
	cgroup_base_make(&places, "id", &b);
	assert_int_equal(cgroup_pool_open(&p, &b, "0-abc."), 0);
	struct cgroup_group *g = cgroup_take(&p, 64 * MB, 16, &way);
	assert_non_null(g);
	snprintf(dir, sizeof dir, "%s/terabits-id/0-abc.1", root);
	assert_int_equal(fstat(way.into, &st) | stat(dir, &same), 0);
	assert_int_equal(st.st_ino, same.st_ino);
	assert_int_equal(way.join[0], -1);
	cgroup_way_close(&way);
	assert_true(strtoull(text_of("%s/memory.max", dir), NULL, 10) >= 64 * MB);
	assert_string_equal(text_of("%s/memory.swap.max", dir), "0");
	assert_string_equal(text_of("%s/memory.oom.group", dir), "1");
	assert_string_equal(text_of("%s/pids.max", dir), "17"); /* the guard is one */
	assert_string_equal(text_of("%s/cpu.max", dir), "200000 100000");
	/* The first of these lines that begin alike is another one. */
	assert_false(cgroup_ran_out(&p, g));
	snprintf(path, sizeof path, "%s/memory.events", dir);
	put_text(path, "low 0\nhigh 0\nmax 9\noom 3\noom_kill 1\noom_group_kill 1\n");
	assert_true(cgroup_ran_out(&p, g));
	cgroup_kill(&p, g);
	assert_string_equal(text_of("%s/cgroup.kill", dir), "1");
	/* Used again: what was counted before is not its next jail's. */
	cgroup_give_back(&p, g);
	assert_ptr_equal(cgroup_take(&p, 64 * MB, 8, &way), g);
	cgroup_way_close(&way);
	assert_false(cgroup_ran_out(&p, g));
	assert_string_equal(text_of("%s/pids.max", dir), "179");
	/* What it left cached would be too much for the next. */
	snprintf(path, sizeof path, "%s/memory.current", dir);
	put_text(path, "20000000\n");
	cgroup_give_back(&p, g);
	assert_false(exists("%s", dir));
	assert_int_equal(p.idle_count, 0);
	cgroup_pool_close(&p);
	assert_true(cgroup_base_remove(&b, 0));
}

static void test_v2_a_group_that_refuses(void **state)
{
	struct cgroup_base b;
	struct cgroup_pool p;
	struct cgroup_way way;
	(void)state;
	cgroup_base_make(&places, "id", &b);
	assert_int_equal(cgroup_pool_open(&p, &b, "0-abc."), 0);
	struct cgroup_group *g = cgroup_take(&p, 64 * MB, 16, &way);
	cgroup_way_close(&way);
	cgroup_give_back(&p, g);
	refused = "memory.max";
	errno = 0;
	assert_null(cgroup_take(&p, 32 * MB, 16, &way));
	assert_int_equal(errno, EBUSY);
	refused = "abc.1/memory.max"; /* the used one alone: a new one is made */
	g = cgroup_take(&p, 32 * MB, 16, &way);
	assert_non_null(g);
	cgroup_way_close(&way);
	refused = NULL;
	cgroup_give_back(&p, g);
	for (unsigned i = 1; i < 9; i++)
		assert_int_equal(exists("%s/terabits-id/0-abc.%u", root, i), i == p.last);
	cgroup_pool_close(&p);
	assert_true(cgroup_base_remove(&b, 0));
}

static bool keeps_1(void *arg, const char *name)
{
	(void)arg;
	return !strncmp(name, "1-", 2);
}

static void test_v2_sweep(void **state)
{
	struct cgroup_base b;
	char path[CGROUP_PATH + 16];
	(void)state;
	cgroup_base_make(&places, "id", &b);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%d-x.1", b.memory, i);
		assert_int_equal(mkdirat(AT_FDCWD, path, 0755), 0);
	}
	assert_true(cgroup_base_sweep(&b, keeps_1, NULL));
	assert_false(exists("%s/0-x.1", b.memory));
	assert_true(exists("%s/1-x.1", b.memory));
	assert_false(exists("%s/2-x.1", b.memory));
	assert_true(cgroup_base_sweep(&b, NULL, NULL));
	assert_false(exists("%s", b.memory));
	/* Nothing that has not our name. */
	snprintf(b.memory, sizeof b.memory, "%s/other", root);
	memcpy(b.pids, b.memory, sizeof b.pids);
	snprintf(path, sizeof path, "%s/other", root);
	assert_int_equal(mkdirat(AT_FDCWD, path, 0755), 0);
	cgroup_base_sweep(&b, NULL, NULL);
	assert_true(exists("%s", path));
}

/* ---- for real */

static struct cgroup_base base;
static struct cgroup_pool pool;
static bool is_open;

/* In a group from its first step on; what it returns is its status. */
static int run_in(struct cgroup_way *way, int (*fn)(void))
{
	int how;
	struct clone_args args = {.exit_signal = SIGCHLD};
	if (way->into >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)way->into;
	}
	pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	if (child == 0) {
		for (int i = 0; i < 2; i++)
			if (way->join[i] >= 0 && write(way->join[i], "0", 1) != 1)
				_exit(99);
		_exit(fn());
	}
	cgroup_way_close(way);
	assert_int_equal(waitpid(child, &how, 0), child);
	return WIFSIGNALED(how) ? 1000 + WTERMSIG(how) : WEXITSTATUS(how);
}

static int use_memory(void)
{
	size_t n = 200 * MB;
	volatile char *p = malloc(n);
	for (size_t i = 0; i < n; i += 4096)
		p[i] = 1;
	return 0;
}

static int count_processes(void)
{
	int n = 0;
	for (pid_t pid; n < 90 && (pid = fork()) >= 0; n++)
		if (pid == 0)
			for (;;)
				pause();
	return n; /* the others end with their group */
}

static int cache_much(void)
{
	static char bytes[MB];
	int fd = open("/var/tmp/tb-cgroup-cached", O_CREAT | O_RDWR, 0600);
	for (int i = 0; i < 24; i++)
		if (write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
			return 1;
	return 0;
}

static int do_nothing(void)
{
	return 0;
}

/* Ends as the kernel wants: everybody with it. */
static int use_memory_beside_others(void)
{
	for (int i = 0; i < 3; i++)
		if (fork() == 0)
			for (;;)
				pause();
	return use_memory();
}

static bool has(enum cgroup_kind kind)
{
	struct cgroup_places p;
	if (is_open)
		return base.kind == kind;
	cgroup_find("/proc/self", &p);
	if (kind == CGROUP_V1)
		*p.unified = 0;
	else
		*p.memory = *p.pids = 0;
	cgroup_base_make(&p, "unit", &base);
	if (base.kind != kind) {
		print_message("not here: %s\n", base.why);
		return false;
	}
	assert_int_equal(cgroup_pool_open(&pool, &base, "0-unit."), 0);
	return is_open = true;
}

static void check_memory(void)
{
	struct cgroup_way way;
	struct cgroup_group *g = cgroup_take(&pool, 32 * MB, 8, &way);
	assert_non_null(g);
	assert_int_equal(run_in(&way, use_memory), 1000 + SIGKILL);
	assert_true(cgroup_ran_out(&pool, g));
	cgroup_give_back(&pool, g);
	/* The same one again, with more, then with less. */
	assert_ptr_equal(cgroup_take(&pool, 400 * MB, 8, &way), g);
	assert_int_equal(run_in(&way, use_memory), 0);
	assert_false(cgroup_ran_out(&pool, g));
	cgroup_give_back(&pool, g);
	assert_ptr_equal(cgroup_take(&pool, 32 * MB, 8, &way), g);
	assert_int_equal(run_in(&way, use_memory), 1000 + SIGKILL);
	cgroup_give_back(&pool, g);
}

static void check_processes(void)
{
	struct cgroup_way way;
	struct cgroup_group *g = cgroup_take(&pool, 64 * MB, 8, &way);
	assert_int_equal(run_in(&way, count_processes), 8);
	assert_true(exists("%s/%s", base.pids, g->name));
	cgroup_give_back(&pool, g); /* with its sleepers, for the next test */
}

static void check_what_it_cached(void)
{
	struct cgroup_way way;
	struct cgroup_group *g = cgroup_take(&pool, 200 * MB, 8, &way);
	char name[sizeof g->name];
	memcpy(name, g->name, sizeof name);
	assert_int_equal(run_in(&way, cache_much), 0);
	cgroup_kill(&pool, g);
	cgroup_give_back(&pool, g);
	unlink("/var/tmp/tb-cgroup-cached");
	g = cgroup_take(&pool, 64 * MB, 8, &way);
	assert_string_not_equal(g->name, name);
	assert_int_equal(run_in(&way, do_nothing), 0);
	cgroup_give_back(&pool, g);
}

static void check_nothing_is_left(void)
{
	cgroup_pool_close(&pool);
	assert_true(cgroup_base_remove(&base, 2000)); /* with the sleepers of above */
	assert_false(exists("%s", base.memory));
	assert_false(exists("%s", base.pids));
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	is_open = false;
}

static void test_real_v1(void **state)
{
	(void)state;
	if (!has(CGROUP_V1))
		skip();
	check_memory();
	check_what_it_cached();
	check_processes();
	check_nothing_is_left();
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* One of its processes is too much: all of them go, by the kernel's hand. */
static void check_all_go_together(void)
{
	struct cgroup_way way;
	struct cgroup_group *g = cgroup_take(&pool, 32 * MB, 8, &way);
	assert_non_null(g);
	assert_int_equal(run_in(&way, use_memory_beside_others), 1000 + SIGKILL);
	assert_true(cgroup_ran_out(&pool, g));
	for (int i = 0; i < 400 && *text_of("%s/%s/cgroup.procs", base.memory, g->name);
	     i++)
		usleep(5000);
	assert_string_equal(text_of("%s/%s/cgroup.procs", base.memory, g->name), "");
	cgroup_give_back(&pool, g);
}

static void check_kill(void)
{
	struct cgroup_way way;
	struct cgroup_group *g = cgroup_take(&pool, 64 * MB, 8, &way);
	assert_non_null(g);
	assert_string_equal(text_of("%s/%s/memory.swap.max", base.memory, g->name),
			    "0\n");
	if (base.cpu)
		assert_string_equal(text_of("%s/%s/cpu.max", base.memory, g->name),
				    "200000 100000\n");
	assert_int_equal(run_in(&way, count_processes), 8);
	assert_int_equal(count_lines(text_of("%s/%s/cgroup.procs", base.memory, g->name)),
			 8);
	cgroup_kill(&pool, g);
	for (int i = 0; i < 400 && *text_of("%s/%s/cgroup.procs", base.memory, g->name);
	     i++)
		usleep(5000);
	assert_string_equal(text_of("%s/%s/cgroup.procs", base.memory, g->name), "");
	assert_false(cgroup_ran_out(&pool, g));
	cgroup_give_back(&pool, g);
}

/* What root or an ordinary user may do in a group that was delegated. */
static void test_real_v2(void **state)
{
	struct cgroup_base tried;
	struct cgroup_places before, after;
	(void)state;
	cgroup_find("/proc/self", &before);
	cgroup_base_try(&before, &tried);
	if (!has(CGROUP_V2))
		skip();
	assert_int_equal(tried.kind, CGROUP_V2);
	check_memory();
	check_what_it_cached();
	check_all_go_together();
	check_kill();
	check_processes();
	check_nothing_is_left();
	cgroup_find("/proc/self", &after);
	assert_string_equal(after.unified, before.unified);
	assert_false(exists("%s/terabits-node", before.unified));
	/* And again, with what a node of the past has left. */
	assert_true(has(CGROUP_V2));
	check_nothing_is_left();
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_find),
		CASE(test_v2_base),
		CASE(test_v2_not_ours),
		CASE(test_v2_without_cpu),
		CASE(test_v2_trial),
		CASE(test_v2_groups),
		CASE(test_v2_a_group_that_refuses),
		CASE(test_v2_sweep),
		cmocka_unit_test(test_real_v1),
		cmocka_unit_test(test_real_v2),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
