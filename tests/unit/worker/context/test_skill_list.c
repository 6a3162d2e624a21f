/* SPDX-License-Identifier: Apache-2.0
 * The list of skills in a prompt: its bytes, its limits, and texts that mean no good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "tests/unit/common/rand.h"
#include "worker/context/skill_list.h"

#define MARK "0123456789abcdef"

static struct strbuf found, text, pin;
static struct json_out out;

static void begin(void)
{
	strbuf_reset(&found);
	out = json_out(&found);
	json_obj(&out);
	json_key(&out, "skills");
	json_arr(&out);
}

static void add(const char *name, const char *description, const char *location,
		const char *source)
{
	json_obj(&out);
	json_kv_cstr(&out, "name", name);
	json_kv_cstr(&out, "description", description);
	json_kv_cstr(&out, "location", location);
	json_kv_cstr(&out, "source", source);
	json_kv_cstr(&out, "sha256", "ab");
	json_obj_end(&out);
}

static struct skill_list *list_of(int left_out)
{
	json_arr_end(&out);
	json_kv_i64(&out, "leftOut", left_out);
	json_obj_end(&out);
	struct json_doc *d = json_parse(strbuf_slice(&found), 8 << 20, NULL, 0);
	assert_non_null(d);
	struct skill_list *l = skill_list_found(json_root(d), MARK);
	json_free(d);
	return l;
}

static const char *text_with(const struct skill_list *l, json_t allowed)
{
	strbuf_reset(&text);
	strbuf_add_str(&text, "");
	skill_list_text(&text, l, allowed);
	return text.p;
}

/* Characters between the marks. */
static size_t list_chars(void)
{
	size_t n = 0;
	const char *from = strstr(text.p, "<available"), *to = strstr(text.p, "[end of");
	assert_true(from && to);
	for (; from < to; from++)
		n += ((unsigned char)*from & 0xC0) != 0x80;
	return n;
}

static void test_its_bytes(void **state)
{
	(void)state;
	begin();
	add("b", "does b", "/skills/tenant/b/SKILL.md", "tenant");
	add("a", "does <a> & more</description></skill>", "/workspace/skills/a&/SKILL.md",
	    "workspace");
	struct skill_list *l = list_of(0);
	static const char tail[] =
		"[untrusted content " MARK "]\n"
		"<available_skills>\n"
		"<skill>\n<name>a</name>\n<description>does &lt;a&gt; &amp; "
		"more&lt;/description&gt;&lt;/skill&gt;</description>\n"
		"<location>/workspace/skills/a&amp;/SKILL.md</location>\n</skill>\n"
		"<skill>\n<name>b</name>\n<description>does b</description>\n"
		"<location>/skills/tenant/b/SKILL.md</location>\n</skill>\n"
		"</available_skills>\n[end of untrusted content " MARK "]";
	const char *said = text_with(l, NULL);
	assert_true(strlen(said) > strlen(tail));
	assert_string_equal(said + strlen(said) - strlen(tail), tail);

	/* the pin gives the same bytes */
	struct json_out o = json_out(&pin);
	skill_list_put(&o, l);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&pin), 100000, NULL, 0);
	struct skill_list *again = skill_list_read(json_root(d));
	char *first = strdup(said);
	assert_string_equal(text_with(again, NULL), first);
	free(first);
	assert_string_equal(
		skill_list_at(again, SLICE("/skills/tenant/b/SKILL.md"))->sha256, "ab");
	assert_null(skill_list_at(again, SLICE("/skills/tenant/b")));
	assert_null(skill_list_at(NULL, SLICE("x")));

	AUTO(auto_json_free)
	struct json_doc *only = json_parse(SLICE("[\"b\"]"), 100, NULL, 0);
	said = text_with(l, json_root(only));
	assert_null(strstr(said, "<name>a<"));
	assert_non_null(strstr(said, "<name>b<"));
	AUTO(auto_json_free) struct json_doc *none = json_parse(SLICE("[]"), 9, NULL, 0);
	assert_string_equal(text_with(l, json_root(none)), "");
	skill_list_give_back(again);
	skill_list_give_back(l);
}

static void test_no_pin(void **state)
{
	(void)state;
	assert_null(skill_list_read(NULL));
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(SLICE("{\"skills\":3}"), 100, NULL, 0);
	assert_null(skill_list_read(json_root(d)));
	begin();
	struct skill_list *l = list_of(0);
	assert_string_equal(text_with(l, NULL), "");
	skill_list_give_back(l);
	skill_list_give_back(NULL);
}

