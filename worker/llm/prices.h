/* SPDX-License-Identifier: Apache-2.0
 * What model calls cost: prices by model, and the sum of one call. Pure; amounts are
 * micros, millionths of a US dollar, in integers. */
#ifndef TB_LLM_PRICES_H
#define TB_LLM_PRICES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/slice.h"
#include "worker/llm/llm.h"

#define PRICE_UNKNOWN (-1)

/* Micros per million tokens. */
struct price {
	int64_t in, out, cached, cache_write;
};

struct price_list; /* prices that come before the build's */

/* From a JSON array of {"of":"tenant"|"platform","provider","model","input","output",
 * "cached","cacheWrite"}, as tb.price_report gives it. What cannot be read is left out.
 * NULL: none. */
struct price_list *price_list_new(struct slice json);
void price_list_free(struct price_list *l); /* NULL is fine */

/* Of a model (without its provider's prefix): the tenant's price, the platform's, the
 * build's; the longest pattern of each. False: nobody knows it. `l` may be NULL. */
bool price_find(const struct price_list *l, struct slice provider, struct slice model,
		struct price *out);
/* Of one call, rounded up; INT64_MAX at most. Thoughts are part of `out`, what a cache
 * gave and took part of `in`; where a provider reports more of these than `in`, they
 * count. */
int64_t price_cost(const struct price *p, const struct llm_usage *u);

#endif
