/* SPDX-License-Identifier: Apache-2.0
 * A question in the words of every provider, looked at as they look at it: it is JSON,
 * every call has its one result before anything else is said, results answer calls that
 * stand right before them, and where sides must take turns they do. */
#ifndef TB_TEST_REQUESTS_H
#define TB_TEST_REQUESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/llm.h"

#define OPEN_MOST 300

/* What has been said so far. */
struct hearing {
	const char *provider;
	struct slice open[OPEN_MOST]; /* calls without a result */
	size_t open_count, calls;
	struct slice side; /* who spoke last, where sides take turns */
};

static void hear_call(struct hearing *h, struct slice id)
{
	for (size_t i = 0; i < h->open_count; i++)
		if (id.p && slice_eq(h->open[i], id))
			fail_msg("%s: two open calls are '%.*s'", h->provider,
				 SLICE_ARG(id));
	assert_true(h->open_count < OPEN_MOST);
	h->open[h->open_count++] = id;
	h->calls++;
}

static void hear_result(struct hearing *h, struct slice id)
{
	for (size_t i = 0; i < h->open_count; i++)
		if (!id.p || slice_eq(h->open[i], id)) {
			h->open[i] = h->open[--h->open_count];
			return;
		}
	fail_msg("%s: a result of no open call: '%.*s'", h->provider, SLICE_ARG(id));
}

/* Anything that may only come when all calls have their results. */
static void hear_other(struct hearing *h)
{
	if (h->open_count)
		fail_msg("%s: %zu calls have no result before what follows", h->provider,
			 h->open_count);
}

static void hear_turn(struct hearing *h, struct slice side, const char *first)
{
	if (h->side.p ? slice_eq(h->side, side) : !slice_is(side, first))
		fail_msg("%s: '%.*s' speaks out of turn", h->provider, SLICE_ARG(side));
	h->side = side;
}

static bool is_a(json_t v, const char *type)
{
	return slice_is(json_str(json_get(v, "type")), type);
}

static void hear_chat(struct hearing *h, json_t root)
{
	struct json_iter it = json_iter(json_get(root, "messages")), calls;
	for (json_t m; (m = json_next(&it, NULL));) {
		if (slice_is(json_str(json_get(m, "role")), "tool")) {
			hear_result(h, json_str(json_get(m, "tool_call_id")));
			continue;
		}
		hear_other(h);
		calls = json_iter(json_get(m, "tool_calls"));
		for (json_t c; (c = json_next(&calls, NULL));)
			hear_call(h, json_str(json_get(c, "id")));
	}
}

static void hear_responses(struct hearing *h, json_t root)
{
	struct json_iter it = json_iter(json_get(root, "input"));
	for (json_t i; (i = json_next(&it, NULL));) {
		if (is_a(i, "function_call_output"))
			hear_result(h, json_str(json_get(i, "call_id")));
		else if (is_a(i, "function_call"))
			hear_call(h, json_str(json_get(i, "call_id")));
		else
			hear_other(h);
	}
}

static void hear_messages(struct hearing *h, json_t root)
{
	struct json_iter it = json_iter(json_get(root, "messages"));
	for (json_t m; (m = json_next(&it, NULL));) {
		struct json_iter blocks = json_iter(json_get(m, "content"));
		struct slice side = json_str(json_get(m, "role"));
		hear_turn(h, side, "user");
		assert_true(json_len(json_get(m, "content")) > 0);
		for (json_t b; (b = json_next(&blocks, NULL));) {
			if (is_a(b, "tool_result"))
				hear_result(h, json_str(json_get(b, "tool_use_id")));
			else if (is_a(b, "tool_use"))
				hear_call(h, json_str(json_get(b, "id")));
			else
				hear_other(h);
		}
		if (slice_is(side, "user")) /* all of them in this one message */
			assert_int_equal(h->open_count, 0);
	}
}

static void hear_contents(struct hearing *h, json_t root)
{
	struct json_iter it = json_iter(json_get(root, "contents"));
	for (json_t m; (m = json_next(&it, NULL));) {
		struct json_iter parts = json_iter(json_get(m, "parts"));
		struct slice side = json_str(json_get(m, "role"));
		assert_true(json_len(json_get(m, "parts")) > 0);
		for (json_t p; (p = json_next(&parts, NULL));) {
			if (json_get(p, "functionResponse"))
				hear_result(h, SLICE_NONE);
			else if (json_get(p, "functionCall"))
				hear_call(h, SLICE_NONE);
			else
				hear_other(h);
		}
		if (slice_is(side, "user"))
			assert_int_equal(h->open_count, 0);
	}
}

/* How many calls the question has is the same in all words. */
static void check_requests(const struct llm_question *q)
{
	static const struct {
		const struct llm_provider *provider;
		void (*hear)(struct hearing *h, json_t root);
	} ears[] = {{&llm_openai, hear_chat},
		    {&llm_responses, hear_responses},
		    {&llm_anthropic, hear_messages},
		    {&llm_gemini, hear_contents}};
	size_t calls = 0;
	for (size_t i = 0; i < ARRAY_LEN(ears); i++) {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		char why[160] = "";
		struct hearing h = {.provider = ears[i].provider->name};
		ears[i].provider->write_request(&b, q);
		AUTO(auto_json_free)
		struct json_doc *d = json_parse(strbuf_slice(&b), b.n, why, sizeof why);
		if (!d)
			fail_msg("%s: the request is no JSON: %s", h.provider, why);
		ears[i].hear(&h, json_root(d));
		if (h.open_count)
			fail_msg("%s: %zu calls are open at the end", h.provider,
				 h.open_count);
		if (i)
			assert_int_equal(h.calls, calls);
		calls = h.calls;
	}
}

#endif
