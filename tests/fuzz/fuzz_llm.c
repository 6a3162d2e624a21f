/* SPDX-License-Identifier: Apache-2.0
 * What a model server may send: a stream of arbitrary events, a refusal of arbitrary
 * text; and stored messages of arbitrary JSON. The first byte chooses the provider. Texts
 * stay UTF-8, what a provider wants back is JSON, errors have a sentence, what is written
 * is JSON. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "common/json.h"
#include "worker/llm/llm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct llm_provider *const providers[] = {&llm_openai, &llm_anthropic,
						       &llm_gemini, &llm_responses};
static const struct llm_provider *provider;

static bool is_json(const struct strbuf *b)
{
	struct json_doc *d = json_parse(strbuf_slice(b), b->n, NULL, 0);
	json_free(d);
	return d;
}

/* As a column of the database takes it. */
static void check_text(struct slice s)
{
	check(slice_is_utf8(s) && !(s.n && memchr(s.p, 0, s.n)));
}

static void check_part(const struct llm_answer *a, const struct llm_part *p)
{
	check_text(strbuf_slice(&p->id));
	check_text(strbuf_slice(&p->name));
	check_text(strbuf_slice(&p->arguments));
	check_text(strbuf_slice(&p->thought));
	check(!p->opaque.n || is_json(&p->opaque));
	if (p->kind == LLM_TEXT)
		check(p->from + p->n <= a->text.n);
	check_text(p->kind == LLM_TEXT ? llm_part_text(a, p) : SLICE_NONE);
}

static void check_answer(const struct llm_answer *a, enum err e)
{
	const struct llm_usage *u = &a->usage;
	check(a->call_count <= a->part_count && a->part_count <= LLM_PARTS_MOST);
	check_text(strbuf_slice(&a->text));
	for (size_t i = 0; i < a->part_count; i++)
		check_part(a, &a->parts[i]);
	check(u->in >= 0 && u->out >= 0 && u->cached >= 0 && u->cache_write >= 0 &&
	      u->reasoning >= 0);
	check(a->retry_after_us >= 0);
	check(memchr(a->error, 0, sizeof a->error));
	check(!e || a->error[0]);
	check(!e || slice_is_utf8(slice_str(a->error)));
}

static void read_stream(struct llm_answer *a, struct slice all)
{
	enum err e = ERR_OK;
	while (!e && all.p) {
		struct slice line = slice_cut(&all, '\n');
		char *copy = xmemdup(line.n ? line.p : "", line.n ? line.n : 1);
		e = provider->read_event(a, SLICE_NONE, slice_of(copy, line.n));
		free(copy);
		check_answer(a, e);
	}
}

/* The same content as every role, each behind every other. */
static void write_stored(struct slice content)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	struct llm_message m[8];
	struct llm_message *list[ARRAY_LEN(m)];
	static const enum llm_role roles[] = {LLM_USER,      LLM_ASSISTANT, LLM_TOOL,
					      LLM_ASSISTANT, LLM_USER,      LLM_TOOL,
					      LLM_SUMMARY,   LLM_ASSISTANT};
	for (size_t i = 0; i < ARRAY_LEN(m); i++) {
		m[i] = (struct llm_message){roles[i], content, STRBUF_INIT, NULL};
		list[i] = &m[i];
	}
	struct llm_question q = {.model = content,
				 .system = content,
				 .messages = list,
				 .message_count = ARRAY_LEN(m),
				 .params = {.effort = content}};
	provider->write_request(&out, &q);
	check(is_json(&out));
	strbuf_reset(&out);
	provider->write_path(&out, &q);
	for (size_t i = 0; i < ARRAY_LEN(m); i++)
		strbuf_fini(&m[i].wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {400, 401, 429, 500};
	struct llm_answer a;
	if (size < 2)
		return 0;
	struct slice all = slice_of(data + 1, size - 1);
	provider = providers[data[0] % ARRAY_LEN(providers)];
	llm_answer_init(&a);
	read_stream(&a, all);
	llm_answer_reset(&a);
	read_stream(&a, all); /* memory that was used before */
	llm_answer_reset(&a);
	enum err e = provider->read_refusal(&a, statuses[data[0] / 4 % 4], all);
	check(e);
	check_answer(&a, e);
	llm_answer_fini(&a);
	write_stored(all);
	return 0;
}
