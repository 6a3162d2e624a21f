/* SPDX-License-Identifier: Apache-2.0
 * write: what it makes and keeps, what it refuses, and that a crash in the middle leaves
 * the old file or the new one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "bed.h"
#include "sandbox/files/files_swap.h"

static mode_t mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(fstatat(ws, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

/* Entries of the workspace itself. */
static int entries(void)
{
	int n = 0, fd = openat(ws, ".", O_RDONLY | O_DIRECTORY);
	DIR *d = fdopendir(fd);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void test_new_files(void **state)
{
	(void)state;
	expect(FILES_TOOL_write, "{\"path\":\"a.txt\",\"content\":\"one\\ntwo\"}",
	       "{\"path\":\"a.txt\",\"bytes\":7,\"lines\":2,\"created\":true}");
	assert_string_equal(got("a.txt"), "one\ntwo");
	assert_int_equal(mode_of("a.txt"), 0644);
	expect(FILES_TOOL_write, "{\"path\":\"x/y/z/b.txt\",\"content\":\"\"}",
	       "{\"path\":\"x/y/z/b.txt\",\"bytes\":0,\"lines\":0,\"created\":true}");
	assert_string_equal(got("x/y/z/b.txt"), "");
	expect(FILES_TOOL_write,
	       "{\"path\":\"/workspace/x/c.txt\",\"content\":\"c\\r\\n\"}",
	       "{\"path\":\"x/c.txt\",\"bytes\":3,\"lines\":1,\"created\":true}");
	assert_string_equal(got("x/c.txt"), "c\r\n");
	assert_int_equal(entries(), 2);
}

static void test_old_files(void **state)
{
	(void)state;
	put("run.sh", "old old");
	assert_int_equal(fchmodat(ws, "run.sh", 04751, 0), 0);
	expect(FILES_TOOL_write, "{\"path\":\"run.sh\",\"content\":\"new\"}",
	       "{\"path\":\"run.sh\",\"bytes\":3,\"lines\":1,\"created\":false,"
	       "\"replaced_bytes\":7}");
	assert_string_equal(got("run.sh"), "new");
	assert_int_equal(mode_of("run.sh"), 0751); /* setuid is not for what is new */
	/* Through links: what they lead to is written, they stay. */
	dir_at("dir");
	link_at("../run.sh", "dir/link");
	link_at("dir/fresh", "dangling");
	ask(FILES_TOOL_write, "{\"path\":\"dir/link\",\"content\":\"linked\"}");
	assert_string_equal(got("run.sh"), "linked");
	expect(FILES_TOOL_write, "{\"path\":\"dangling\",\"content\":\"x\"}",
	       "{\"path\":\"dir/fresh\",\"bytes\":1,\"lines\":1,\"created\":true}");
	struct stat st;
	assert_int_equal(fstatat(ws, "dir/link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(entries(), 3);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *args, *says;
	} cases[] = {
		{"{\"content\":\"x\"}", "write: argument 'path' is missing"},
		{"{\"path\":\"f\"}", "write: argument 'content' is missing"},
		{"{\"path\":\"f\",\"content\":{\"a\":1}}",
		 "write: argument 'content' must be a string, it is an object"},
		{"{\"path\":\"f\",\"content\":\"x\",\"mode\":\"append\"}",
		 "write: there is no argument 'mode'; there are path, content"},
		{"{\"path\":\"\",\"content\":\"x\"}",
		 "write: the workspace is a directory; name a file in it, for example "
		 "./notes.md"},
		{"{\"path\":\"dir\",\"content\":\"x\"}",
		 "write: dir is a directory; name a file in it, for example "
		 "dir/notes.md"},
		{"{\"path\":\"new/\",\"content\":\"x\"}",
		 "write: new would be a directory; name a file in it, for example "
		 "new/notes.md"},
		{"{\"path\":\"new/.\",\"content\":\"x\"}",
		 "write: new would be a directory; name a file in it, for example "
		 "new/notes.md"},
		{"{\"path\":\"f/x\",\"content\":\"x\"}",
		 "write: f is a file, not a directory"},
		{"{\"path\":\"f/\",\"content\":\"x\"}",
		 "write: f is a file, not a directory"},
		{"{\"path\":\"locked\",\"content\":\"x\"}",
		 "write: locked is read-only (mode 0444); it was not changed"},
		{"{\"path\":\"f\",\"content\":\"a\\u0000b\"}",
		 "write: the arguments are not valid JSON: U+0000 in a string cannot be "
		 "stored"},
		{"{\"path\":\"f\",\"content\":\"x\"",
		 "write: the arguments are not valid JSON: unexpected end of data at "
		 "byte "
		 "25"},
		{"",
		 "write: the arguments are not valid JSON: input length is 0 at byte 0"},
	};
	(void)state;
	dir_at("dir");
	put("f", "kept");
	put("locked", "kept");
	assert_int_equal(fchmodat(ws, "locked", 0444, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_error(FILES_TOOL_write, cases[i].args, cases[i].says);
	assert_string_equal(got("f"), "kept");
	assert_string_equal(got("locked"), "kept");
	assert_int_equal(entries(), 3);
}

static void test_too_large(void **state)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	strbuf_add_str(&b, "{\"path\":\"f\",\"content\":\"");
	for (int i = 0; i < (1 << 20); i++)
		strbuf_add_char(&b, 'x');
	strbuf_add_str(&b, "\"}");
	json_t a = ask(FILES_TOOL_write, b.p);
	assert_int_equal(number_of(a, "bytes"), 1 << 20);
	b.n -= 2;
	strbuf_add_str(&b, "x\"}");
	expect_error(
		FILES_TOOL_write, b.p,
		"write: content has 1048577 bytes, a call takes at most 1 MiB; write "
		"a part, then add the rest with edit");
}

/* The limit of a file's size (RLIMIT_FSIZE) is told of; nothing is left behind. */
static void test_limit_of_a_file(void **state)
{
	struct rlimit old, small = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	put("f", "kept");
	strbuf_add_str(&b, "{\"path\":\"f\",\"content\":\"");
	for (int i = 0; i < 1000; i++)
		strbuf_add_char(&b, 'x');
	strbuf_add_str(&b, "\"}");
	signal(SIGXFSZ, SIG_IGN); /* as files_run does */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	ask(FILES_TOOL_write, b.p);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_string_equal(error_of(json_root(doc)),
			    "write: writing of f failed: the file would be larger than a "
			    "file of this workspace may be");
	assert_string_equal(got("f"), "kept");
	assert_int_equal(entries(), 1);
}

/* ---- what is not whole is never seen */

/* A process writes a long text again and again, and is killed in the midst of it, again
 * and again; the file always is one of the two texts, whole. */
static void test_crashes(void **state)
{
	enum { LENGTH = 300000 };
	int rounds = getenv("TB_LONG") ? 300 : 80;
	unsigned changes = 0;
	char last = 'a';
	(void)state;
	char *args[2];
	for (int k = 0; k < 2; k++) {
		struct strbuf b = STRBUF_INIT;
		strbuf_add_str(&b, "{\"path\":\"dir/f\",\"content\":\"");
		for (int i = 0; i < LENGTH; i++)
			strbuf_add_char(&b, (char)('a' + k));
		strbuf_add_str(&b, "\"}");
		args[k] = b.p;
	}
	dir_at("dir");
	ask(FILES_TOOL_write, args[0]);
	for (int round = 0; round < rounds; round++) {
		int ready[2], how;
		char byte;
		assert_int_equal(pipe(ready), 0);
		pid_t pid = fork();
		if (pid == 0) {
			for (unsigned i = 1;; i++) {
				struct strbuf out = STRBUF_INIT;
				if (write(ready[1], "", 1) != 1)
					_exit(1);
				files_answer(FILES_TOOL_write, ws, slice_str(args[i % 2]),
					     &out);
			}
		}
		close(ready[1]);
		for (int i = 0; i < 1 + round % 3; i++)
			assert_int_equal(read(ready[0], &byte, 1), 1);
		usleep((useconds_t)(round * 613 % 3000)); /* anywhere within a write */
		kill(pid, SIGKILL);
		waitpid(pid, &how, 0);
		close(ready[0]);
		const char *text = got("dir/f");
		assert_int_equal(strlen(text), LENGTH);
		assert_int_equal(strspn(text, text[0] == 'a' ? "a" : "b"), LENGTH);
		changes += text[0] != last;
		last = text[0];
	}
	assert_true(changes > 3);
	/* What crashes left is taken away by the next write. */
	ask(FILES_TOOL_write, args[0]);
	int fd = openat(ws, "dir", O_RDONLY | O_DIRECTORY), n = 0;
	DIR *d = fdopendir(fd);
	while (readdir(d))
		n++;
	closedir(d);
	assert_int_equal(n, 3);
	free(args[0]);
	free(args[1]);
}

/* Each of the two readers' looks finds a whole file while it is replaced. */
static void test_readers_see_whole_files(void **state)
{
	int how, writes = getenv("TB_LONG") ? 2000 : 500;
	(void)state;
	put("f", "aaaaaaaaaa");
	pid_t pid = fork();
	if (pid == 0) {
		struct strbuf out = STRBUF_INIT;
		for (int i = 0; i < writes; i++)
			files_answer(FILES_TOOL_write, ws,
				     slice_str(i % 2 ? "{\"path\":\"f\",\"content\":"
						       "\"aaaaaaaaaa\"}"
						     : "{\"path\":\"f\",\"content\":"
						       "\"bbb\"}"),
				     &out);
		_exit(0);
	}
	unsigned seen[2] = {0, 0};
	while (waitpid(pid, &how, WNOHANG) == 0) {
		const char *text = got("f");
		bool b = strcmp(text, "bbb") == 0;
		if (!b)
			assert_string_equal(text, "aaaaaaaaaa");
		seen[b]++;
	}
	assert_true(WIFEXITED(how) && seen[0] && seen[1]);
}

/* ---- calls at the same time */

static void test_two_edits_at_once_lose_nothing(void **state)
{
	enum { CALLS = 100 };
	pid_t pids[4];
	(void)state;
	put("f", "start\nend\n");
	for (size_t k = 0; k < ARRAY_LEN(pids); k++) {
		pids[k] = fork();
		if (pids[k])
			continue;
		for (int i = 0; i < CALLS; i++) {
			struct strbuf out = STRBUF_INIT;
			files_answer(FILES_TOOL_edit, ws,
				     SLICE("{\"path\":\"f\",\"old_text\":\"end\\n\","
					   "\"new_text\":\"line\\nend\\n\"}"),
				     &out);
			if (strstr(out.p, "error"))
				_exit(1);
			strbuf_fini(&out);
		}
		_exit(0);
	}
	for (size_t k = 0; k < ARRAY_LEN(pids); k++) {
		int how;
		waitpid(pids[k], &how, 0);
		assert_int_equal(how, 0);
	}
	json_t a = ask(FILES_TOOL_read, "{\"path\":\"f\",\"lines\":1}");
	assert_int_equal(number_of(a, "total_lines"), 2 + 4 * CALLS);
}

/* By the functions: what happens between begin and commit. */
static void test_changed_meanwhile(void **state)
{
	struct files_path p;
	struct files_why why;
	struct files_swap s;
	(void)state;
	dir_at("d");
	put("d/f", "old");
	assert_true(files_path_find(ws, SLICE("d/f"), &p, &why));
	assert_true(files_swap_begin(&s, &p, &why));
	assert_true(files_swap_put(&s, SLICE("new"), &why));
	put("d/f", "somebody else's");
	assert_false(files_swap_commit(&s, &why));
	assert_string_equal(why.text,
			    "d/f was changed by somebody else meanwhile; read it again");
	files_swap_end(&s);
	assert_string_equal(got("d/f"), "somebody else's");
	/* The directory moves to where nothing may be written. */
	dir_at(".git");
	assert_true(files_path_find(ws, SLICE("d/f"), &p, &why));
	assert_true(files_swap_begin(&s, &p, &why));
	assert_true(files_swap_put(&s, SLICE("new"), &why));
	assert_int_equal(renameat(ws, "d", ws, ".git/hooks"), 0);
	assert_false(files_swap_commit(&s, &why));
	files_swap_end(&s);
	assert_string_equal(got(".git/hooks/f"), "somebody else's");
	/* A new file that somebody else made first. */
	assert_true(files_path_find(ws, SLICE("fresh"), &p, &why));
	assert_true(files_swap_begin(&s, &p, &why));
	assert_true(files_swap_put(&s, SLICE("new"), &why));
	put("fresh", "first");
	assert_false(files_swap_commit(&s, &why));
	files_swap_end(&s);
	assert_string_equal(got("fresh"), "first");
	assert_int_equal(entries(), 2);
}

static void test_busy(void **state)
{
	struct files_path p;
	struct files_why why;
	struct files_swap s;
	(void)state;
	put("f", "old");
	assert_true(files_path_find(ws, SLICE("f"), &p, &why));
	assert_true(files_swap_begin(&s, &p, &why));
	char says[200];
	snprintf(says, sizeof says,
		 "write: another call is writing f (its %s is locked); try again",
		 s.temp);
	expect_error(FILES_TOOL_write, "{\"path\":\"f\",\"content\":\"x\"}", says);
	files_swap_end(&s);
	ask(FILES_TOOL_write, "{\"path\":\"f\",\"content\":\"x\"}");
	assert_string_equal(got("f"), "x");
}

/* What somebody planted under the temporary name is not written through. */
static void test_planted_temporary_names(void **state)
{
	struct files_path p;
	struct files_why why;
	struct files_swap s;
	char temp[64];
	(void)state;
	dir_at(".git");
	put(".git/config", "[core]");
	assert_true(files_path_find(ws, SLICE("f"), &p, &why));
	assert_true(files_swap_begin(&s, &p, &why));
	snprintf(temp, sizeof temp, "%s", s.temp);
	files_swap_end(&s);
	for (int i = 0; i < 4; i++) {
		if (i == 0)
			link_at("../secret", temp);
		else if (i == 1)
			link_at(".git/config", temp);
		else if (i == 2)
			assert_int_equal(linkat(ws, ".git/config", ws, temp, 0), 0);
		else
			assert_int_equal(mkfifoat(ws, temp, 0666), 0);
		char args[80], text[8];
		snprintf(text, sizeof text, "%d", i);
		snprintf(args, sizeof args, "{\"path\":\"f\",\"content\":\"%s\"}", text);
		json_t a = ask(FILES_TOOL_write, args);
		if (json_get(a, "error"))
			fail_msg("%d: %s", i, said.p);
		assert_string_equal(got("f"), text);
		assert_string_equal(got(".git/config"), "[core]");
	}
	assert_int_equal(entries(), 2);
}

/* ---- a workspace that is full */

static void write_word(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(77);
	close(fd);
}

/* In a file system of 64 KiB and 8 files, of a mount namespace of its own: of this
 * process, which is a child. Exit 77: it may make none here. */
static void ask_in_small_place(const char *args, int out)
{
	char uids[40], gids[40];
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	snprintf(uids, sizeof uids, "0 %d 1", (int)getuid());
	snprintf(gids, sizeof gids, "0 %d 1", (int)getgid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		_exit(77);
	write_word("/proc/self/setgroups", "deny");
	write_word("/proc/self/uid_map", uids);
	write_word("/proc/self/gid_map", gids);
	if (mount("none", base, "tmpfs", 0, "size=64k,nr_inodes=8,mode=755"))
		_exit(77);
	int root = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	files_answer(FILES_TOOL_write, root, slice_str(args), &b);
	if (write(out, b.p, b.n) != (ssize_t)b.n)
		_exit(1);
	_exit(0);
}

/* It has a word of its own, and says how much of how much is used. */
static void test_no_room(void **state)
{
	static char args[200100], answer[2000];
	int ends[2], status;
	(void)state;
	snprintf(args, sizeof args, "{\"path\":\"d/f\",\"content\":\"%0200000d\"}", 0);
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		ask_in_small_place(args, ends[1]);
	close(ends[1]);
	ssize_t n = read(ends[0], answer, sizeof answer - 1);
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(n > 0);
	assert_string_equal(
		answer,
		"{\"error\":\"write: writing of d/f failed: the workspace is full, 65536 "
		"of "
		"65536 bytes and 3 of 8 files are used; remove what is not needed\","
		"\"code\":\"quota\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_new_files),
		CASE(test_old_files),
		CASE(test_refusals),
		CASE(test_too_large),
		CASE(test_limit_of_a_file),
		CASE(test_crashes),
		CASE(test_readers_see_whole_files),
		CASE(test_two_edits_at_once_lose_nothing),
		CASE(test_changed_meanwhile),
		CASE(test_busy),
		CASE(test_planted_temporary_names),
		CASE(test_no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
