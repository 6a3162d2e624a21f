/* SPDX-License-Identifier: Apache-2.0
 * What a model server may send: a stream of arbitrary lines, a refusal of arbitrary text;
 * and stored messages of arbitrary JSON. Texts stay UTF-8, errors have a sentence, what
 * is written is JSON. */
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

static void check_answer(const struct llm_answer *a, enum err e)
{
	check(a->call_count <= LLM_CALLS_MOST && a->call_count <= a->call_cap);
	check(slice_is_utf8(strbuf_slice(&a->text)));
	for (size_t i = 0; i < a->call_count; i++) {
		check(slice_is_utf8(strbuf_slice(&llm_call_at(a, i)->id)));
		check(slice_is_utf8(strbuf_slice(&llm_call_at(a, i)->name)));
		check(slice_is_utf8(strbuf_slice(&llm_call_at(a, i)->arguments)));
	}
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
		e = llm_openai.read_event(a, SLICE_NONE, slice_of(copy, line.n));
		free(copy);
		check_answer(a, e);
	}
}

static void write_stored(struct slice content)
{
	AUTO(auto_json_free)
	struct json_doc *stored = json_parse(content, content.n, NULL, 0);
	for (int role = LLM_USER; role <= LLM_SUMMARY; role++) {
		AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
		strbuf_add_char(&out, '[');
		llm_openai.write_message(&out, (enum llm_role)role,
					 json_get(json_root(stored), "blocks"));
		strbuf_add_char(&out, ']');
		AUTO(auto_json_free)
		struct json_doc *d = json_parse(strbuf_slice(&out), out.n, NULL, 0);
		check(d);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {400, 401, 429, 500};
	struct llm_answer a;
	if (size < 2)
		return 0;
	struct slice all = slice_of(data + 1, size - 1);
	llm_answer_init(&a);
	read_stream(&a, all);
	llm_answer_reset(&a);
	read_stream(&a, all); /* memory that was used before */
	llm_answer_reset(&a);
	enum err e = llm_openai.read_refusal(&a, statuses[data[0] % 4], all);
	check(e);
	check_answer(&a, e);
	llm_answer_fini(&a);
	write_stored(all);
	return 0;
}
