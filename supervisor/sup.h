/* SPDX-License-Identifier: Apache-2.0
 * What the modules of the supervisor share. */
#ifndef TB_SUP_H
#define TB_SUP_H

#include <stdbool.h>

#include "common/config.h"
#include "common/list.h"
#include "common/map.h"
#include "supervisor/lq.h"

struct loop;
struct loop_timer;
struct pg_pool;
struct journal;
struct child;
struct admin;

enum sup_state { SUP_STARTING, SUP_SERVING, SUP_DRAINING, SUP_STOPPING };

struct sup {
	struct loop *loop;
	struct config config;
	struct uuid node;
	enum sup_state state;
	char model[256];      /* the resolved default */
	char runtime_dir[64]; /* sockets; links below it */
	char binaries[4096];
	int listen_fd;

	struct lq *lq;
	struct journal *journal;
	struct pg_pool *lease; /* one connection: the advisory lock and the heartbeat */
	bool lease_held;
	struct map *lives; /* run id -> struct live, see live.h */
	struct list children;
	struct admin *admin;
	struct loop_timer *tick, *drain_limit;
	int64_t started_us;
	int64_t last_order_us;
	uint64_t runs_ended, runs_accepted, child_deaths;
};

/* Hands an event to the lane queue; its actions are performed before this returns. */
void sup_step(struct sup *s, const struct lq_event *e);
/* The set of READY workers changed: slots are dealt anew. */
void sup_place(struct sup *s);
/* Shutdown: no new work, running runs may end, then children stop and the loop ends.
 * Again: at once. */
void sup_drain(struct sup *s);
/* A run ended, a child died: drain may go on. */
void sup_drain_check(struct sup *s);
/* The lease was won and the queue is loaded: children start. */
void sup_serve(struct sup *s);
/* Reads the conninfo of a role from <state>/secrets; dies with what to do. malloc'ed. */
char *sup_conninfo(const struct sup *s, const char *role);

#endif
