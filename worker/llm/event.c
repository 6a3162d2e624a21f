/* SPDX-License-Identifier: Apache-2.0
 * Events of a model's stream. */
#include "worker/llm/event.h"

#include <stdio.h>

#define EVENT_MOST (8u << 20)

struct json_doc *llm_event(struct llm_answer *a, struct slice data)
{
	char why[120];
	struct json_doc *d = json_parse(data, EVENT_MOST, why, sizeof why);
	if (!d)
		snprintf(a->error, sizeof a->error, "the model's stream is not JSON: %s",
			 why);
	return d;
}

void llm_count(json_t usage, const char *key, int64_t *to)
{
	int64_t n;
	if (json_i64(json_get(usage, key), &n) && n >= 0 && n <= LLM_COUNT_MOST)
		*to = n;
}

void llm_opaque_grow(struct llm_part *p, const char *key, struct slice value)
{
	if (!value.n)
		return;
	if (p->opaque.n)
		p->opaque.n -= 2; /* the quote and the brace */
	else
		strbuf_printf(&p->opaque, "{\"%s\":\"", key);
	json_escape(&p->opaque, value);
	strbuf_add_str(&p->opaque, "\"}");
}
