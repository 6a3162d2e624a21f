/* SPDX-License-Identifier: Apache-2.0
 * Notices a model that goes in circles: the same call with the same result, again and
 * again, also with others in between. Pure. It counts within one run: one that is resumed
 * tells it again what the journal has. So hashes are of values: Postgres gives back JSON
 * with other spaces, another order of members, other spellings of numbers. */
#ifndef TB_LOOP_GUARD_H
#define TB_LOOP_GUARD_H

#include <stdint.h>

#include "common/slice.h"

/* Calls that are remembered; and after how many equal ones the model is warned, the call
 * is not made any more, the run ends. */
#define LOOP_HISTORY 30
#define LOOP_WARN 10
#define LOOP_BLOCK 20
#define LOOP_END 30

struct loop_guard {
	struct loop_pair {
		uint64_t call, result;
	} last[LOOP_HISTORY]; /* a ring */
	unsigned made;
};

/* Of a call by its name and arguments (JSON). */
uint64_t loop_call_hash(struct slice name, struct slice input);
/* Of a result (JSON), without what differs at each call: the time it took. */
uint64_t loop_result_hash(struct slice output);
/* How many of the remembered calls are this one with the result that it had last. */
unsigned loop_guard_repeats(const struct loop_guard *g, uint64_t call);
/* Remembers a call with its result. */
void loop_guard_add(struct loop_guard *g, uint64_t call, uint64_t result);
/* Remembers one that was not made: its result is as it was last. */
void loop_guard_add_blocked(struct loop_guard *g, uint64_t call);

#endif
