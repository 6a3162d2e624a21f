/* SPDX-License-Identifier: Apache-2.0
 * One asynchronous operation: completes exactly once, can be cancelled, may have a
 * deadline.
 *
 * The provider (a database pool, an HTTP client, a tool) embeds or is handed a struct op
 * and promises: op_finish is called exactly once; after op_cancel it is called with
 * ERR_CANCELLED unless it had completed; the struct stays valid from op_start until the
 * completion ran. The consumer promises: `done` only stores the result and wakes its
 * task. */
#ifndef TB_OP_H
#define TB_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct loop;
struct loop_timer;
struct op;

typedef void op_done_fn(struct op *op, enum err result, void *arg);
typedef void op_cancel_fn(struct op *op, enum err why, void *provider);

struct op {
	struct loop *loop;
	op_done_fn *done;
	void *arg;
	op_cancel_fn *cancel; /* set by the provider when it accepts; it must lead to
				 op_finish(op, why) */
	void *provider;
	struct loop_timer *deadline;
	bool active;
};

/* The consumer's side, before handing the op to a provider. Zeroes the rest. */
void op_init(struct op *op, struct loop *l, op_done_fn *done, void *arg);
/* The provider's side, on acceptance. deadline_us > 0: op_cancel(op, ERR_TIMEOUT) after
 * that delay. */
void op_start(struct op *op, op_cancel_fn *cancel, void *provider, int64_t deadline_us);
/* The provider's side: the one completion. */
void op_finish(struct op *op, enum err result);
/* Asks the provider to stop; a no-op when nothing is active. `why` is what `done` will
 * get. */
void op_cancel(struct op *op, enum err why);
static inline bool op_is_active(const struct op *op)
{
	return op->active;
}

#endif
