/* SPDX-License-Identifier: Apache-2.0
 * T0: from an edge's ENQUEUE to its ENQUEUED. */
#ifndef TB_ACCEPT_H
#define TB_ACCEPT_H

#include "common/err.h"
#include "proto/wire.h"
#include "supervisor/lq.h"

struct sup;
struct child;
struct item;
struct pg_result;

/* A request of an edge. */
void accept_enqueue(struct sup *s, struct child *edge, const struct wire_enqueue *m);
/* LQ_DO_ENQUEUE and LQ_DO_REFUSE of it. */
void accept_act(struct sup *s, const struct lq_action *a);

/* ---- what the journal learnt; it frees the item afterwards */
void accept_answered(struct sup *s, struct item *it, const struct pg_result *r, int row);
void accept_failed(struct sup *s, struct item *it, enum err e);

#endif
