/* SPDX-License-Identifier: Apache-2.0
 * Paths: a corpus of spellings through every tool, special files, links of both kinds,
 * and a process that swaps directories for links while ten thousand reads go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "bed.h"
#include "sandbox/files/files_path.h"

#define OK NULL

/* The tree that the corpus is about. */
static void make_tree(void)
{
	char outside[96];
	dir_at("dir");
	dir_at("dir/sub");
	put("a.txt", "A");
	put("dir/b.txt", "B");
	put("dir/sub/c.txt", "C");
	put("...", "dots");
	put(" ", "blank");
	put("-rf", "dash");
	put("~", "tilde");
	put("gr\xc3\xbc\xc3\x9f"
	    "e.md",
	    "gruss");
	put("\xe6\x97\xa5\xe6\x9c\xac.md", "nihon");
	put("a\\b", "backslash");
	put("star*?[x]", "star");
	link_at("a.txt", "to_file");
	link_at("dir", "to_dir");
	link_at("dir/", "to_dir_slash");
	link_at("../a.txt", "dir/up");
	link_at("/workspace/dir", "to_abs");
	link_at("/workspace", "to_root");
	link_at("to_dir/sub", "chain");
	link_at("chain/../b.txt", "chain_up");
	link_at("loop2", "loop1");
	link_at("loop1", "loop2");
	link_at(".", "here");
	link_at("missing-target", "dangling");
	link_at("../secret", "out_rel");
	link_at("dir/../../secret", "out_sneaky");
	link_at("/etc/passwd", "out_abs");
	link_at("/workspace/../etc/passwd", "out_abs_up");
	link_at("/workspacex/a", "out_like");
	link_at("/proc/self/root", "out_proc");
	link_at("/proc/self/cwd/../secret", "out_cwd");
	link_at("out_dir/secret", "out_chain");
	snprintf(outside, sizeof outside, "%s/outside", base);
	link_at(outside, "out_dir");
}

