/* SPDX-License-Identifier: Apache-2.0
 * One asynchronous operation: see op.h for the contract. */
#include "common/op.h"

#include <stddef.h>

#include "common/die.h"
#include "common/loop.h"

void op_init(struct op *op, struct loop *l, op_done_fn *done, void *arg)
{
	*op = (struct op){.loop = l, .done = done, .arg = arg};
}

static void on_deadline(void *arg)
{
	op_cancel(arg, ERR_TIMEOUT);
}

void op_start(struct op *op, op_cancel_fn *cancel, void *provider, int64_t deadline_us)
{
	check(!op->active);
	op->active = true;
	op->cancel = cancel;
	op->provider = provider;
	if (deadline_us > 0) {
		op->deadline = loop_timer_new(op->loop, on_deadline, op);
		loop_timer_start(op->deadline, deadline_us);
	}
}

void op_finish(struct op *op, enum err result)
{
	check(op->active);
	op->active = false;
	loop_timer_free(op->deadline);
	op->deadline = NULL;
	op->done(op, result, op->arg);
}

void op_cancel(struct op *op, enum err why)
{
	if (op->active && op->cancel)
		op->cancel(op, why, op->provider);
}
