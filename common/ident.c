/* SPDX-License-Identifier: Apache-2.0
 * UUIDv7: 48 bits of milliseconds, 12 bits of counter, 62 random bits. */
#include "common/ident.h"

#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"

#define COUNTER_MAX 0xfff

struct uuid uuid7_new(void)
{
	static int64_t last_ms;
	static unsigned counter;
	struct uuid u;
	int64_t ms = clock_real_us() / 1000;

	crypto_random(u.b, sizeof u.b);
	if (ms > last_ms) {
		last_ms = ms;
		counter = u.b[6] & 0x7f; /* a random start, with room to count */
	} else if (++counter > COUNTER_MAX) {
		last_ms++; /* ahead of the clock rather than out of order */
		counter = 0;
	}
	for (int i = 0; i < 6; i++)
		u.b[i] = (uint8_t)(last_ms >> (40 - 8 * i));
	u.b[6] = (uint8_t)(0x70 | counter >> 8);
	u.b[7] = (uint8_t)counter;
	u.b[8] = (uint8_t)(0x80 | (u.b[8] & 0x3f));
	return u;
}

static bool is_dash_at(int i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

void uuid_format(struct uuid u, char out[UUID_TEXT_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	int byte = 0;
	for (int i = 0; i < UUID_TEXT_LEN; byte++) {
		if (is_dash_at(i))
			out[i++] = '-';
		out[i++] = digits[u.b[byte] >> 4];
		out[i++] = digits[u.b[byte] & 15];
	}
	out[UUID_TEXT_LEN] = 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool uuid_parse(struct slice text, struct uuid *out)
{
	struct uuid u;
	int byte = 0;
	if (text.n != UUID_TEXT_LEN)
		return false;
	for (int i = 0; i < UUID_TEXT_LEN; i += 2) {
		if (is_dash_at(i) && text.p[i++] != '-')
			return false;
		int high = nibble(text.p[i]), low = nibble(text.p[i + 1]);
		if (high < 0 || low < 0)
			return false;
		u.b[byte++] = (uint8_t)(high << 4 | low);
	}
	*out = u;
	return true;
}

bool uuid_eq(struct uuid a, struct uuid b)
{
	return memcmp(a.b, b.b, sizeof a.b) == 0;
}

bool uuid_is_nil(struct uuid u)
{
	static const struct uuid nil;
	return uuid_eq(u, nil);
}

int64_t uuid7_ms(struct uuid u)
{
	int64_t ms = 0;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | u.b[i];
	return ms;
}
