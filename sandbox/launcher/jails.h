/* SPDX-License-Identifier: Apache-2.0
 * The jails that live now: from a request to nothing left.
 *
 * Owns: their processes. Never: reads what a jail writes, or waits for one. Fails: a
 * request that is refused is answered with a sentence. */
#ifndef TB_LAUNCHER_JAILS_H
#define TB_LAUNCHER_JAILS_H

#include <poll.h>

#include "common/list.h"
#include "proto/wire.h"
#include "sandbox/jail/jail.h"
#include "sandbox/level.h"

struct jails {
	struct jail_host host;
	struct cgroup_pool groups;  /* CGROUP_NONE: the memory of jails is watched */
	struct sandbox_level level; /* what all this came to */
	int worker;                 /* the socket to it */
	struct jail spare;          /* born while a grant stands: half of a jail's time */
	struct cgroup_group *spare_group;
	bool has_spare;
	struct list live, grants;
	struct list rooms, waiting; /* see rooms.h, waiting.h */
	struct list owed; /* answers that the worker's socket has no room for yet */
	unsigned count;
	int64_t watched_us; /* when the memory of all was looked at last */
};

/* Probes the machine, and the base of groups that the supervisor made; prefix: of its
 * groups' names. Dies with one line where jails are impossible. */
void jails_init(struct jails *j, int worker, const struct cgroup_base *base,
		const char *prefix);
/* Ends all jails, waits for that, and leaves no group. */
void jails_fini(struct jails *j);
/* Whether answers wait for room on the worker's socket: no more is taken from it then. */
bool jails_are_owed(const struct jails *j);
/* JAIL_OPENED with descriptors, or JAIL_REFUSED. ERR_PEER_GONE and other errors of the
 * socket. */
enum err jails_open(struct jails *j, const struct wire_jail_open *m);
/* JAIL_CLOSED follows; one that is not there is none of our business. */
void jails_kill(struct jails *j, uint64_t id);
void jails_revoke(struct jails *j, uint64_t handle);
void jails_kill_all(struct jails *j);
/* A grant stands, and no jail waits for its call. */
bool jails_want_spare(const struct jails *j);
/* Makes it; takes a moment. One that fails is of no interest: the next call says why. */
void jails_make_spare(struct jails *j);
#define JAILS_POLL_MOST (2 * LIMIT_JAILS)
/* The descriptors to poll, at most JAILS_POLL_MOST; how many. */
unsigned jails_poll(const struct jails *j, struct pollfd *p);
/* Milliseconds until something is due, -1: nothing. */
int jails_patience_ms(const struct jails *j);
/* Ends what is late, closes what has ended, and says what is owed. */
enum err jails_look(struct jails *j);

#endif
