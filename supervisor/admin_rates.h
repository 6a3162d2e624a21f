/* SPDX-License-Identifier: Apache-2.0
 * How many runs a second this node accepts and ends: means over about ten seconds. */
#ifndef TB_ADMIN_RATES_H
#define TB_ADMIN_RATES_H

#include <stdint.h>

struct sup;
struct rates;

/* Looks at the supervisor's counters once a second. */
struct rates *rates_new(struct sup *s);
void rates_free(struct rates *r);

/* A mean that forgets; zeroed before its first sample. */
struct mean {
	double sum, weight;
};
/* n things happened in the last `seconds`. */
void mean_add(struct mean *m, uint64_t n, double seconds);
/* Things a second; 0 before the first sample. */
double mean_rate(const struct mean *m);

double rates_accepted(const struct rates *r);
double rates_ended(const struct rates *r);

#endif
