/* SPDX-License-Identifier: Apache-2.0
 * The hash class of a lane. */
#include "edge/slot.h"

#include "common/crypto.h"
#include "common/die.h"
#include "proto/limits.h"

unsigned slot_of(int64_t tenant, struct uuid agent, struct slice session_key)
{
	static const uint8_t key[16] = "terabits-lanes-1";
	char text[24 + LIMIT_SESSION_KEY];
	check(session_key.n <= LIMIT_SESSION_KEY);
	for (int i = 0; i < 8; i++)
		text[i] = (char)((uint64_t)tenant >> (56 - 8 * i));
	memcpy(text + 8, agent.b, 16);
	memcpy(text + 24, session_key.p, session_key.n);
	return (unsigned)(crypto_siphash(key, slice_of(text, 24 + session_key.n)) %
			  LIMIT_SLOTS);
}
