/* SPDX-License-Identifier: Apache-2.0
 * Of test_admin.c: the pauses of the pretended queue. */
#ifndef TB_TEST_ADMIN_PAUSES_H
#define TB_TEST_ADMIN_PAUSES_H

#include "supervisor/lq.h"

static struct lq_pause pauses[4];
static int pause_count;

void lq_each_pause(const struct lq *q, bool (*fn)(void *, const struct lq_pause *),
		   void *ctx)
{
	(void)q;
	for (int i = 0; i < pause_count; i++)
		if (!fn(ctx, &pauses[i]))
			return;
}

const struct lq_pause *lq_pause_find(const struct lq *q, enum lq_scope scope,
				     int64_t tenant, struct uuid id)
{
	(void)q;
	for (int i = 0; i < pause_count; i++)
		if (pauses[i].scope == scope && pauses[i].tenant == tenant &&
		    uuid_eq(pauses[i].id, id))
			return &pauses[i];
	return NULL;
}

bool lq_is_paused(const struct lq *q, enum lq_scope scope, int64_t tenant, struct uuid id)
{
	return lq_pause_find(q, scope, tenant, id) != NULL;
}

#endif
