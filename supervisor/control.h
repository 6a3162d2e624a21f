/* SPDX-License-Identifier: Apache-2.0
 * What edges and operators ask of runs, lanes and tenants. Each is durable before `done`
 * says so; a lost connection is asked again until it is known. */
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
	bool changed;           /* pause */
};

/* Later or at once, exactly once. */
typedef void control_done(void *arg, const struct control_answer *a);

/* ERR_NOT_FOUND: there is no such run of that tenant; ERR_CONFLICT: it had ended (result
 * says how); ERR_UNAVAILABLE: the database is away, nothing happened. */
void control_cancel(struct sup *s, int64_t tenant, struct uuid run, const char *by,
		    control_done *done, void *arg);
/* on 1: pauses; 0: resumes. ERR_UNAVAILABLE. */
void control_pause(struct sup *s, const struct lq_pause *what, int on, const char *by,
		   control_done *done, void *arg);
/* A new run with the same input. ERR_NOT_FOUND, ERR_CONFLICT (it has not ended, was
 * redriven already, its session was deleted or its message is not kept: the message says
 * which), ERR_UNAVAILABLE. */
void control_redrive(struct sup *s, int64_t tenant, struct uuid run, const char *by,
		     control_done *done, void *arg);
/* Ends a never-started run whose deadline passed; -> LQ_GONE or LQ_KEPT. */
void control_expire(struct sup *s, struct lq_run *r);
/* Ends a run as dead that no worker can end: code "poison" (it took its worker down too
 * often) or "no_input" (its message is missing). */
void control_bury(struct sup *s, int64_t tenant, struct uuid run, struct uuid session,
		  const char *code);
/* What is paused, from the database: before the queue is loaded. done() then. */
void control_load_pauses(struct sup *s, void (*done)(struct sup *s));

#endif
