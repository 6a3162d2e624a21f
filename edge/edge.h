/* SPDX-License-Identifier: Apache-2.0
 * The few things the folder shares. */
#ifndef TB_EDGE_EDGE_H
#define TB_EDGE_EDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop.h"
#include "common/strbuf.h"

struct cache;
struct chan;
struct handles;
struct jails;
struct limits;
struct map;
struct opener;
struct penalties;
struct pg_pool;
struct server;
struct token_uses;

struct edge {
	struct loop *loop;
	struct pg_pool *pool;
	struct chan *chan;
	struct server *server;
	struct cache *tokens, *agents, *sessions;
	struct opener *opener;       /* of new sessions */
	struct limits *limits;       /* how often who may ask */
	struct penalties *penalties; /* addresses that guess tokens */
	struct token_uses *uses;
	struct handles
		*calls; /* struct call: answers to ENQUEUE, CANCEL and of Postgres */
	struct handles *subs;  /* struct sub */
	struct jails *jails;   /* where files go in and out */
	struct map *transfers; /* tenant, 8 bytes -> count of its jails */
	unsigned waiting_most; /* of one tenant */
	struct map *waiting;   /* tenant, 8 bytes -> count of its long answers */
	uint64_t composed; /* events written out, each once for all who follow its run */
	struct strbuf scratch; /* the event composed last, see stream.c */
	struct loop_timer *ping, *grace, *patience, *watch;
	struct loop_task starting; /* looks whether the process can say READY */
	bool away;                 /* the log says that the database is away */
	bool role_ok;              /* the database role is one that policies bind */
	bool impatient;            /* start without the database's word */
	struct loop_task leaving;  /* the link is lost: last answers, then the end */
	uint32_t beats;
	bool linked;      /* the supervisor said WELCOME */
	bool watch_asked; /* of auth_watch.c: tokens were asked for, and are judged next
			   */
	bool ready;       /* READY was sent */
	bool draining;    /* the supervisor said DRAIN */
	bool refusing;    /* NODE_STATE: an ENQUEUE would be refused now ... */
	char why[129];    /* ... because of this */
	char sandbox[17]; /* the level of its jails; "": not known yet */
	bool webhook_private; /* webhooks may go to addresses of this network */
	bool can_seal; /* provider keys, to the public half of the node's master key */
	uint8_t seal_key[32];
};

/* Statements of sql.tbl. */
enum sql {
#define SQL(NAME, text) SQL_##NAME,
#include "edge/sql.tbl"
#undef SQL
	SQL__COUNT
};

#endif