static const struct {
	const char *path;
	const char *text; /* what a read shows; OK with text, else the error */
	const char *error;
} corpus[] = {
	{"a.txt", "A\n", OK},
	{"./a.txt", "A\n", OK},
	{"././/./a.txt", "A\n", OK},
	{"/workspace/a.txt", "A\n", OK},
	{"//workspace//a.txt", "A\n", OK},
	{"/workspace/./dir/b.txt", "B\n", OK},
	{"dir//b.txt", "B\n", OK},
	{"dir/../a.txt", "A\n", OK},
	{"dir/sub/../../a.txt", "A\n", OK},
	{"...", "dots\n", OK},
	{" ", "blank\n", OK},
	{"-rf", "dash\n", OK},
	{"~", "tilde\n", OK},
	{"gr\xc3\xbc\xc3\x9f"
	 "e.md",
	 "gruss\n", OK},
	{"\xe6\x97\xa5\xe6\x9c\xac.md", "nihon\n", OK},
	{"a\\b", "backslash\n", OK},
	{"star*?[x]", "star\n", OK},
	{"to_file", "A\n", OK},
	{"to_dir/b.txt", "B\n", OK},
	{"to_dir_slash/b.txt", "B\n", OK},
	{"dir/up", "A\n", OK},
	{"to_dir/up", "A\n", OK},
	{"to_abs/b.txt", "B\n", OK},
	{"to_root/to_root/dir/b.txt", "B\n", OK},
	{"here/here/here/a.txt", "A\n", OK},
	{"chain/c.txt", "C\n", OK},
	/* '..' goes up from where a link led, as the kernel has it */
	{"chain/../b.txt", "B\n", OK},
	{"chain_up", "B\n", OK},
	{"to_dir/../a.txt", "A\n", OK},
	/* out of the workspace */
	{"..", NULL,
	 "read: .. leads out of the workspace through '..'; only what is in the "
	 "workspace can be reached"},
	{"../secret", NULL,
	 "read: ../secret leads out of the workspace through '..'; only what is in the "
	 "workspace can be reached"},
	{"dir/../../secret", NULL,
	 "read: dir/../../secret leads out of the workspace through '..'; only what is "
	 "in the workspace can be reached"},
	{"chain/../../../secret", NULL,
	 "read: chain/../../../secret leads out of the workspace through '..'; only "
	 "what is in the workspace can be reached"},
	{"../ws/a.txt", NULL,
	 "read: ../ws/a.txt leads out of the workspace through '..'; only what is in "
	 "the workspace can be reached"},
	{"/workspace/../etc/passwd", NULL,
	 "read: /workspace/../etc/passwd leads out of the workspace through '..'; only "
	 "what is in the workspace can be reached"},
	{"/etc/passwd", NULL,
	 "read: /etc/passwd is outside of the workspace; paths start there, for example "
	 "notes/a.md or /workspace/notes/a.md"},
	{"/", NULL,
	 "read: / is outside of the workspace; paths start there, for example "
	 "notes/a.md or /workspace/notes/a.md"},
	{"/workspacex/a", NULL,
	 "read: /workspacex/a is outside of the workspace; paths start there, for "
	 "example notes/a.md or /workspace/notes/a.md"},
	{"/./workspace/a.txt", NULL,
	 "read: /./workspace/a.txt is outside of the workspace; paths start there, for "
	 "example notes/a.md or /workspace/notes/a.md"},
	{"/proc/self/cwd/passwd", NULL,
	 "read: /proc/self/cwd/passwd is outside of the workspace; paths start "
	 "there, for example notes/a.md or /workspace/notes/a.md"},
	{"out_rel", NULL,
	 "read: out_rel leads out of the workspace through '..'; only what is in the "
	 "workspace can be reached"},
	{"out_sneaky", NULL,
	 "read: out_sneaky leads out of the workspace through '..'; only what is in the "
	 "workspace can be reached"},
	{"out_abs", NULL,
	 "read: out_abs leads out of the workspace through a symbolic link; only what is "
	 "in the workspace can be reached"},
	{"out_abs_up", NULL,
	 "read: out_abs_up leads out of the workspace through '..'; only what is in the "
	 "workspace can be reached"},
	{"out_like", NULL,
	 "read: out_like leads out of the workspace through a symbolic link; only what "
	 "is in the workspace can be reached"},
	{"out_proc", NULL,
	 "read: out_proc leads out of the workspace through a symbolic link; only what "
	 "is in the workspace can be reached"},
	{"out_proc/etc/passwd", NULL,
	 "read: out_proc/etc/passwd leads out of the workspace through a symbolic link; "
	 "only what is in the workspace can be reached"},
	{"out_cwd", NULL,
	 "read: out_cwd leads out of the workspace through a symbolic link; only what is "
	 "in the workspace can be reached"},
	{"out_chain", NULL,
	 "read: out_chain leads out of the workspace through a symbolic link; only what "
	 "is in the workspace can be reached"},
	{"out_dir/secret", NULL,
	 "read: out_dir/secret leads out of the workspace through a symbolic link; only "
	 "what is in the workspace can be reached"},
	{"to_root/../secret", NULL,
	 "read: to_root/../secret leads out of the workspace through '..'; only what is "
	 "in the workspace can be reached"},
	/* what is no file */
	{"", NULL,
	 "read: the workspace is a directory, not a file; list_directory shows what it "
	 "holds"},
	{".", NULL,
	 "read: the workspace is a directory, not a file; list_directory shows what it "
	 "holds"},
	{"/workspace", NULL,
	 "read: the workspace is a directory, not a file; list_directory shows what it "
	 "holds"},
	{"/workspace/", NULL,
	 "read: the workspace is a directory, not a file; list_directory shows what it "
	 "holds"},
	{"dir", NULL,
	 "read: dir is a directory, not a file; list_directory shows what it holds"},
	{"to_dir/", NULL,
	 "read: dir is a directory, not a file; list_directory shows what it holds"},
	{"a.txt/", NULL, "read: a.txt is a file, not a directory"},
	{"to_file/", NULL, "read: a.txt is a file, not a directory"},
	{"a.txt/.", NULL, "read: a.txt is a file, not a directory"},
	{"a.txt/..", NULL, "read: a.txt is a file, not a directory"},
	{"a.txt/x", NULL, "read: a.txt is a file, not a directory"},
	{"loop1", NULL, "read: loop1 goes in circles through symbolic links"},
	{"loop1/x", NULL, "read: loop1/x goes in circles through symbolic links"},
	/* what is not there */
	{"dangling", NULL,
	 "read: there is no missing-target; list_directory shows what the workspace "
	 "holds"},
	{"a.txxt", NULL, "read: there is no a.txxt; the workspace holds a similar a.txt"},
	{"dir/zzz", NULL,
	 "read: there is no dir/zzz; list_directory shows what dir holds"},
	{"qqq/www/a.txt", NULL,
	 "read: there is no qqq/www/a.txt: the workspace has no directory qqq"},
	{"dir/qqq/a.txt", NULL,
	 "read: there is no dir/qqq/a.txt: dir has no directory qqq"},
	{"qqq/../a.txt", NULL, "read: there is no directory qqq to go up from with '..'"},
	/* names that are none */
	{"a\nb", NULL,
	 "read: the path holds a control character (a line break, perhaps); write the "
	 "plain name"},
	{"a\x7f", NULL,
	 "read: the path holds a control character (a line break, perhaps); write the "
	 "plain name"},
	{"a\xc2\x85", NULL,
	 "read: the path holds a control character (a line break, perhaps); write the "
	 "plain name"},
	{"\x1b[2J", NULL,
	 "read: the path holds a control character (a line break, perhaps); write the "
	 "plain name"},
};

