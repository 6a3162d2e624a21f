/* SPDX-License-Identifier: Apache-2.0
 * What a webhook may look like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/model/webhook.h"

static bool fits(const char *text, char *err, size_t size)
{
	struct json_doc *d = json_parse(slice_str(text), 100000, NULL, 0);
	bool fine = webhook_check(json_root(d), err, size);
	json_free(d);
	return fine;
}

static void test_every_result_is_an_event(void **state)
{
	(void)state;
	static const char *const words[] = {
#define RESULT(NAME, word, number, wait) word,
#include "proto/results.tbl"
#undef RESULT
	};
	char text[200], err[200];
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		snprintf(text, sizeof text,
			 "{\"url\":\"https://x.example/y\",\"events\":[\"%s\"]}",
			 words[i]);
		assert_true(fits(text, err, sizeof err));
	}
	assert_true(fits("{\"url\":\"http://127.0.0.1:80\"}", err, sizeof err));
}

static void test_what_does_not_fit(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"1", "an object"},
		{"[]", "an object"},
		{"{}", "must have a url"},
		{"{\"events\":[\"failed\"]}", "must have a url"},
		{"{\"url\":1}", "http"},
		{"{\"url\":\"ftp://x\"}", "http"},
		{"{\"url\":\"https://a b\"}", "visible"},
		{"{\"url\":\"https://\u00e4\"}", "visible"},
		{"{\"url\":\"https://x\",\"events\":[]}", "in a list"},
		{"{\"url\":\"https://x\",\"events\":\"failed\"}", "in a list"},
		{"{\"url\":\"https://x\",\"events\":[\"fail\"]}", "in a list"},
		{"{\"url\":\"https://x\",\"events\":[1]}", "in a list"},
		{"{\"url\":\"https://x\",\"secret\":1}", "alone"},
	};
	char err[200], text[3000] = "{\"url\":\"https://";
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(fits(cases[i].text, err, sizeof err));
		assert_non_null(strstr(err, cases[i].why));
	}
	memset(text + strlen(text), 'a', 1992);
	strcat(text, "\"}");
	assert_true(fits(text, err, sizeof err));
	memcpy(text + strlen(text) - 2, "a\"}", 4);
	assert_false(fits(text, err, sizeof err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_result_is_an_event),
		cmocka_unit_test(test_what_does_not_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
