/* SPDX-License-Identifier: Apache-2.0
 * Skills below directories: what is found, what hides what, and what is refused. */
#include "bed.h"

#include <stdarg.h>
#include "sandbox/files/files_skills.h"

static json_t find(json_t allowed)
{
	int top = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int second = openat(top, "tenant", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct files_skill_source sources[] = {
		{"workspace", ws, "skills", "/workspace/skills"},
		{"tenant", second, "", "/skills/tenant"},
		{"node", -1, "", "/skills/node"}};
	struct json_doc *before = doc;
	strbuf_reset(&said);
	files_skills_find(sources, 3, allowed, &said);
	assert_true(slice_find(strbuf_slice(&said), SLICE(CANARY)) < 0);
	doc = json_parse(strbuf_slice(&said), 8 << 20, NULL, 0);
	assert_non_null(doc);
	json_free(before);
	close(top);
	if (second >= 0)
		close(second);
	return json_root(doc);
}

static void skill_at(int dir, const char *folder, const char *name, const char *text)
{
	char path[200];
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	assert_int_equal(mkdirat(dir, folder, 0755), 0);
	snprintf(path, sizeof path, "%s/SKILL.md", folder);
	strbuf_printf(&b, "---\nname: %s\ndescription: %s\n---\nbody\n", name, text);
	put_at(dir, path, b.p, b.n);
}

static const char *member(json_t list, size_t i, const char *key)
{
	return json_cstr(json_get(json_at(list, i), key), "(none)");
}

/* The sentence about what is at that location. */
static const char *why(json_t found, const char *location)
{
	json_t list = json_get(found, "refused");
	for (size_t i = 0; i < json_len(list); i++)
		if (!strcmp(member(list, i, "location"), location))
			return member(list, i, "why");
	return "(none)";
}

static void test_none(void **state)
{
	(void)state;
	json_t a = find(NULL);
	assert_int_equal(json_len(json_get(a, "skills")), 0);
	assert_int_equal(json_len(json_get(a, "sources")), 0);
}

static void test_who_hides_whom(void **state)
{
	char path[96];
	(void)state;
	dir_at("skills");
	skill_at(ws, "skills/b", "b", "own");
	dir_at("skills/more");
	skill_at(ws, "skills/more/b", "b", "deeper");
	snprintf(path, sizeof path, "%s/tenant", base);
	assert_int_equal(mkdir(path, 0755), 0);
	int tenant = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	skill_at(tenant, "a", "a", "theirs");
	skill_at(tenant, "b", "b", "hidden");
	close(tenant);
	json_t a = find(NULL), list = json_get(a, "skills");
	assert_int_equal(json_len(list), 2);
	assert_string_equal(member(list, 0, "location"), "/skills/tenant/a/SKILL.md");
	assert_string_equal(member(list, 0, "source"), "tenant");
	assert_string_equal(member(list, 0, "description"), "theirs");
	assert_string_equal(member(list, 1, "location"), "/workspace/skills/b/SKILL.md");
	assert_int_equal(strlen(member(list, 1, "sha256")), 64);
	list = json_get(a, "hidden");
	assert_int_equal(json_len(list), 2);
	assert_string_equal(member(list, 0, "location"),
			    "/workspace/skills/more/b/SKILL.md");
	assert_string_equal(member(list, 1, "location"), "/skills/tenant/b/SKILL.md");
	assert_string_equal(member(list, 1, "by"), "/workspace/skills/b/SKILL.md");

	AUTO(auto_json_free)
	struct json_doc *only = json_parse(SLICE("[\"a\",\"c\"]"), 100, NULL, 0);
	a = find(json_root(only));
	assert_int_equal(json_len(json_get(a, "skills")), 1);
	assert_string_equal(member(json_get(a, "skills"), 0, "name"), "a");
	assert_string_equal(member(json_get(a, "notAllowed"), 0, "name"), "b");
	assert_int_equal(json_len(json_get(a, "missing")), 1);
	assert_string_equal(json_cstr(json_at(json_get(a, "missing"), 0), ""), "c");
	AUTO(auto_json_free)
	struct json_doc *none = json_parse(SLICE("[]"), 100, NULL, 0);
	assert_int_equal(json_len(json_get(find(json_root(none)), "skills")), 0);
}

static void test_what_is_refused(void **state)
{
	static char large[FILES_SKILL_BYTES + 1];
	(void)state;
	memset(large, 'x', sizeof large);
	dir_at("skills");
	put("skills/SKILL.md", "---\nname: skills\ndescription: d\n---\n");
	dir_at("skills/link");
	link_at("../../../secret", "skills/link/SKILL.md");
	link_at("../../outside", "skills/elsewhere");
	link_at("/", "skills/all");
	dir_at("skills/pipe");
	assert_int_equal(mkfifoat(ws, "skills/pipe/SKILL.md", 0644), 0);
	dir_at("skills/dir");
	dir_at("skills/dir/SKILL.md");
	dir_at("skills/large");
	memcpy(large, "---\nname: large\ndescription: d\n---\n", 35);
	put_at(ws, "skills/large/SKILL.md", large, sizeof large);
	dir_at("skills/fits");
	memcpy(large, "---\nname:  fits\ndescription: d\n---\n", 35);
	put_at(ws, "skills/fits/SKILL.md", large, sizeof large - 1);
	skill_at(ws, "skills/other", "another", "d");
	skill_at(ws, "skills/.hidden", "hidden", "d");
	dir_at("skills/empty");
	put("skills/empty/SKILL.md", "");
	dir_at("skills/odd\xff");
	put("skills/odd\xff/SKILL.md", "x");
	dir_at("skills/new\nline");
	put("skills/new\nline/SKILL.md", "x");
	skill_at(ws, "skills/good", "good", "d");
	skill_at(ws, "skills/good/nested", "nested", "d");
	json_t a = find(NULL), list = json_get(a, "skills");
	assert_int_equal(json_len(list), 2);
	assert_string_equal(member(list, 0, "name"), "fits");
	assert_string_equal(member(list, 1, "name"), "good");
#define WHY(folder, text)                                                                \
	assert_non_null(strstr(why(a, "/workspace/skills/" folder "SKILL.md"), text))
	WHY("", "in a folder of its");
	WHY("link/", "a symbolic link");
	WHY("pipe/", "a pipe");
	WHY("dir/", "a directory");
	WHY("large/", "larger than 256 KiB");
	WHY("other/", "'another' is not its folder's");
	WHY("empty/", "no front matter");
	assert_int_equal(json_len(json_get(a, "refused")), 9);
}

static void test_how_deep_and_how_many(void **state)
{
	char path[400] = "skills", name[40];
	(void)state;
	dir_at("skills");
	for (int i = 1; i <= 7; i++) {
		strcat(path, "/d");
		if (i < 6)
			dir_at(path);
		else
			skill_at(ws, path, "d", "deep");
		if (i == 6) { /* found; what is in it is its own */
			assert_int_equal(json_len(json_get(find(NULL), "skills")), 1);
			char file[420];
			snprintf(file, sizeof file, "%s/SKILL.md", path);
			assert_int_equal(unlinkat(ws, file, 0), 0);
		}
	}
	assert_int_equal(json_len(json_get(find(NULL), "skills")), 0);
	for (int i = 0; i < 205; i++) {
		snprintf(path, sizeof path, "skills/s%03d", i);
		snprintf(name, sizeof name, "s%03d", i);
		skill_at(ws, path, name, "many");
	}
	json_t a = find(NULL);
	assert_int_equal(json_len(json_get(a, "skills")), FILES_SKILLS_SOURCE_MOST);
	assert_int_equal(number_of(a, "leftOut"), 5);
}

static void test_a_source_that_is_a_link(void **state)
{
	(void)state;
	link_at("../outside", "skills");
	json_t a = find(NULL);
	assert_int_equal(json_len(json_get(a, "skills")), 0);
	assert_non_null(strstr(why(a, "/workspace/skills"), "no directory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_none),
		CASE(test_who_hides_whom),
		CASE(test_what_is_refused),
		CASE(test_how_deep_and_how_many),
		CASE(test_a_source_that_is_a_link),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