static void test_corpus(void **state)
{
	(void)state;
	make_tree();
	for (size_t i = 0; i < ARRAY_LEN(corpus); i++) {
		json_t a = ask_path(FILES_TOOL_read, slice_str(corpus[i].path), "");
		const char *want = corpus[i].text ? corpus[i].text : corpus[i].error;
		if (strcmp(text_of(a), want) != 0)
			fail_msg("%s\n  said %s\n  not  %s", corpus[i].path, text_of(a),
				 want);
	}
}

/* The same spellings through the other tools: none shows or changes what is outside
 * (bed.h looks at each answer and at the secret afterwards), each refuses the same. */
static void test_corpus_through_every_tool(void **state)
{
	static const struct {
		enum files_tool tool;
		const char *more;
	} ways[] = {
		{FILES_TOOL_write, ",\"content\":\"overwritten\""},
		{FILES_TOOL_edit, ",\"old_text\":\"canary\",\"new_text\":\"bird\""},
		{FILES_TOOL_list_directory, ",\"depth\":9,\"all\":true,\"hidden\":true"},
		{FILES_TOOL_list_directory, ",\"contains\":\"canary\",\"all\":true"},
	};
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(ways); k++) {
		make_tree();
		for (size_t i = 0; i < ARRAY_LEN(corpus); i++) {
			const char *e = corpus[i].error;
			json_t a = ask_path(ways[k].tool, slice_str(corpus[i].path),
					    ways[k].more);
			if (!e || !(strstr(e, "leads out") || strstr(e, "outside of") ||
				    strstr(e, "circles") || strstr(e, "control")))
				continue;
			e += strlen("read: ");
			size_t n = strlen(files_tool_name(ways[k].tool)) + 2;
			if (strlen(error_of(a)) < n || strcmp(error_of(a) + n, e) != 0)
				fail_msg("%s\n  said %s\n  not  %s", corpus[i].path,
					 said.p, e);
		}
		teardown(NULL);
		setup(NULL);
	}
}

