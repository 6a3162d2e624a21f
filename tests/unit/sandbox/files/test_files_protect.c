/* SPDX-License-Identifier: Apache-2.0
 * Protected paths: every spelling of them, there or not yet, is refused by each tool that
 * writes, and nothing is made on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bed.h"
#include "sandbox/files/files_protect.h"

#define GIT                                                                              \
	"git's own files, whose hooks and settings run programs; only git changes them"

/* Spellings of what is protected; real: the path that the sentence names. */
static const struct {
	const char *path, *real, *why;
} spellings[] = {
	{".git/hooks/pre-commit", ".git/hooks/pre-commit", GIT},
	{".git/config", ".git/config", GIT},
	{"./.git/config", ".git/config", GIT},
	{"/workspace/.git/config", ".git/config", GIT},
	{"//workspace//.git//config", ".git/config", GIT},
	{"dir/../.git/config", ".git/config", GIT},
	{".git/../.git/config", ".git/config", GIT},
	{".GIT/config", ".GIT/config", GIT},
	{".Git/hooks/post-checkout", ".Git/hooks/post-checkout", GIT},
	{".git./config", ".git./config", GIT},
	{".git /config", ".git /config", GIT},
	{".git . ./config", ".git . ./config", GIT},
	{".git::$INDEX_ALLOCATION/config", ".git::$INDEX_ALLOCATION/config", GIT},
	{".g\xe2\x80\x8cit/config", ".g\xe2\x80\x8cit/config", GIT},
	{"\xef\xbb\xbf.git/config", "\xef\xbb\xbf.git/config", GIT},
	{"GIT~1/config", "GIT~1/config", "it is another name of .git"},
	{"dir/.git", "dir/.git", GIT}, /* a file that says where git's directory is */
	{"dir/.git/hooks/x", "dir/.git/hooks/x", GIT},
	{".git/modules/m/config", ".git/modules/m/config", GIT},
	{".git/worktrees/w/config.worktree", ".git/worktrees/w/config.worktree", GIT},
	{"to_git/config", ".git/config", GIT},
	{"to_hooks/pre-commit", ".git/hooks/pre-commit", GIT},
	{"to_config", ".git/config", GIT},
	{"to_abs/config", ".git/config", GIT},
	{"dir/to_up", ".git/config", GIT},
	{"to_git/../.git/config", ".git/config", GIT},
	{".terabits/policy.json", ".terabits/policy.json",
	 "the runtime's policy lies there"},
	{".TeraBits/policy.json", ".TeraBits/policy.json",
	 "the runtime's policy lies there"},
	{".terabit\xc5\xbf/policy.json", ".terabit\xc5\xbf/policy.json",
	 "the runtime's policy lies there"},
	{".tb-write-00", ".tb-write-00",
	 "names that begin with .tb-write- are those of files being written"},
};

static void make_links(bool with_git)
{
	dir_at("dir");
	if (with_git) {
		dir_at(".git");
		dir_at(".git/hooks");
		put(".git/config", "[core]");
		put(".git/hooks/pre-commit", "exit 0");
	}
	link_at(".git", "to_git");
	link_at(".git/hooks", "to_hooks");
	link_at("to_git/config", "to_config");
	link_at("/workspace/.git", "to_abs");
	link_at("../.git/config", "dir/to_up");
}

static void check_all(bool with_git)
{
	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		AUTO(strbuf_fini) struct strbuf says = STRBUF_INIT;
		bool up = strstr(spellings[i].path, "git/../") != NULL;
		if (up && !with_git) /* there is no way up from what is not there */
			continue;
		strbuf_printf(&says, "write: %s is protected: %s", spellings[i].real,
			      spellings[i].why);
		json_t a = ask_path(FILES_TOOL_write, slice_str(spellings[i].path),
				    ",\"content\":\"evil\"");
		if (strcmp(error_of(a), says.p) != 0)
			fail_msg("%s\n  said %s\n  not  %s", spellings[i].path, said.p,
				 says.p);
	}
}

static void test_what_is_not_there_yet(void **state)
{
	struct stat st;
	(void)state;
	make_links(false);
	check_all(false);
	assert_int_equal(fstatat(ws, ".git", &st, 0), -1);
	assert_int_equal(fstatat(ws, "dir/.git", &st, 0), -1);
	assert_int_equal(fstatat(ws, ".terabits", &st, 0), -1);
}

static void test_what_is_there(void **state)
{
	(void)state;
	make_links(true);
	check_all(true);
	assert_string_equal(got(".git/config"), "[core]");
	assert_string_equal(got(".git/hooks/pre-commit"), "exit 0");
}

static void test_edit(void **state)
{
	(void)state;
	make_links(true);
	expect_error(FILES_TOOL_edit,
		     "{\"path\":\"to_config\",\"old_text\":\"core\",\"new_text\":\"x\"}",
		     "edit: .git/config is protected: " GIT);
	expect_error(FILES_TOOL_edit,
		     "{\"path\":\"to_hooks/pre-commit\",\"old_text\":\"exit 0\","
		     "\"new_text\":\"rm\"}",
		     "edit: .git/hooks/pre-commit is protected: " GIT);
	assert_string_equal(got(".git/config"), "[core]");
}

/* They may be read. */
static void test_reading(void **state)
{
	(void)state;
	make_links(true);
	assert_string_equal(text_of(ask(FILES_TOOL_read, "{\"path\":\"to_config\"}")),
			    "[core]\n");
}

/* Names that only look alike. */
static void test_names_that_are_free(void **state)
{
	static const char *const free_names[] = {".gitignore",
						 ".github/workflows/x.yml",
						 "git/config",
						 "x.git/config",
						 ".gita",
						 "gi/t",
						 ".git-blame",
						 "hooks/pre-commit",
						 ".terabits2/x",
						 "a.git",
						 ".git.d/x",
						 "git~2/config",
						 ".\xc4\xa3it/conf",
						 ".gitmodules",
						 "write-.tb-write-"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(free_names); i++) {
		assert_null(files_protected(slice_str(free_names[i])));
		json_t a = ask_path(FILES_TOOL_write, slice_str(free_names[i]),
				    ",\"content\":\"fine\"");
		if (json_get(a, "error"))
			fail_msg("%s: %s", free_names[i], said.p);
		assert_string_equal(got(free_names[i]), "fine");
	}
}

/* The judgement alone, of what a file system may hold but no path argument may. */
static void test_odd_bytes(void **state)
{
	(void)state;
	assert_non_null(files_protected(SLICE(".git")));
	assert_non_null(files_protected(SLICE("a/b/.GIT.......................")));
	assert_null(files_protected(SLICE(".git.......................x")));
	assert_null(files_protected(SLICE("\xff.git")));
	assert_null(files_protected(SLICE("\xe2\x80")));
	assert_null(files_protected(SLICE("")));
	assert_non_null(files_protected(SLICE("a//.git")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_what_is_not_there_yet),
		CASE(test_what_is_there),
		CASE(test_edit),
		CASE(test_reading),
		CASE(test_names_that_are_free),
		CASE(test_odd_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
