/* SPDX-License-Identifier: Apache-2.0
 * A ring of the last starts. */
#include "supervisor/waits.h"

#include <stdlib.h>
#include <string.h>

void waits_add(struct waits *w, int64_t waited_us)
{
	int64_t ms = waited_us > 0 ? waited_us / 1000 : 0;
	w->ms[w->at] = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
	w->at = (w->at + 1) % WAITS_KEPT;
	w->count += w->count < WAITS_KEPT;
}

static int by_length(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

void waits_quantiles(const struct waits *w, uint32_t *p50_ms, uint32_t *p99_ms)
{
	uint32_t sorted[WAITS_KEPT];
	*p50_ms = *p99_ms = 0;
	if (!w->count)
		return;
	memcpy(sorted, w->ms, w->count * sizeof *sorted);
	qsort(sorted, w->count, sizeof *sorted, by_length);
	*p50_ms = sorted[(w->count - 1) / 2];
	*p99_ms = sorted[(w->count * 99 + 99) / 100 - 1];
}