/* By the functions: JSON cannot carry these. */
static void test_bytes_that_are_no_path(void **state)
{
	struct files_path p;
	struct files_why why;
	(void)state;
	assert_false(files_path_find(ws, slice_of("a\0b", 3), &p, &why));
	assert_string_equal(why.text, "the path holds U+0000, which no name may have");
	assert_false(files_path_find(ws,
				     SLICE("a\xff"
					   "b"),
				     &p, &why));
	assert_string_equal(why.text, "the path is no valid UTF-8");
	assert_false(files_path_find(ws, SLICE("\xed\xa0\x80"), &p, &why));
	assert_string_equal(why.text, "the path is no valid UTF-8");
	assert_false(files_path_find(ws, SLICE("\xc0\xae\xc0\xae/secret"), &p, &why));
	assert_string_equal(why.text, "the path is no valid UTF-8");
}

static void test_long_paths(void **state)
{
	char path[5000];
	(void)state;
	memset(path, 'n', sizeof path);
	json_t a = ask_path(FILES_TOOL_read, slice_of(path, 255), "");
	assert_non_null(strstr(error_of(a), "read: there is no nnn"));
	a = ask_path(FILES_TOOL_read, slice_of(path, 256), "");
	assert_string_equal(error_of(a),
			    "read: the path has a name of 256 bytes "
			    "(\"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...\"), at most "
			    "255 are possible");
	a = ask_path(FILES_TOOL_write, slice_of(path, 255), ",\"content\":\"long\"");
	assert_true(json_bool(json_get(a, "created"), false));
	a = ask_path(FILES_TOOL_read, slice_of(path, 255), "");
	assert_string_equal(text_of(a), "long\n");
	for (size_t i = 0; i < sizeof path; i++)
		path[i] = i % 2 ? '/' : 'd';
	a = ask_path(FILES_TOOL_write, slice_of(path, 199), ",\"content\":\"deep\"");
	assert_true(json_bool(json_get(a, "created"), false));
	a = ask_path(FILES_TOOL_write, slice_of(path, 201), ",\"content\":\"deep\"");
	assert_string_equal(error_of(a), "write: the path has more than 100 parts; use a "
					 "shorter one");
	for (size_t i = 0; i < sizeof path; i++)
		path[i] = i % 200 == 199 ? '/' : 'x';
	a = ask_path(FILES_TOOL_read, slice_of(path, 4096), "");
	assert_string_equal(error_of(a),
			    "read: the path has 4096 bytes, at most 4095 are possible");
	a = ask_path(FILES_TOOL_write, slice_of(path, 4095), ",\"content\":\"far\"");
	assert_true(json_bool(json_get(a, "created"), false));
	a = ask_path(FILES_TOOL_read, slice_of(path, 4095), "");
	assert_string_equal(text_of(a), "far\n");
	/* Through a link that adds ten names to fifteen. */
	char target[2000];
	memcpy(target, path, 1999);
	target[1999] = 0;
	link_at(target, "l");
	memmove(path + 2, path, 2999);
	memcpy(path, "l/", 2);
	a = ask_path(FILES_TOOL_read, slice_of(path, 3001), "");
	AUTO(strbuf_fini) struct strbuf says = STRBUF_INIT;
	strbuf_printf(&says,
		      "read: %.200s leads, through links, to a path that is too long",
		      path);
	assert_string_equal(error_of(a), says.p);
}

