/* SPDX-License-Identifier: Apache-2.0
 * Trimmed and cleared results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/json.h"
#include "worker/context/prune.h"

static char *repeated(const char *c, size_t n)
{
	size_t k = strlen(c);
	char *s = malloc(n * k + 1);
	for (size_t i = 0; i < n; i++)
		memcpy(s + i * k, c, k);
	s[n * k] = 0;
	return s;
}

static void test_the_limit(void **state)
{
	(void)state;
	static const char *const characters[] = {"x", "й", "漢", "🙂"};
	for (size_t i = 0; i < 4; i++) {
		struct strbuf b = STRBUF_INIT;
		size_t k = strlen(characters[i]);
		char *s = repeated(characters[i], PRUNE_LONGER_THAN + 1);
		assert_false(prune_text(&b, slice_of(s, PRUNE_LONGER_THAN * k)));
		assert_int_equal(b.n, 0);
		assert_true(prune_text(&b, slice_str(s)));
		assert_memory_equal(b.p, s, PRUNE_KEEPS * k);
		assert_memory_equal(b.p + b.n - PRUNE_KEEPS * k, s, PRUNE_KEEPS * k);
		assert_non_null(strstr(b.p, "1001 characters of this old tool result"));
		assert_true(slice_is_utf8(strbuf_slice(&b)));
		assert_true(b.n < (2 * PRUNE_KEEPS) * k + 100);
		free(s);
		strbuf_fini(&b);
	}
}

static void test_contents(void **state)
{
	(void)state;
	struct strbuf content = STRBUF_INIT, out = STRBUF_INIT, again = STRBUF_INIT;
	char *s = repeated("y", 5000);
	strbuf_printf(&content,
		      "{\"blocks\":[{\"type\":\"tool_result\",\"callId\":\"c1\",\"name\":"
		      "\"read\",\"isError\":true,\"text\":\"%s\"},{\"type\":\"text\","
		      "\"text\":\"%s\"}]}",
		      s, s);
	prune_content(&out, strbuf_slice(&content), PRUNE_TRIMMED);
	prune_content(&again, strbuf_slice(&content), PRUNE_TRIMMED);
	assert_string_equal(out.p, again.p);
	assert_non_null(
		strstr(out.p, "\"callId\":\"c1\",\"name\":\"read\",\"isError\":true"));
	assert_non_null(strstr(out.p, s)); /* what is no result stays */
	assert_true(out.n < content.n - 1800);
	strbuf_reset(&again);
	prune_content(&again, strbuf_slice(&content), PRUNE_RESULT_CLEARED);
	assert_non_null(strstr(again.p, "\"text\":\"" PRUNE_CLEARED "\""));
	/* one that is shorter than the words for it stays */
	strbuf_reset(&again);
	prune_content(&again,
		      SLICE("{\"blocks\":[{\"type\":\"tool_result\",\"text\":\"ok\"}]}"),
		      PRUNE_RESULT_CLEARED);
	assert_string_equal(again.p,
			    "{\"blocks\":[{\"type\":\"tool_result\",\"text\":\"ok\"}]}");
	/* old images go with any shorter form */
	for (int form = PRUNE_TRIMMED; form <= PRUNE_RESULT_CLEARED; form++) {
		strbuf_reset(&again);
		prune_content(&again,
			      SLICE("{\"blocks\":[{\"type\":\"tool_result\",\"text\":"
				    "\"ok\"},{\"type\":\"image\",\"mediaType\":"
				    "\"image/png\",\"data\":\"iVBO\"}]}"),
			      (enum prune_form)form);
		assert_string_equal(
			again.p,
			"{\"blocks\":[{\"type\":\"tool_result\",\"text\":\"ok\"}]}");
	}
	free(s);
	strbuf_fini(&content);
	strbuf_fini(&out);
	strbuf_fini(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_limit),
		cmocka_unit_test(test_contents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
