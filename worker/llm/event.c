/* SPDX-License-Identifier: Apache-2.0
 * Events of a model's stream. */
#include "worker/llm/event.h"

#include <stdio.h>

#include "common/attr.h"

#define EVENT_MOST (8u << 20)

/* Some models make such characters, some servers cut them in two. */
static struct json_doc *mended(struct llm_answer *a, struct slice data, char *why,
			       size_t why_size)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (data.n > EVENT_MOST || !json_mend(&a->mending, data, &b))
		return NULL;
	return json_parse(strbuf_slice(&b), 2 * EVENT_MOST, why, why_size);
}

struct json_doc *llm_event(struct llm_answer *a, struct slice data)
{
	char why[120];
	struct json_doc *d = json_parse(data, EVENT_MOST, why, sizeof why);
	/* In one that is JSON there may be what an earlier one's half waits for. */
	if (!d || a->mending.half[0]) {
		struct json_doc *other = mended(a, data, why, sizeof why);
		if (other) {
			json_free(d);
			d = other;
		}
	}
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