static void test_special_files(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[96];
	(void)state;
	assert_int_equal(mkfifoat(ws, "pipe", 0666), 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s/ws/socket", base);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof address), 0);
	snprintf(path, sizeof path, "%s/ws/device", base);
	bool device = mknod(path, S_IFCHR | 0666, makedev(1, 5)) == 0; /* as root only */
	static const struct {
		const char *name, *kind;
	} specials[] = {
		{"pipe", "a pipe"}, {"socket", "a socket"}, {"device", "a device"}};
	for (size_t i = 0; i < ARRAY_LEN(specials) - !device; i++) {
		char args[200], says[200];
		snprintf(args, sizeof args, "{\"path\":\"%s\"}", specials[i].name);
		snprintf(says, sizeof says, "read: %s is %s, not a file",
			 specials[i].name, specials[i].kind);
		expect_error(FILES_TOOL_read, args, says);
		snprintf(says, sizeof says, "list_directory: %s is %s, not a directory",
			 specials[i].name, specials[i].kind);
		expect_error(FILES_TOOL_list_directory, args, says);
		snprintf(args, sizeof args, "{\"path\":\"%s\",\"content\":\"x\"}",
			 specials[i].name);
		snprintf(says, sizeof says, "write: %s is %s, not a file",
			 specials[i].name, specials[i].kind);
		expect_error(FILES_TOOL_write, args, says);
		snprintf(args, sizeof args,
			 "{\"path\":\"%s\",\"old_text\":\"x\",\"new_text\":\"\"}",
			 specials[i].name);
		snprintf(says, sizeof says, "edit: %s is %s, not a file",
			 specials[i].name, specials[i].kind);
		expect_error(FILES_TOOL_edit, args, says);
	}
	/* A search goes past them. */
	json_t a = ask(FILES_TOOL_list_directory, "{\"contains\":\"x\"}");
	assert_int_equal(number_of(a, "files_searched"), 0);
	close(s);
}

/* A hard link is a file of the workspace: it can be read; what is written there takes
 * its name and leaves the other name what it has. */
static void test_hard_links(void **state)
{
	(void)state;
	put("one", "same");
	dir_at(".git");
	put(".git/config", "[core]");
	assert_int_equal(linkat(ws, "one", ws, "two", 0), 0);
	assert_int_equal(linkat(ws, ".git/config", ws, "innocent", 0), 0);
	assert_string_equal(text_of(ask(FILES_TOOL_read, "{\"path\":\"two\"}")),
			    "same\n");
	ask(FILES_TOOL_write, "{\"path\":\"two\",\"content\":\"other\"}");
	assert_string_equal(got("one"), "same");
	assert_string_equal(got("two"), "other");
	ask(FILES_TOOL_write, "{\"path\":\"innocent\",\"content\":\"[alias]\"}");
	assert_string_equal(got(".git/config"), "[core]");
	ask(FILES_TOOL_edit,
	    "{\"path\":\"innocent\",\"old_text\":\"alias\",\"new_text\":\"core\"}");
	assert_string_equal(got(".git/config"), "[core]");
	assert_string_equal(got("innocent"), "[core]");
}

/* ---- races */

/* What the swapper exchanges with one rename each: a name that is now harmless, now
 * leads to the secret. */
static void swap_for_ever(const char *a, const char *b, _Atomic uint64_t *swaps)
{
	for (;;) {
		if (renameat2(ws, a, ws, b, RENAME_EXCHANGE))
			_exit(1);
		atomic_fetch_add(swaps, 1);
	}
}

static pid_t start_swapper(const char *a, const char *b, _Atomic uint64_t *swaps)
{
	atomic_store(swaps, 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		swap_for_ever(a, b, swaps);
	while (!atomic_load(swaps))
		sched_yield();
	return pid;
}

static void stop_swapper(pid_t pid)
{
	int how;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &how, 0), pid);
	assert_true(WIFSIGNALED(how));
}

/* Where there is time; else a third. */
#define READS 10000

