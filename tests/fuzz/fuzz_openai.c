/* SPDX-License-Identifier: Apache-2.0
 * Bodies of OpenAI's APIs: refused with a sentence, or an order and a history that are
 * JSON within their limits. The first byte chooses the API, and whether the session is
 * known. */
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/die.h"
#include "edge/openai/ask.h"
#include "edge/session_job.h"
#include "proto/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct slice text, size_t most, const char *member)
{
	AUTO(auto_json_free) struct json_doc *d = json_parse(text, most, NULL, 0);
	check(d && json_kind(json_get(json_root(d), member)) == JSON_ARRAY);
}

static void check_order(struct ask *ask, const char *list)
{
	struct ask_fault fault = {0};
	struct talk_part *parts;
	struct slice content;
	size_t count;
	bool fine = ask_compose(ask, list, &content, &fault);
	if (fine)
		check_json(content, LIMIT_BODY_BYTES, "blocks");
	if (fine && ask_history(ask, list, 0, &parts, &count, &fault)) {
		check(!ask->stable || !count);
		for (size_t i = 0; i < count; i++)
			check_json(strbuf_slice(&parts[i].body), IMPORT_BODY_MAX,
				   "messages");
		talk_free_parts(parts, count);
		return;
	}
	check(fault.message[0] && fault.status >= 400);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(auto_arena_free) struct arena *arena = arena_new(64u << 20);
	struct ask_fault fault = {0};
	struct ask ask;
	if (!size)
		return 0;
	bool chat = data[0] & 1, stable = data[0] & 2;
	struct slice body = slice_of(data + 1, size - 1);
	bool fine = chat ? ask_read_chat(&ask, arena, body, stable, &fault)
			 : ask_read_responses(&ask, arena, body, stable, &fault);
	if (fine)
		check_order(&ask, chat ? "messages" : "input");
	else
		check(fault.message[0] && fault.status >= 400);
	ask_fini(&ask);
	return 0;
}
