/* SPDX-License-Identifier: Apache-2.0
 * Where a node's model providers are, and the keys it has for them: what BOOT said. */
#ifndef TB_LLM_ENDPOINTS_H
#define TB_LLM_ENDPOINTS_H

#include <stdbool.h>

#include "worker/llm/llm.h"

struct endpoints;

/* Reads BOOT's lines (proto/messages.tbl) into memory of its own; a line of a provider
 * that this build does not know is left out. */
struct endpoints *endpoints_new(struct slice text);
void endpoints_free(struct endpoints *e);
/* The provider as this node reaches it; borrowed from e. False: it has neither a key nor
 * a place for it, and the provider is not one that stands beside us without a key. */
bool endpoints_find(const struct endpoints *e, const struct llm_provider *p,
		    struct llm_target *t);
/* Every key among them. */
void endpoints_each_key(const struct endpoints *e,
			void (*fn)(void *arg, struct slice key), void *arg);

#endif
