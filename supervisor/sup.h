/* SPDX-License-Identifier: Apache-2.0
 * What the modules of the supervisor share. */
#ifndef TB_SUP_H
#define TB_SUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/config.h"
#include "common/list.h"
#include "common/map.h"
#include "sandbox/level.h"
#include "supervisor/door.h"
#include "supervisor/lq.h"
#include "supervisor/pace.h"
#include "supervisor/waits.h"

struct loop;
struct loop_timer;
struct pg_pool;
struct journal;
struct child;
struct admin;
struct workers;
struct expiry;
struct groups;
struct inquiries;
struct webhooks;

enum sup_state { SUP_STARTING, SUP_SERVING, SUP_DRAINING, SUP_STOPPING };

struct sup {
	struct loop *loop;
	struct config config;
	struct uuid node;
	enum sup_state state;
	char model[256];      /* the resolved default */
	char runtime_dir[64]; /* sockets; links below it */
	char binaries[4096];
	struct door door;
	uid_t uid; /* whom it runs as, and its group; see identity.h */
	gid_t gid;
	bool was_root;    /* who started it */
	bool tenant_uids; /* jails and workspaces have their tenant's uid */

	struct lq *lq;
	struct journal *journal;
	struct expiry *expiry;
	struct pg_pool *lease; /* one connection: the advisory lock and the heartbeat */
	bool lease_held;
	bool loading;      /* see load.h: nothing starts */
	struct map *lives; /* run id -> struct live, see live.h */
	struct list children;
	struct admin *admin;
	struct workers *workers; /* see workers.h */
	struct groups *groups;
	struct inquiries *inquiries;  /* see inquiries.h */
	struct webhooks *webhooks;    /* see webhooks.h */
	struct sandbox_level sandbox; /* of the jails, once a launcher is ready */
	bool sandbox_known;
	struct loop_timer *tick, *drain_limit, *second;
	int64_t tick_us; /* when the tick fires, as the database counts */
	int64_t started_us;
	int64_t last_order_us;
	int64_t db_offset_us; /* the database's clock less CLOCK_BOOTTIME, from the
				 heartbeat */
	struct pace pace;
	struct waits waits;
	bool told_accepting;
	uint64_t runs_ended, runs_accepted, child_deaths;
};

/* Hands an event to the lane queue; its actions are performed before this returns. */
void sup_step(struct sup *s, const struct lq_event *e);
/* What the lease allows starts, unless the queue is being loaded or the node drains. */
void sup_release(struct sup *s);
/* The database's clock less CLOCK_BOOTTIME, as it was just learnt; what is due is aimed
 * at anew. */
void sup_set_clock(struct sup *s, int64_t db_offset_us);
/* Now, as the database's clock says: what delays and deadlines are measured by, so that a
 * stepped clock of this machine lets nothing pass. */
int64_t sup_db_now_us(const struct sup *s);
/* The place in time of what is accepted at now_us: that, and above every one before. */
int64_t sup_next_order_us(struct sup *s, int64_t now_us);
/* Whether an ENQUEUE would be accepted; why (may be NULL) gets a word for people. */
bool sup_is_accepting(const struct sup *s, const char **why);
/* Edges learn it when it changed; `child` NULL: all that are READY, else that one anyway.
 */
void sup_tell_edges(struct sup *s, struct child *child);
/* All that are READY, anyway: another edge came or went. */
void sup_tell_edges_all(struct sup *s);
/* Shutdown: no new work, running runs may end, then children stop and the loop ends.
 * Again: at once. */
void sup_drain(struct sup *s);
/* The one look, at the end of a turn's steps, at what its events made possible: a leaving
 * worker may go, a drain go on. A turn hook, so that no event can be forgotten, and
 * nothing of it happens inside a step of the queue. */
void sup_look(void *sup);
/* The lease was won and the queue is loaded: children start. */
void sup_serve(struct sup *s);
/* Reads the conninfo of a role from <state>/secrets; dies with what to do. malloc'ed. */
char *sup_conninfo(const struct sup *s, const char *role);

#endif
