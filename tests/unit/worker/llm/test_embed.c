/* SPDX-License-Identifier: Apache-2.0
 * Requests for embeddings to the byte, and answers as servers give them, right and wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/embed.h"

static struct llm_answer a;
static struct llm_embed k;
static struct strbuf out;

static int setup(void **state)
{
	(void)state;
	llm_answer_init(&a);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	llm_embed_fini(&k);
	llm_answer_fini(&a);
	strbuf_fini(&out);
	return 0;
}

static void expect_request(const struct llm_provider *p, struct llm_embed_ask ask,
			   const char *want)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(SLICE("[\"a\",\"b\\\"\",\"c\"]"), 100, NULL, 0);
	ask.model = SLICE("m");
	ask.texts = json_root(d);
	strbuf_reset(&out);
	llm_embed_write(&out, p, &ask);
	assert_string_equal(out.p, want);
}

static void test_requests(void **state)
{
	(void)state;
	expect_request(
		&llm_openai, (struct llm_embed_ask){.from = 1, .end = 3},
		"{\"model\":\"m\",\"encoding_format\":\"float\",\"input\":[\"b\\\"\","
		"\"c\"]}");
	expect_request(
		&llm_ollama,
		(struct llm_embed_ask){
			.end = 1, .base64 = true, .dimensions = 3, .user = SLICE("u")},
		"{\"model\":\"m\",\"encoding_format\":\"base64\",\"dimensions\":3,"
		"\"user\":"
		"\"u\",\"input\":[\"a\"]}");
	expect_request(&llm_gemini, (struct llm_embed_ask){.end = 2, .dimensions = 3},
		       "{\"requests\":[{\"model\":\"models/m\",\"content\":{\"parts\":[{"
		       "\"text\":\"a\"}]},\"outputDimensionality\":3},{\"model\":"
		       "\"models/m\",\"content\":{\"parts\":[{\"text\":\"b\\\"\"}]},"
		       "\"outputDimensionality\":3}]}");
}

static enum err read_body(const struct llm_provider *p, size_t expected, const char *body)
{
	llm_embed_fini(&k);
	k = (struct llm_embed){.provider = p, .answer = &a, .expected = expected};
	strbuf_add_str(&k.body, body);
	return llm_embed_read(&k);
}

static const char *next(size_t i, bool base64)
{
	strbuf_reset(&out);
	strbuf_add_str(&out, "");
	return llm_embed_next(&k, i, base64, &out) ? out.p : NULL;
}

static void test_answers(void **state)
{
	(void)state;
	assert_int_equal(read_body(&llm_openai, 2,
				   "{\"data\":[{\"object\":\"embedding\",\"embedding\":[ "
				   "0.10, -2e-3],"
				   "\"index\":0},{\"embedding\":[1,2.50]}],\"usage\":{"
				   "\"prompt_tokens\":"
				   "7}}"),
			 ERR_OK);
	assert_int_equal(k.tokens, 7);
	assert_string_equal(next(0, false), "[ 0.10, -2e-3]"); /* as they were written */
	assert_string_equal(next(1, false), "[1,2.50]");
	assert_string_equal(next(1, true), "\"AACAPwAAIEA=\"");
	assert_int_equal(read_body(&llm_openai, 2,
				   "{\"data\":[{\"index\":1,\"embedding\":\"AACAPw==\"},{"
				   "\"index\":0,\"embedding\":[3]}]}"),
			 ERR_OK);
	assert_string_equal(next(0, false), "[3]"); /* by their index */
	assert_string_equal(next(1, true), "\"AACAPw==\"");
	assert_null(next(1, false)); /* numbers were wanted, and asked for */
	assert_int_equal(
		read_body(&llm_gemini, 1,
			  "{\"embeddings\":[{\"values\":[0.5],\"x\":\"values\"}]}"),
		ERR_OK);
	assert_string_equal(next(0, false), "[0.5]");
}

static void test_nonsense(void **state)
{
	(void)state;
	static const char *const lists[] = {
		"", "[]", "{}", "{\"data\":{}}", "{\"data\":[]}", "{\"data\":[{},{}]}"};
	static const char *const elements[] = {
		"{\"data\":[{}]}",
		"{\"data\":[{\"embedding\":[]}]}",
		"{\"data\":[{\"embedding\":[\"1\"]}]}",
		"{\"data\":[{\"embedding\":{\"a\":1}}]}",
		"{\"data\":[{\"embedding\":\"not base64!\"}]}",
		"{\"data\":[7]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		assert_int_equal(read_body(&llm_openai, 1, lists[i]), ERR_MODEL_BROKEN);
	for (size_t i = 0; i < ARRAY_LEN(elements); i++) {
		assert_int_equal(read_body(&llm_openai, 1, elements[i]), ERR_OK);
		assert_null(next(0, true));
		assert_null(next(0, false));
		assert_non_null(strstr(a.error, "no vector"));
	}
	/* What only looks like the list is not copied. */
	assert_int_equal(
		read_body(&llm_openai, 1,
			  "{\"x\":{\"embedding\":[\"a\"]},\"data\":[{\"embedding\":"
			  "[1]}]}"),
		ERR_OK);
	assert_string_equal(next(0, false), "[1]");
}

static void test_who_has_them(void **state)
{
	(void)state;
	assert_true(llm_embeds(&llm_openai) && llm_embeds(&llm_gemini));
	assert_false(llm_embeds(&llm_anthropic) || llm_embeds(&llm_offline));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
		cmocka_unit_test(test_who_has_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
