/* SPDX-License-Identifier: Apache-2.0
 * Rendezvous hashing: each slot goes to the worker with the highest weight for it. */
#include "supervisor/placement.h"

#include "common/crypto.h"

static uint64_t weight(int ordinal, unsigned slot)
{
	static const uint8_t key[16] =
		"terabits-slots-1"; /* fixed: a restart must find the same owners */
	uint32_t pair[2] = {(uint32_t)ordinal, slot};
	return crypto_siphash(key, slice_of(pair, sizeof pair));
}

void placement_compute(const int *ordinals, int n, int16_t slots[LIMIT_SLOTS])
{
	for (unsigned s = 0; s < LIMIT_SLOTS; s++) {
		uint64_t best = 0;
		slots[s] = -1;
		for (int i = 0; i < n; i++) {
			uint64_t w = weight(ordinals[i], s);
			if (slots[s] >= 0 && w <= best)
				continue;
			best = w;
			slots[s] = (int16_t)ordinals[i];
		}
	}
}
