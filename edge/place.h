/* SPDX-License-Identifier: Apache-2.0
 * A call of a tool, by its run, step and number in it: "<run>:<step>:<call>". It is the
 * id of an execution and of a spawn, and a place of their lists. Pure. */
#ifndef TB_EDGE_PLACE_H
#define TB_EDGE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"

struct place {
	struct uuid run;
	int64_t step, call; /* 0 to 32767 */
};

/* Before the newest of all. */
struct place place_newest(void);
bool place_parse(struct slice text, struct place *out);

#endif