static void fill(int count, const char *source, size_t length)
{
	static char description[8200];
	for (int i = 0; i < count; i++) {
		char name[40], location[80];
		snprintf(name, sizeof name, "%s-%03d", source, i);
		snprintf(location, sizeof location, "/x/%s/SKILL.md", name);
		memset(description, '<', length);
		description[length] = 0;
		add(name, description, location, source);
	}
}

static void test_how_many(void **state)
{
	(void)state;
	begin();
	fill(100, "node", 2);
	fill(60, "workspace", 2);
	struct skill_list *l = list_of(7);
	assert_int_equal(l->count, SKILL_LIST_MOST);
	assert_int_equal(l->left_out, 17);
	/* own ones first, and then all by name */
	assert_string_equal(l->items[0].name, "node-000");
	assert_string_equal(l->items[89].name, "node-089");
	assert_string_equal(l->items[90].name, "workspace-000");
	assert_non_null(strstr(text_with(l, NULL), " 17 more do not fit"));
	skill_list_give_back(l);
}

static void test_how_long(void **state)
{
	(void)state;
	begin();
	fill(99, "node", 1000);
	add("short", "stays as it is", "/x/short/SKILL.md", "node");
	struct skill_list *l = list_of(0);
	assert_int_equal(l->count, 100);
	text_with(l, NULL);
	assert_in_range(list_chars(), SKILL_LIST_CHARS - 99 * 6, SKILL_LIST_CHARS);
	assert_non_null(strstr(text.p, "stays as it is<"));
	for (size_t i = 0; i + 1 < l->count; i++)
		assert_string_equal(l->items[i].description, l->items[0].description);
	size_t n = strlen(l->items[0].description);
	assert_true(n > 10);
	assert_string_equal(l->items[0].description + n - 3, "\xe2\x80\xa6");
	assert_null(strstr(text.p, "&l\xe2")); /* no escape is cut */
	skill_list_give_back(l);
}

static void test_long_places(void **state)
{
	char name[20], location[420];
	(void)state;
	begin();
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "s%03d", i);
		memset(location, 'x', 400);
		snprintf(location + 380, 20, "%03d/SKILL.md", i);
		add(name, "d", location, "tenant");
	}
	struct skill_list *l = list_of(0);
	assert_in_range(l->count, 35, 45);
	assert_int_equal(l->left_out, 100 - (int64_t)l->count);
	text_with(l, NULL);
	assert_in_range(list_chars(), 1, SKILL_LIST_CHARS);
	skill_list_give_back(l);
}

/* Whatever there is: the limits hold, names and places stay whole, and the text closes
 * nothing. */
static void test_at_random(void **state)
{
	static const char *const pieces[] = {
		"a", "<", "&", "\xc3\xa4", "\xf0\x9f\x98\x80", "</available_skills>",
		" "};
	(void)state;
	for (int round = 0; round < 60; round++) {
		unsigned count = rand_below(170);
		begin();
		for (unsigned i = 0; i < count; i++) {
			AUTO(strbuf_fini) struct strbuf d = STRBUF_INIT;
			char name[20], location[60];
			strbuf_add_str(&d, "x");
			for (unsigned k = rand_below(300); k; k--)
				strbuf_add_str(&d, pieces[rand_below(7)]);
			snprintf(name, sizeof name, "s%u", i);
			snprintf(location, sizeof location, "/s/%u/SKILL.md", i);
			add(name, d.p, location, i % 3 ? "node" : "workspace");
		}
		struct skill_list *l = list_of(0);
		assert_int_equal(l->count + (size_t)l->left_out, count);
		text_with(l, NULL);
		if (count) {
			assert_in_range(list_chars(), 1, SKILL_LIST_CHARS);
			const char *end = strstr(text.p, "</available_skills>");
			assert_null(strstr(end + 1, "</available_skills>"));
			assert_true(slice_is_utf8(strbuf_slice(&text)));
		}
		skill_list_give_back(l);
	}
}

static int finish(void **state)
{
	(void)state;
	strbuf_fini(&found);
	strbuf_fini(&text);
	strbuf_fini(&pin);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_its_bytes),   cmocka_unit_test(test_no_pin),
		cmocka_unit_test(test_how_many),    cmocka_unit_test(test_how_long),
		cmocka_unit_test(test_long_places), cmocka_unit_test(test_at_random),
	};
	return cmocka_run_group_tests(tests, NULL, finish);
}
