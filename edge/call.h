/* SPDX-License-Identifier: Apache-2.0
 * One API call: a request with its route, its caller and what it waits for.
 *
 * A handler is a function that is run again each time something it waited for has come:
 * it looks at its stage, does plain work, starts at most one thing and returns. Lives in
 * the request's arena. */
#ifndef TB_EDGE_CALL_H
#define TB_EDGE_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"
#include "common/loop.h"
#include "edge/cache.h"
#include "edge/edge.h"
#include "edge/request.h"
#include "edge/route.h"

struct follow;
struct owner;
struct placing;
struct wire_cancelled;
struct wire_decided;
struct wire_enqueued;
struct wire_finding;

/* What a token may do, and its tenant's limits. */
enum scope {
	SCOPE_RUN = 1,
	SCOPE_READ = 2,
	SCOPE_WRITE = 4,
	SCOPE_ADMIN = 8,
	SCOPE_PLATFORM = 16 /* of routes: tokens of tenant 0 may, and, alone, only they */
};
#define CALL_USER_MAX 256u
struct caller {
	int64_t tenant; /* 0: the platform's administrator */
	struct uuid token;
	unsigned scopes;
	bool suspended;
	uint32_t max_running, max_queued, weight;
	struct slice user;   /* the end user it is, and sees no more than; n 0: any */
	struct uuid session; /* a stream token of that session alone; nil: none */
	uint32_t requests, tenant_requests; /* a minute; 0: any number */
	int64_t tokens, tenant_tokens;      /* of models, likewise */
};

struct call {
	struct edge *edge;
	struct request *request;
	struct loop_task task;
	struct route_match match;
	struct cache_wait wait;
	uint64_t handle; /* in edge->calls */
	struct caller caller;
	bool authorised;
	bool admitted;           /* its rates allow it */
	bool owned;              /* what the path names is its end user's */
	struct owner *owner;     /* while that is found out */
	bool counted;            /* in edge->waiting */
	bool asking;             /* Postgres has not answered yet */
	bool at_supervisor;      /* the supervisor has not answered yet */
	enum err asked;          /* what it answered */
	bool unsure;             /* it answered nothing: the change may be done */
	int stage;               /* the handler's */
	void *state;             /* the handler's */
	struct follow *follow;   /* of a call that follows a run */
	struct placing *placing; /* of a call that places an order */
	/* The handler's, may be NULL. on_end: let go of things. cut: answer what is known
	 * and end, because the node goes away or the token was revoked. */
	void (*on_end)(struct call *c);
	void (*cut)(struct call *c);
	/* The supervisor's answer to what this call sent it; NULL: none is expected. */
	void (*on_enqueued)(struct call *c, const struct wire_enqueued *m);
	void (*on_finding)(struct call *c, const struct wire_finding *m);
	void (*on_cancelled)(struct call *c, const struct wire_cancelled *m);
	void (*on_decided)(struct call *c, const struct wire_decided *m);
};

/* server_config.on_request: finds the route, then runs the call. arg: struct edge. */
void call_begin(void *arg, struct request *r);
/* server_config.in_pieces. */
bool call_in_pieces(void *arg, struct request *r);
/* The handler shall run again. */
void call_wake(struct call *c);
/* Counts a long answer of the tenant; false (and answered) when it has too many. */
bool call_may_wait(struct call *c);
/* Whether the caller has one of these scopes, or may administer. */
bool call_has_scope(const struct call *c, unsigned scopes);
/* The path parameter i as a run id; false: answered 404. */
bool call_run_id(struct call *c, unsigned i, struct uuid *out);
/* Whose a new run or session shall be: the end user's who calls, else as it is given.
 * False: answered 400, naming `user`. */
bool call_user(struct call *c, struct slice *user);
/* Who calls, as audit_log says it: "token:" and its id. */
#define CALL_ACTOR (sizeof "token:" + UUID_TEXT_LEN)
void call_actor(const struct call *c, char text[CALL_ACTOR]);
/* Ends the long answers of a revoked token. NULL: of everybody. */
void call_cut(struct edge *e, const struct uuid *token);
/* Those of a tenant. */
void call_cut_tenant(struct edge *e, int64_t tenant);
/* The supervisor is gone: ends everything it owes an answer to. */
void call_lost(struct edge *e);

/* ---- the handlers of routes.tbl */
#define ROUTE(NAME, methods, pattern, scopes, handler) void handler(struct call *c);
#include "edge/routes.tbl"
#undef ROUTE

#endif