static void read_while_swapping(const char *a, const char *b, const char *path)
{
	_Atomic uint64_t *swaps = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned inside = 0, refused = 0;
	const unsigned reads = getenv("TB_LONG") ? READS : READS / 3;
	char args[100];
	assert_true(swaps != MAP_FAILED);
	snprintf(args, sizeof args, "{\"path\":\"%s\"}", path);
	pid_t pid = start_swapper(a, b, swaps);
	/* A swapper that got no processor for a while leaves it one way: go on then. */
	for (unsigned i = 0; i < reads || !inside || !refused; i++) {
		json_t answer = ask(FILES_TOOL_read, args); /* looks for the canary */
		const char *text = json_cstr(json_get(answer, "text"), NULL);
		if (text) {
			assert_string_equal(text, "harmless\n");
			inside++;
		} else {
			refused++;
		}
	}
	stop_swapper(pid);
	print_message("%s: %u read, %u refused, %llu swaps\n", path, inside, refused,
		      (unsigned long long)atomic_load(swaps));
	munmap(swaps, 4096);
}

static void test_a_directory_becomes_a_link(void **state)
{
	char outside[96];
	(void)state;
	dir_at("real");
	put("real/secret", "harmless");
	snprintf(outside, sizeof outside, "%s/outside", base);
	link_at(outside, "evil");
	read_while_swapping("real", "evil", "real/secret");
}

static void test_a_file_becomes_a_link(void **state)
{
	(void)state;
	put("file", "harmless");
	link_at("../secret", "evil");
	read_while_swapping("file", "evil", "file");
}

/* A pipe that nobody writes to does not hold a reader up. */
static void test_a_file_becomes_a_pipe(void **state)
{
	(void)state;
	put("file", "harmless");
	assert_int_equal(mkfifoat(ws, "pipe", 0666), 0);
	alarm(100);
	read_while_swapping("file", "pipe", "file");
	alarm(0);
}

/* Writing, while the directory becomes a link to .git/hooks or out. */
static void test_writes_while_swapping(void **state)
{
	static const char *const targets[] = {".git/hooks", "../outside"};
	_Atomic uint64_t *swaps = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	(void)state;
	dir_at(".git");
	dir_at(".git/hooks");
	dir_at("real");
	for (size_t k = 0; k < ARRAY_LEN(targets); k++) {
		unsigned done = 0;
		link_at(targets[k], "evil");
		pid_t pid = start_swapper("real", "evil", swaps);
		for (unsigned i = 0; i < 1000 || !done; i++) {
			json_t a = ask(FILES_TOOL_write,
				       "{\"path\":\"real/hook\",\"content\":\"x\"}");
			done += !json_get(a, "error");
		}
		stop_swapper(pid);
		assert_string_equal(got(".git/hooks/hook"), "(none)");
		assert_string_equal(got("../outside/hook"), "(none)");
		struct stat st;
		bool swapped = fstatat(ws, "evil", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			       S_ISDIR(st.st_mode);
		if (swapped)
			assert_int_equal(
				renameat2(ws, "real", ws, "evil", RENAME_EXCHANGE), 0);
		assert_int_equal(unlinkat(ws, "evil", 0), 0);
	}
	munmap(swaps, 4096);
}

/* No descriptor is left over, whatever happened. */
static void test_no_descriptor_leaks(void **state)
{
	(void)state;
	make_tree();
	int before = dup(0);
	close(before);
	for (size_t i = 0; i < ARRAY_LEN(corpus); i++)
		for (int tool = 0; tool < FILES_TOOL__COUNT; tool++)
			ask_path((enum files_tool)tool, slice_str(corpus[i].path),
				 tool == FILES_TOOL_write  ? ",\"content\":\"A\""
				 : tool == FILES_TOOL_edit ? ",\"old_text\":\"A\","
							     "\"new_text\":\"B\""
							   : "");
	int after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_corpus),
		CASE(test_corpus_through_every_tool),
		CASE(test_bytes_that_are_no_path),
		CASE(test_long_paths),
		CASE(test_special_files),
		CASE(test_hard_links),
		CASE(test_a_directory_becomes_a_link),
		CASE(test_a_file_becomes_a_link),
		CASE(test_a_file_becomes_a_pipe),
		CASE(test_writes_while_swapping),
		CASE(test_no_descriptor_leaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
