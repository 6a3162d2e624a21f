/* SPDX-License-Identifier: Apache-2.0
 * What edges and operators ask of runs, lanes and tenants. Each is durable before `done`
 * says so. What was sent and not answered is asked again until it is known, and what
 * meets another transaction's lock until that has passed; who waits hears after 4 s what
 * is known by then (ERR_UNAVAILABLE): that nothing happened, or that it is not known
 * whether it did, and whether it is still being done. */
#ifndef TB_CONTROL_H
#define TB_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"
#include "supervisor/lq.h"

struct sup;

struct control_answer {
	enum err err;
	const char *message; /* with err: a sentence for people, valid in the callback */
	enum run_result result; /* cancel: how it ended; 0: it is being cancelled */
	struct uuid run;        /* redrive: the new run */
	bool changed;           /* pause; redrive: it was made by this call */
};

/* Later or at once, exactly once. NULL: nobody waits; then what was asked is done once
 * the database is there. */
typedef void control_done(void *arg, const struct control_answer *a);

/* ERR_NOT_FOUND: there is no such run of that tenant; ERR_CONFLICT: it had ended (result
 * says how); ERR_UNAVAILABLE: the message says whether nothing happened, or that this is
 * not known. A run whose T0 is under way is cancelled once that is known. */
void control_cancel(struct sup *s, int64_t tenant, struct uuid run, const char *by,
		    control_done *done, void *arg);
/* The run's T0 is known: what waited for it goes on. */
void control_landed(struct uuid run);
/* on 1: pauses; 0: resumes. ERR_UNAVAILABLE; ERR_CONFLICT: its fate was not known yet
 * when the opposite was asked for. Of a lane it is not asked on for long when it is not
 * known: memory then learns from the database what holds. */
void control_pause(struct sup *s, const struct lq_pause *what, int on, const char *by,
		   control_done *done, void *arg);
/* A new run with the same input: one at most of each run. key: of idempotency, SLICE_NONE
 * none: the call that has it again gets the same run. ERR_NOT_FOUND, ERR_IDEMPOTENCY (the
 * key was used for another run), ERR_CONFLICT (it
 * has not ended, was redriven already, its session was deleted or its message is not
 * kept: the message says which), ERR_UNAVAILABLE. While one is under way another of the
 * same run waits for the same answer. */
void control_redrive(struct sup *s, int64_t tenant, struct uuid run, struct slice key,
		     const char *by, control_done *done, void *arg);
/* Ends a run as dead that no worker can end, once this node may write: code "poison" (it
 * took its worker down too often) or "no_input" (its message is missing). */
void control_bury(struct sup *s, int64_t tenant, struct uuid run, struct uuid session,
		  const char *code);
/* A person's answer to what a run asks. message: of a denial, SLICE("") is none; copied.
 */
struct control_decision {
	int64_t tenant;
	struct uuid run, session, approval;
	enum decision decision;
	struct slice message, by;
};
/* ERR_NOT_FOUND: nothing of that tenant was asked so; ERR_CONFLICT: it has another
 * answer; ERR_UNAVAILABLE. The same answer again is fine. */
void control_decide(struct sup *s, const struct control_decision *d, control_done *done,
		    void *arg);
/* LQ_DO_DENY: a message came instead of the answer; once this node may write. */
void control_deny(struct sup *s, int64_t tenant, struct uuid run, struct uuid session);
/* What is paused, from the database: before the queue is loaded. done() then. */
void control_load_pauses(struct sup *s, void (*done)(struct sup *s));

#endif
