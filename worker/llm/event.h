/* SPDX-License-Identifier: Apache-2.0
 * What every reader of a provider's stream needs: an event as JSON, and counts that can
 * be added without looking. */
#ifndef TB_LLM_EVENT_H
#define TB_LLM_EVENT_H

#include "common/json.h"
#include "worker/llm/llm.h"

/* Of one token count; what claims more is no count. Sums of some stay far from overflow.
 */
#define LLM_COUNT_MOST 1000000000000ll

/* The event as JSON, its texts mended where they are none (common/json_mend.h); the
 * caller frees it. NULL: it is none, and a->error says so (ERR_MODEL_BROKEN is due). */
struct json_doc *llm_event(struct llm_answer *a, struct slice data);
/* The member, when it is a count; otherwise *to stays as it is. */
void llm_count(json_t usage, const char *key, int64_t *to);
/* An opaque {"key":"value"}, made by the first value that is one; later ones lengthen it.
 */
void llm_opaque_grow(struct llm_part *p, const char *key, struct slice value);

#endif
