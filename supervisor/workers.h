/* SPDX-License-Identifier: Apache-2.0
 * How many workers there are, which slots are theirs, and how one leaves.
 *
 * A leaving worker owns no slots: its runs yield at their next step boundary and go on
 * elsewhere; at none left, or after 60 s, its link is closed, which ends it; at
 * the latest SIGKILL does. None of that is charged to a run. */
#ifndef TB_WORKERS_H
#define TB_WORKERS_H

#include <stdint.h>

#include "common/err.h"

struct sup;
struct workers;

#define WORKERS_MOST 62

/* The configured number; no child yet. */
struct workers *workers_new(struct sup *s);
/* That many workers in the end. ERR_BAD_REQUEST: not 1 to WORKERS_MOST. */
enum err workers_scale(struct sup *s, int n);
/* It takes no new lanes, ends at its last run's yield and stays away until it is scaled
 * up again. ERR_NOT_FOUND; ERR_CONFLICT: no other one is READY or starts
 * for the first time. */
enum err workers_drain(struct sup *s, int ordinal);
/* Drained, then born anew from the program's file as it is now. -1: all, one after the
 * other. ERR_NOT_FOUND. */
enum err workers_restart(struct sup *s, int ordinal);
/* The slot belongs to that worker whatever the hash says, while it is there. -1: no more.
 * ERR_NOT_FOUND, ERR_BAD_REQUEST (no such slot). */
enum err workers_pin(struct sup *s, unsigned slot, int ordinal);
int workers_target(const struct sup *s);
/* The ordinal, or -1. */
int workers_pinned(const struct sup *s, unsigned slot);
/* Slots that are its own now. */
uint32_t workers_slots(const struct sup *s, int ordinal);

/* The set of READY workers changed: slots are dealt anew. */
void workers_place(struct sup *s);
/* At the end of a turn's steps: lets go who has no run left, opens the quarantine worker
 * that is wanted, goes on with a rolling restart. */
void workers_look(struct sup *s);
/* The quarantine worker is wanted: born a little later, gone after a minute's idleness.
 */
void workers_quarantine(struct sup *s);

#endif
