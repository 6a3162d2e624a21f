/* SPDX-License-Identifier: Apache-2.0
 * Questions outside of any lane (docs/inquiries.md): what a worker is asked by INQUIRY
 * and answers once, in parts. A question touches no run, no lane and no transcript; it
 * has a capability of its own. */
#ifndef TB_INQUIRY_H
#define TB_INQUIRY_H

#include <stdbool.h>

#include "common/attr.h"
#include "common/err.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "proto/wire.h"
#include "worker/worker.h"

#define INQUIRIES_OF_WORKER 8u
#define EMBEDDINGS_OF_WORKER 16u
#define WEBHOOKS_OF_WORKER 64u

struct inquiry {
	struct list node; /* in worker.inquiries */
	struct worker *worker;
	uint64_t number;
	int64_t tenant; /* 0: the platform */
	enum inquiry_kind kind;
	struct uuid object;
	unsigned step;
	char model[LIMIT_MODEL + 1];
	char cap[LIMIT_CAP_TEXT + 1];
	struct strbuf body; /* what is asked, JSON; empty: nothing beside the rest */
	/* The work's own, freed by it when it was released last. on_time: its time is
	 * over, and it can say more than that; NULL: it cannot. on_end: it is over, what
	 * is under way may end. */
	void *work;
	void (*on_time)(struct inquiry *i);
	void (*on_end)(struct inquiry *i);
	void (*free_work)(void *work);

	/* ---- inquiry.c only */
	struct loop_timer *deadline, *pause;
	unsigned holds;
	bool over; /* it has its answer: nothing more is asked for */
	struct strbuf answer;
	size_t told;
};

/* INQUIRY. */
void inquiry_begin(struct worker *w, const struct wire_inquiry *m);
/* Of who waits for something: it is there until inquiry_release, which may free it. */
void inquiry_hold(struct inquiry *i);
void inquiry_release(struct inquiry *i);
/* The answer, JSON, which becomes its own. Only the first of these two counts. */
void inquiry_finish(struct inquiry *i, struct strbuf *json);
PRINTF_LIKE(3, 4) void inquiry_fail(struct inquiry *i, enum err e, const char *fmt, ...);
/* This worker drains: all are refused, later ones too. */
void inquiries_drain(struct worker *w);

/* ---- what there is to be asked; each begins and returns */
void key_test_begin(struct inquiry *i);
void step_request_begin(struct inquiry *i);
void embed_begin(struct inquiry *i);
void webhook_begin(struct inquiry *i);

#endif
