/* SPDX-License-Identifier: Apache-2.0
 * The dice of random tests: a seed from TB_SEED or the clock, always printed. */
#ifndef TB_TEST_RAND_H
#define TB_TEST_RAND_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/attr.h"
#include "common/clock.h"

static uint64_t rand_state;

/* The next number of a state of the caller's own. */
UNUSED static uint64_t rand_of(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

UNUSED static uint64_t rand_next(void)
{
	return rand_of(&rand_state);
}

/* 0 .. n-1 */
UNUSED static uint32_t rand_below(uint32_t n)
{
	return (uint32_t)(rand_next() % n);
}

UNUSED static bool rand_chance(uint32_t percent)
{
	return rand_below(100) < percent;
}

UNUSED static void rand_bytes(void *out, size_t n)
{
	uint8_t *p = out;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)rand_next();
}

UNUSED static void rand_begin(void)
{
	const char *given = getenv("TB_SEED");
	rand_state = given ? strtoull(given, NULL, 0) : (uint64_t)clock_real_us();
	printf("TB_SEED=%" PRIu64 "\n", rand_state);
	fflush(stdout);
}

#endif
