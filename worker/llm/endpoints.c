/* SPDX-License-Identifier: Apache-2.0
 * BOOT's lines, cut. */
#include "worker/llm/endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"

#define ENDPOINTS_MOST 16

struct endpoints {
	char *text;
	size_t bytes;
	struct llm_target targets[ENDPOINTS_MOST];
	size_t count;
};

struct endpoints *endpoints_new(struct slice text)
{
	struct endpoints *e = xcalloc(1, sizeof *e);
	e->text = xstrndup(text.p ? text.p : "", text.n);
	e->bytes = text.n;
	for (struct slice rest = slice_of(e->text, e->bytes);
	     rest.n && e->count < ENDPOINTS_MOST;) {
		struct slice line = slice_cut(&rest, '\n');
		struct llm_target t = {
			.provider = llm_provider_named(slice_cut(&line, '\t'))};
		t.base_url = slice_cut(&line, '\t');
		t.api_key = slice_cut(&line, '\t');
		t.version = line;
		if (t.provider)
			e->targets[e->count++] = t;
	}
	return e;
}

void endpoints_free(struct endpoints *e)
{
	if (!e)
		return;
	crypto_wipe(e->text, e->bytes);
	free(e->text);
	free(e);
}

void endpoints_each_key(const struct endpoints *e,
			void (*fn)(void *arg, struct slice key), void *arg)
{
	for (size_t i = 0; i < e->count; i++)
		fn(arg, e->targets[i].api_key);
}

bool endpoints_find(const struct endpoints *e, const struct llm_provider *p,
		    struct llm_target *t)
{
	*t = (struct llm_target){.provider = p};
	for (size_t i = 0; i < e->count; i++)
		if (e->targets[i].provider == p)
			*t = e->targets[i];
	return t->base_url.n || t->api_key.n || !p->base_url ||
	       llm_is_local(slice_str(p->base_url));
}
