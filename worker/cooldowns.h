/* SPDX-License-Identifier: Apache-2.0
 * What model providers refused lately, to this worker and to all others: by key and
 * model, how long not to ask (tb.cooldown_note keeps it, docs/provider-keys.md).
 *
 * Of each tenant the last read is kept. A run has it read again when it is older than
 * COOLDOWNS_FRESH_US and a model is going to be asked (load_target); nothing here blocks,
 * and a database that does not answer keeps nobody from asking a model. The nil key is
 * the one of the node's settings. */
#ifndef TB_COOLDOWNS_H
#define TB_COOLDOWNS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"
#include "common/slice.h"

struct cooldowns;
struct pg_request;
struct pg_result;
struct run;

#define COOLDOWNS_FRESH_US 1000000

struct cooldowns *cooldowns_new(void);
void cooldowns_free(struct cooldowns *c);

/* ---- reading, into a request of the run's tenant (behind its capability) */

bool cooldowns_are_fresh(const struct run *r);
void cooldowns_ask(struct pg_request *q);
/* The answer; rows NULL: there is none, and for a moment it is done with what was known.
 */
void cooldowns_take(struct run *r, const struct pg_result *rows);

/* ---- what is known; `model` without the provider's name */

/* Microseconds until that model may be asked by that key, and why (NULL is fine); 0: now.
 */
int64_t cooldowns_left_us(const struct run *r, struct slice provider, struct slice model,
			  struct uuid key, enum err *why);
/* The key was refused. `why`: the class of the refusal; floor_us: what the provider asked
 * for, 0 nothing. Known here at once, to the others by the database; not waited for. */
void cooldowns_note(struct run *r, struct slice provider, struct slice model,
		    struct uuid key, enum err why, int64_t floor_us);
/* It was answered. Costs nothing unless failures are known. */
void cooldowns_clear(struct run *r, struct slice provider, struct slice model,
		     struct uuid key);

#endif
