/* SPDX-License-Identifier: Apache-2.0
 * Identifiers: UUIDv7 (RFC 9562), made here and never in the database, so ids sort by
 * time. */
#ifndef TB_IDENT_H
#define TB_IDENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/slice.h"

struct uuid {
	uint8_t b[16];
};

#define UUID_TEXT_LEN 36

/* Wall-clock milliseconds, a 12-bit counter that keeps ids of one process in order within
 * a millisecond (and when the clock steps back), 62 random bits. */
struct uuid uuid7_new(void);
/* 36 characters and a NUL. */
void uuid_format(struct uuid u, char out[UUID_TEXT_LEN + 1]);
/* Exactly the 36-character form, either case. */
bool uuid_parse(struct slice text, struct uuid *out);
bool uuid_eq(struct uuid a, struct uuid b);
bool uuid_is_nil(struct uuid u);
static inline struct slice uuid_slice(const struct uuid *u)
{
	return (struct slice){(const char *)u->b, 16};
}
/* The milliseconds since 1970 inside a UUIDv7. */
int64_t uuid7_ms(struct uuid u);

#endif
