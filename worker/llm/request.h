/* SPDX-License-Identifier: Apache-2.0
 * What goes around the body of a request to a provider: its URL and its headers. */
#ifndef TB_LLM_REQUEST_H
#define TB_LLM_REQUEST_H

#include "worker/llm/llm.h"

#define LLM_HEADERS_MOST 8

/* "name: value" lines, NULL behind the last. Wipe it: one is the key. */
struct llm_lines {
	struct llm_headers as;
	char *line[LLM_HEADERS_MOST + 1];
	size_t count;
};

/* Without the slashes at its end; the target's, or its provider's own. */
struct slice llm_base_url(const struct llm_target *t);
/* Where the question goes. */
void llm_put_url(struct strbuf *out, const struct llm_target *t,
		 const struct llm_question *q);
/* Those of the target's provider, with the target's key. body: there is one, JSON. */
void llm_lines_fill(struct llm_lines *h, const struct llm_target *t, bool body);
void llm_lines_wipe(struct llm_lines *h);
/* A provider may quote the key it refuses: it is taken out of the text, which becomes
 * shorter. */
void llm_hide(char *text, size_t *n, struct slice key);
/* How long a server may say nothing; 0: the client's default. */
int64_t llm_silence_us(const struct llm_target *t);

#endif
