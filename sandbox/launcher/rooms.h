/* SPDX-License-Identifier: Apache-2.0
 * How full workspaces are, where the file system does not count for us.
 *
 * A count is a walk over the whole workspace, by a process of its own that has the
 * tenant's user: this one never waits for it. It is good for half a second, or ten times
 * what it took, so that counting takes a tenth of the time at most; what a jail wrote
 * makes it worthless.
 *
 * Owns: the counts and their processes. Fails: a workspace that cannot be counted counts
 * as full. */
#ifndef TB_LAUNCHER_ROOMS_H
#define TB_LAUNCHER_ROOMS_H

#include <poll.h>

#include "common/list.h"
#include "sandbox/jail/jail.h"
#include "sandbox/launcher/grants.h"
#include "sandbox/tree/tree.h"

struct room {
	struct list node;
	uint64_t dev, ino;
	uint64_t most_bytes, most_files;
	struct tree_sum sum;
	uint64_t reserved_bytes; /* for files that come in: no count sees them before
				    they are whole */
	int64_t counted_us;      /* 0: not counted, or worthless by now */
	int64_t began_us, ended_us, took_us;
	pid_t counter;  /* 0: nobody counts */
	int result;     /* pipe from it */
	unsigned jails; /* that may write, and requests that wait for a count */
	bool is_new;    /* a count ended since rooms_next was asked */
	bool is_spoilt; /* somebody wrote since the count under way began */
};

#define ROOMS_TEXT 256

/* The room of a granted workspace; made when there is none. Rooms without jails are
 * forgotten when there are many. */
struct room *room_of(struct list *rooms, const struct grant *g);
/* Whether the count may be believed still. */
bool room_is_counted(const struct room *r);
/* Whether it is time to count again what may be written now. */
bool room_is_due(const struct room *r);
/* Starts a count unless one is under way. -1: it cannot be (no process is left). */
int room_count(struct room *r, const struct jail_host *h, const struct grant *g);
/* Somebody wrote. */
void room_forget_count(struct room *r);
/* Over its quota by this count; text gets the sentence for the model. */
bool room_is_full(const struct room *r, char text[ROOMS_TEXT]);
/* Bytes until its quota. */
uint64_t room_left(const struct room *r);
/* The descriptors to poll, at most `most`; how many. */
unsigned rooms_poll(const struct list *rooms, struct pollfd *p, unsigned most);
/* Takes the counts that have ended. */
void rooms_look(struct list *rooms);
/* A room whose count has just ended, once for each; NULL: no more. */
struct room *rooms_next(struct list *rooms);

#endif
