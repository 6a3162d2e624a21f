/* SPDX-License-Identifier: Apache-2.0
 * What the tests of a provider share: transcripts and events written with ' for ", the
 * request compared to the byte, events fed from memory that ends where they end. */
#ifndef TB_TESTS_LLM_TALK_H
#define TB_TESTS_LLM_TALK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/json.h"
#include "worker/llm/llm.h"

#define TALK_MOST 16

static struct talk {
	const struct llm_provider *provider; /* under test */
	struct llm_answer a;
	struct llm_message messages[TALK_MOST];
	struct llm_message *list[TALK_MOST];
	struct llm_question q;
	struct strbuf out;
	char *texts[256];
	size_t text_count;
} talk;

/* The text with " for each '. Kept until the test's end. */
static UNUSED const char *json(const char *text)
{
	char *s = strdup(text);
	assert_true(talk.text_count < ARRAY_LEN(talk.texts));
	talk.texts[talk.text_count++] = s;
	for (char *p = s; *p; p++)
		if (*p == '\'')
			*p = '"';
	return s;
}

static UNUSED int talk_begin(void **state)
{
	(void)state;
	llm_answer_init(&talk.a);
	talk.q = (struct llm_question){.model = SLICE("m1"), .messages = talk.list};
	return 0;
}

static UNUSED void talk_forget(void)
{
	for (size_t i = 0; i < talk.q.message_count; i++)
		strbuf_fini(&talk.messages[i].wire);
	talk.q.message_count = 0;
}

static UNUSED int talk_end(void **state)
{
	const struct llm_provider *p = talk.provider;
	(void)state;
	talk_forget();
	llm_answer_fini(&talk.a);
	strbuf_fini(&talk.out);
	for (size_t i = 0; i < talk.text_count; i++)
		free(talk.texts[i]);
	memset(&talk, 0, sizeof talk);
	talk.provider = p;
	return 0;
}

/* ---- questions */

/* One more message, of these blocks. */
static UNUSED void say(enum llm_role role, const char *blocks)
{
	char *content = malloc(strlen(blocks) + 32);
	sprintf(content, "{'blocks':%s}", blocks);
	size_t i = talk.q.message_count++;
	assert_true(i < TALK_MOST);
	talk.messages[i] =
		(struct llm_message){role, slice_str(json(content)), STRBUF_INIT, NULL};
	talk.list[i] = &talk.messages[i];
	free(content);
}

static UNUSED void say_text(enum llm_role role, const char *text)
{
	char blocks[1024];
	snprintf(blocks, sizeof blocks, "[{'type':'text','text':'%s'}]", text);
	say(role, blocks);
}

/* Two calls whose results have images behind them, by value and by address. */
static UNUSED void say_images_of_tools(void)
{
	say_text(LLM_USER, "go");
	say(LLM_ASSISTANT,
	    "[{'type':'tool_call','callId':'c1','name':'f','arguments':{}},"
	    "{'type':'tool_call','callId':'c2','name':'f','arguments':{}}]");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'c1','name':'f','text':'one'},"
		      "{'type':'image','mediaType':'image/png','data':'iVBO'},"
		      "{'type':'image','url':'https://x/y'}]");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'c2','name':'f','text':'two'},"
		      "{'type':'image','mediaType':'image/gif','data':'R0lG'},"
		      "{'type':'image','mediaType':'image/gif','data':'R0lH'}]");
	say_text(LLM_USER, "wait");
}

static UNUSED const char *request(void)
{
	strbuf_reset(&talk.out);
	talk.provider->write_request(&talk.out, &talk.q);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&talk.out), talk.out.n, NULL, 0);
	if (!d)
		fail_msg("not JSON: %s", talk.out.p);
	return talk.out.p;
}

/* The whole request; it is the same when it is written again from the cached forms. */
static UNUSED void expect_request(const char *want)
{
	want = json(want);
	for (int i = 0; i < 2; i++)
		assert_string_equal(request(), want);
}

static UNUSED void expect_has(const char *part)
{
	part = json(part);
	if (!strstr(request(), part))
		fail_msg("no %s in %s", part, talk.out.p);
}

static UNUSED void expect_lacks(const char *part)
{
	part = json(part);
	if (strstr(request(), part))
		fail_msg("%s in %s", part, talk.out.p);
}

/* ---- headers */

static struct header_list {
	struct llm_headers as;
	char text[1024];
} header_list;

static UNUSED void put_header(struct llm_headers *h, const char *name, struct slice value)
{
	struct header_list *l = (struct header_list *)h;
	size_t n = strlen(l->text);
	snprintf(l->text + n, sizeof l->text - n, "%s: %.*s\n", name, SLICE_ARG(value));
}

static UNUSED void expect_headers(const struct llm_target *t, const char *want)
{
	header_list = (struct header_list){.as.put = put_header};
	talk.provider->write_headers(&header_list.as, t);
	assert_string_equal(header_list.text, want);
}

/* ---- answers */

static UNUSED enum err feed_bytes(struct slice data)
{
	char *copy = malloc(data.n + (data.n == 0));
	memcpy(copy, data.p ? data.p : "", data.n);
	enum err e =
		talk.provider->read_event(&talk.a, SLICE_NONE, slice_of(copy, data.n));
	free(copy);
	return e;
}

static UNUSED enum err feed(const char *event)
{
	return feed_bytes(slice_str(json(event)));
}

static UNUSED void feed_all(const char *const *events)
{
	for (; *events; events++)
		if (feed(*events))
			fail_msg("%s: %s", *events, talk.a.error);
}

static UNUSED bool text_is(const char *want)
{
	return slice_is(strbuf_slice(&talk.a.text), want);
}

static UNUSED void expect_call(size_t i, const char *id, const char *name,
			       const char *arguments)
{
	assert_true(i < talk.a.call_count);
	const struct llm_part *p = llm_call_at(&talk.a, i);
	if (!slice_is(strbuf_slice(&p->id), id) ||
	    !slice_is(strbuf_slice(&p->name), name) ||
	    !slice_is(strbuf_slice(&p->arguments), json(arguments)))
		fail_msg("call %zu is %.*s %.*s %.*s", i, SLICE_ARG(strbuf_slice(&p->id)),
			 SLICE_ARG(strbuf_slice(&p->name)),
			 SLICE_ARG(strbuf_slice(&p->arguments)));
}

static UNUSED void expect_opaque(size_t part, const char *want)
{
	assert_true(part < talk.a.part_count);
	struct slice have = strbuf_slice(&talk.a.parts[part].opaque);
	if (!slice_is(have, json(want)))
		fail_msg("the opaque of part %zu is %.*s", part, SLICE_ARG(have));
}

#endif
