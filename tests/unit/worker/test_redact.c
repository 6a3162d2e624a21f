/* SPDX-License-Identifier: Apache-2.0
 * What is taken out of a text, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/crypto.h"
#include "common/map.h"
#include "worker/llm/endpoints.h"
#include "worker/redact.h"
#include "worker/worker.h"

#define SECRET "Zq7/x+9=plain-Secret?42"

static struct worker w;
static struct redact *x;

static int begin(void **state)
{
	(void)state;
	w = (struct worker){.password = SLICE("database-password-1")};
	w.runs = map_new();
	w.endpoints = endpoints_new(SLICE("openai\t\tnode-key-0123456789\t\n"));
	x = redact_new(&w);
	redact_add(x, SLICE(SECRET));
	return 0;
}

static int end(void **state)
{
	(void)state;
	redact_free(x);
	endpoints_free(w.endpoints);
	map_free(w.runs);
	return 0;
}

static void becomes(const char *text, const char *want)
{
	struct strbuf b = STRBUF_INIT;
	strbuf_add_str(&b, text);
	assert_int_equal(redact_text(x, &b), strcmp(text, want) != 0);
	assert_string_equal(b.p, want);
	strbuf_fini(&b);
}

static void test_what_the_worker_holds(void **state)
{
	(void)state;
	becomes("a " SECRET " b" SECRET, "a [redacted] b[redacted]");
	becomes("node-key-0123456789", "[redacted]");
	becomes("x=database-password-1;", "x=[redacted];");
	becomes("node-key-012345678", "node-key-012345678");
	becomes("Zq7%2Fx%2B9%3Dplain-Secret%3F42", "[redacted]");
	becomes("Zq7%2fx%2b9%3dplain-Secret%3f42", "[redacted]");
}

/* Wherever in another text it begins, of all that is written in base64. */
static void test_base64(void **state)
{
	(void)state;
	static const char *const before[] = {"", "u", "us", "user:"};
	for (size_t i = 0; i < 4; i++) {
		char plain[100], text[200], url[200];
		snprintf(plain, sizeof plain, "%s" SECRET "!", before[i]);
		crypto_base64url(plain, strlen(plain), url, sizeof url);
		for (int plus = 0; plus < 2; plus++) {
			struct strbuf b = STRBUF_INIT;
			snprintf(text, sizeof text, "%s", url);
			for (char *p = text; plus && *p; p++)
				*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
			strbuf_add_str(&b, text);
			assert_true(redact_text(x, &b));
			/* What is left is of its neighbours: a few characters. */
			assert_true(b.n < 10 + strlen("[redacted]") + 8);
			strbuf_fini(&b);
		}
	}
}

static void test_shapes(void **state)
{
	(void)state;
	becomes("{\"a\":\"key sk-abcdefghij0123456789xyz\"}",
		"{\"a\":\"key [redacted]\"}");
	becomes("x\\nsk-abcdefghij0123456789", "x\\n[redacted]");
	becomes("sk-short and task-abcdefghij0123456789xyz",
		"sk-short and task-abcdefghij0123456789xyz");
	becomes("AIzaSyA0123456789012345678901234567890", "[redacted]");
	becomes("Bearer tb1.1.0192f3a0-0000-7000-8000-0000000000cc.abcdefghijklmnop",
		"Bearer [redacted]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_the_worker_holds, begin, end),
		cmocka_unit_test_setup_teardown(test_base64, begin, end),
		cmocka_unit_test_setup_teardown(test_shapes, begin, end),
	};
	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
