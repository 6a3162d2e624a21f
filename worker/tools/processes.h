/* SPDX-License-Identifier: Apache-2.0
 * The processes of a run: programs that outlive the calls that started them. They end
 * with the run's stay on this worker, whatever ends it; what an earlier worker ran is
 * known by its number alone.
 *
 * Owns: its programs. Bounded: PROCESSES_MOST that are kept; of those that ended the
 * oldest is forgotten when room is needed. */
#ifndef TB_PROCESSES_H
#define TB_PROCESSES_H

#include <stdbool.h>

#include "common/slice.h"

#define PROCESSES_MOST 8

struct loop;
struct processes;
struct program;
struct strbuf;

/* on_quiet: nothing of them is left, after processes_end. */
struct processes *processes_new(struct loop *l, void (*on_quiet)(void *arg), void *arg);
/* What lives is ended, unseen. */
void processes_free(struct processes *s);
/* Numbers up to that one were used by a worker that had the run before. */
void processes_lost(struct processes *s, unsigned number);
/* Whether another one may be started. */
bool processes_have_room(const struct processes *s);
/* p is theirs from now on, and has a number. */
void processes_adopt(struct processes *s, struct program *p);
/* Ends all of them. True: nothing of them is left; false: on_quiet will say so. */
bool processes_end(struct processes *s);
/* "p3"; NULL: there is none, and why gets the sentence. */
struct program *processes_find(struct processes *s, struct slice name, char *why,
			       size_t size);
/* The next one after p, NULL: the first one; NULL: there are no more. */
struct program *processes_next(struct processes *s, struct program *p);
/* One of theirs printed, or ended: who waits for that is told. One waits at a time;
 * fn NULL: nobody does. */
void processes_watch(struct processes *s, void (*fn)(void *arg), void *arg);
void processes_changed(struct processes *s);

#endif
