/* SPDX-License-Identifier: Apache-2.0
 * What the modules of a worker share. */
#ifndef TB_WORKER_H
#define TB_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "common/loop.h"
#include "common/map.h"
#include "common/slice.h"
#include "worker/context/tokens.h"

struct chan;
struct pg_pool;
struct http_client;
struct jails;
struct journal;
struct sessions;
struct agents;
struct endpoints;
struct cooldowns;
struct keys;
struct asked_told;

struct worker {
	struct loop *loop;
	struct chan *chan;
	struct pg_pool *pool;
	struct http_client *http;
	struct journal *journal;
	struct jails *jails;
	struct sessions *sessions;
	struct agents *agents;
	struct cooldowns *cooldowns;
	struct keys *keys; /* of model providers, of tenants and the platform */
	struct map *runs;  /* (run id, fence) -> struct run */
	struct asked_told *asked_told; /* NULL: nothing is kept of questions' texts */
	struct list speaking; /* runs whose model said something that was not sent */
	int64_t flushed_us;   /* when such things were sent last (monotonic) ... */
	int flush_fd;         /* ... a timer until they may be again ... */
	bool flush_waits;     /* ... which runs */
	struct list inquiries;
	unsigned inquiry_count;                  /* of them: others than ... */
	unsigned embedding_count, webhook_count; /* ... these */

	struct tokens_models models; /* what was learnt of them */

	/* from BOOT */
	struct slice model;          /* the node's default, "provider/name" */
	struct endpoints *endpoints; /* of the node's model providers */
	int64_t silence_us;          /* of a model; 0: by where it is */
	int64_t approval_us;         /* how long a person has to answer */
	bool webhook_private;        /* webhooks may go to addresses of this network */
	/* What marks in questions are made with: see bootstrap.c. */
	uint8_t mark_key[16];
	struct slice password; /* of its database role: to be redacted */

	/* start and life */
	struct loop_task starting;
	struct loop_timer *ping;
	bool away; /* the log says that the database is away */
	bool linked, role_ok, ready, draining;
	bool congested; /* the link is full: model streams are paused */
	uint32_t beats;
};

#endif
