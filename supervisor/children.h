/* SPDX-License-Identifier: Apache-2.0
 * The children: birth, handshake, death, rebirth with a throttle.
 *
 *	DOWN --spawn--> STARTING --READY message--> READY --drain--> DRAINING
 *	  ^                 |                          |                |
 *	  `--backoff timer--+------- died, or link down (then killed) --'
 *
 * A child's launcher is born before it and dies with it. A worker whose launcher died is
 * ended, which is not charged to its runs; an edge goes on, and gets another one. A child
 *that ends within a second of its READY doubles its pause before the next birth (0.1 s to
 *5 s). */
#ifndef TB_CHILDREN_H
#define TB_CHILDREN_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/attr.h"
#include "common/ident.h"
#include "common/list.h"
#include "common/map.h"
#include "proto/chan.h"

struct sup;
struct cap;
struct loop_fd;

/* What happens to a worker once it has no run left: see workers.h. */
enum child_leave { LEAVE_NOT, LEAVE_RESTART, LEAVE_GONE };
enum child_state { LIFE_DOWN, LIFE_STARTING, LIFE_READY, LIFE_DRAINING };

struct child {
	struct list node; /* in sup.children */
	struct sup *sup;
	enum boot_role role; /* ROLE_EDGE or ROLE_WORKER */
	int ordinal;
	enum child_state state;
	struct uuid incarnation;
	pid_t pid, launcher_pid;
	int launcher_control; /* our end of the launcher's control pair */
	int launcher_peer;    /* edge: the launcher's end of the pair between the two */
	uint32_t launchers_lost;
	int64_t launched_us;
	struct uuid launcher_life;
	struct loop_fd *launcher_watch;
	bool launcher_ready, said_ready; /* a worker is READY when both are */
	char detail[128];                /* of its READY, for the log */
	struct chan *chan;
	struct loop_timer *rebirth, *silence, *relaunch;
	int64_t born_us, ready_us, backoff_us;
	char url[128];

	/* edge */
	struct list subs;
	struct map *subs_by_id;
	struct list lag; /* those of subs that wait for room, see live.h */
	/* worker */
	struct map *caps; /* tenant -> struct cap */
	enum child_leave leave;
	bool leave_forced;
	bool lost_launcher; /* which is why we ended it: no fault of its runs */
	struct loop_timer *leave_limit;

	/* from its last PING */
	uint32_t runs, worst_us, rss_kib;
	uint32_t deaths;
};

/* The configured edges and workers, all DOWN. */
void children_new(struct sup *s);
/* Births of all that are DOWN. */
void children_start(struct sup *s);
/* A worker more, born at once unless the node still starts. */
void children_add(struct sup *s, int ordinal);
/* Closes its link, so that it ends by itself. */
void child_close(struct child *c);
/* A leaving worker has ended: born anew, or removed at the turn's end. */
void child_left(struct child *c);
/* The same message to all of a role that are up. */
void children_tell(struct sup *s, enum boot_role role, enum wire_id id, const void *msg);
/* DRAIN to all of a role. */
void children_drain(struct sup *s, enum boot_role role, unsigned grace_ms);
/* Closes their links, so that they end by themselves. */
void children_close(struct sup *s, enum boot_role role);
/* KILL to whatever is alive. */
void children_kill(struct sup *s);
int children_alive(const struct sup *s);
/* SIGCHLD. */
void children_reap(struct sup *s);
/* Whether that pid is one of ours. */
bool children_has_pid(const struct sup *s, pid_t pid);
struct child *child_worker(struct sup *s, int ordinal);
/* Queues a message; a link that cannot take it goes down by itself, so nobody needs the
 * result. */
void child_send(struct child *c, enum wire_id id, const void *msg);
/* Whether it is up, be it to drain. */
static inline bool child_serves(const struct child *c)
{
	return c->state == LIFE_READY || c->state == LIFE_DRAINING;
}
/* Whether what can wait need not: the link is up and little waits for it. */
bool child_has_room(const struct child *c);
/* Ends a child that broke the rules; its death is then handled like any other. */
PRINTF_LIKE(2, 3) void child_punish(struct child *c, const char *fmt, ...);

/* ---- what the links implement */
void worker_link_message(void *child, enum wire_id id, const union wire_any *m);
void edge_link_message(void *child, enum wire_id id, const union wire_any *m);
/* The child said READY. */
void child_ready(struct child *c, const struct wire_ready *m);
/* It or its launcher came a step further: READY when both have. */
void child_settle(struct child *c);
void child_ping(struct child *c, const struct wire_ping *m);

#endif
