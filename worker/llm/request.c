/* SPDX-License-Identifier: Apache-2.0
 * Lines and joints. */
#include "worker/llm/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"

#define LOCAL_SILENCE_US 300000000ll

struct slice llm_base_url(const struct llm_target *t)
{
	struct slice base =
		t->base_url.n ? t->base_url : slice_str(t->provider->base_url);
	while (base.n && base.p[base.n - 1] == '/')
		base.n--;
	return base;
}

void llm_put_url(struct strbuf *out, const struct llm_target *t,
		 const struct llm_question *q)
{
	strbuf_add_slice(out, llm_base_url(t));
	t->provider->write_path(out, q);
}

/* A value that would end its line is none: the provider then says what it misses. */
static void put(struct llm_headers *as, const char *name, struct slice value)
{
	struct llm_lines *h = (struct llm_lines *)as;
	size_t size = strlen(name) + value.n + 3;
	if (slice_has_control(value) || h->count == LLM_HEADERS_MOST)
		return;
	h->line[h->count] = xmalloc(size);
	snprintf(h->line[h->count++], size, "%s: %.*s", name, SLICE_ARG(value));
}

void llm_lines_fill(struct llm_lines *h, const struct llm_target *t, bool body)
{
	*h = (struct llm_lines){.as.put = put};
	if (body)
		put(&h->as, "Content-Type", SLICE("application/json"));
	t->provider->write_headers(&h->as, t);
}

void llm_lines_wipe(struct llm_lines *h)
{
	for (size_t i = 0; i < h->count; i++) {
		crypto_wipe(h->line[i], strlen(h->line[i]));
		free(h->line[i]);
	}
	h->count = 0;
}

void llm_hide(char *text, size_t *n, struct slice key)
{
	static const char mask[] = "[redacted]";
	const size_t m = sizeof mask - 1;
	ptrdiff_t at;
	size_t from = 0;
	while (*n && key.n > m &&
	       (at = slice_find(slice_of(text + from, *n - from), key)) >= 0) {
		char *found = text + from + at;
		size_t rest = *n - (size_t)(found - text) - key.n;
		memcpy(found, mask, m);
		memmove(found + m, found + key.n, rest);
		*n -= key.n - m;
		from = (size_t)(found - text) + m;
	}
}

/* What is on this machine may have to load its model first. */
int64_t llm_silence_us(const struct llm_target *t)
{
	if (t->silence_us || !llm_is_local(llm_base_url(t)))
		return t->silence_us;
	return LOCAL_SILENCE_US;
}
