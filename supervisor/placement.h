/* SPDX-License-Identifier: Apache-2.0
 * Which worker owns a slot: rendezvous hashing of (worker ordinal, slot), so that a
 * change of the set of workers moves only the slots of the worker that came or went. */
#ifndef TB_PLACEMENT_H
#define TB_PLACEMENT_H

#include <stdint.h>

#include "proto/limits.h"

/* Fills slots with the owners among the `n` ordinals; -1 everywhere when n is 0. */
void placement_compute(const int *ordinals, int n, int16_t slots[LIMIT_SLOTS]);

#endif
