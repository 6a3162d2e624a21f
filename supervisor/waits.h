/* SPDX-License-Identifier: Apache-2.0
 * How long the last starts had waited in the queue. Pure. */
#ifndef TB_WAITS_H
#define TB_WAITS_H

#include <stdint.h>

#define WAITS_KEPT 1024

/* Zeroed before its first sample. */
struct waits {
	uint32_t ms[WAITS_KEPT];
	unsigned at, count;
};

/* A run started that long after it could have. Below 0 counts as 0. */
void waits_add(struct waits *w, int64_t waited_us);
/* Half of them, and 99 of 100, waited at most that long; 0 when none started yet. Sorts a
 * copy. */
void waits_quantiles(const struct waits *w, uint32_t *p50_ms, uint32_t *p99_ms);

#endif
