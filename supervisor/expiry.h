/* SPDX-License-Identifier: Apache-2.0
 * The end of never-started runs whose deadline passed, and of the time in which a person
 * could answer what others ask (tb.expire), in batches on the journal's connection.
 *
 * One batch is under way at a time, so that after an outage what expired by the thousand
 * does not stand between new work and its commits. A batch whose fate is unknown goes
 * again; one that the database refuses goes row by row, and a row that it refuses alone
 * is asked for again by the queue (LQ_KEPT). No lock is waited for: a row whose lane
 * another transaction holds goes again after a pause that grows, the others do not wait
 * for it. Nothing is sent while Postgres is away or the lease is lost. Owns: its waiting
 * rows. */
#ifndef TB_EXPIRY_H
#define TB_EXPIRY_H

struct sup;
struct expiry;
struct lq_run;

struct expiry *expiry_new(struct sup *s);
void expiry_free(struct expiry *x);
/* LQ_DO_EXPIRE of the run; -> LQ_GONE, LQ_ANSWERED or LQ_KEPT. */
void expiry_add(struct expiry *x, const struct lq_run *r);

#endif
