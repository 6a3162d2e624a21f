/* SPDX-License-Identifier: Apache-2.0
 * Counts and arrival times of chat requests. */
#ifndef FAKE_STATS_H
#define FAKE_STATS_H

#include <stdint.h>

#include "common/slice.h"
#include "common/strbuf.h"

#define STATS_RING 65536u

struct stats {
	uint64_t requests, samples, accepted; /* accepted: connections, ever */
	uint64_t told_in, told_out;           /* tokens, of answers that ended well */
	int open, connections;                /* chat requests under way; connections */
	size_t last_body;
	int64_t arrival_us[STATS_RING];
};

/* Takes a sample if the text holds `t=<CLOCK_MONOTONIC microseconds>`. */
void stats_arrival(struct stats *s, struct slice text);
/* Appends the figures as a JSON object. */
void stats_print(const struct stats *s, struct strbuf *out);
/* Forgets what was counted, not what is open. */
void stats_clear(struct stats *s);

#endif
