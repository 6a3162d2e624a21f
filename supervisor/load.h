/* SPDX-License-Identifier: Apache-2.0
 * The queue's load from the database: all of it at the start, and again when the net
 * found that memory lacks a row. */
#ifndef TB_LOAD_H
#define TB_LOAD_H

struct sup;

/* rows: that memory did not have; failed: NULL: it is over; else why a page did not come:
 * that page is asked for again, until it comes, and nothing starts before. */
typedef void load_done(struct sup *s, int rows, const char *failed);

/* Reads every live row, a page at a time, on the lease's connection; those that memory
 * lacks go into the queue, the others are left alone. Nothing starts until it is over:
 * no lane may start before its older rows are known. Not while one is under way
 * (sup.loading). `done` says sup_release when it is over. */
void load_queue(struct sup *s, load_done *done);

#endif
