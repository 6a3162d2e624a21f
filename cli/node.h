/* SPDX-License-Identifier: Apache-2.0
 * The node's HTTP door, one blocking call at a time. */
#ifndef TB_CLI_NODE_H
#define TB_CLI_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/err.h"
#include "common/ident.h"
#include "common/slice.h"
#include "common/strbuf.h"

struct loop;
struct http_client;
struct exchange;

#define NODE_SOCKET 108

struct node {
	const char *state; /* the state directory, borrowed from the configuration */
	char url[300];     /* "http://127.0.0.1:7717" */
	char socket[NODE_SOCKET]; /* the path of the socket it listens on, or "" */
	char *token;              /* NULL: not needed */
	struct loop *loop;
	struct http_client *http;
	struct exchange *open; /* the call under way; NULL: none */
};

struct node_request {
	const char *method, *path;
	struct slice body;         /* JSON; p == NULL: none */
	const char *last_event_id; /* NULL or "": none */
	const char *idempotency_key;
	int64_t total_us; /* 0: none */
	/* Instead of a body, see common/http/client.h. */
	long (*on_read)(void *arg, char *to, size_t room);
	int64_t body_bytes;
	/* Gets the body of a 200; false stops the call. NULL: the body is collected. */
	bool (*on_piece)(void *arg, struct slice piece);
	void *arg;
};

struct node_answer {
	enum err err;                /* of the connection, ERR_OK whatever the status */
	int status;                  /* 0: none came */
	char run[UUID_TEXT_LEN + 1]; /* of the header x-run-id, or "" */
	char why[256];               /* when err */
	struct strbuf body;          /* at most 64 kB */
};

enum node_rights { NODE_OPEN, NODE_TOKEN };

/* Of the listening addresses (common/listen.h) the one that a client of this machine
 * uses: an address that means "every one of this machine" becomes the local one; a
 * socket's path, or "". false: there is none. */
bool node_url(const char *listen, char *url, size_t url_size, char socket[NODE_SOCKET]);
/* -1: reported (there is no token). node_close in any case. */
int node_open(struct node *n, const struct config *c, enum node_rights rights);
void node_close(struct node *n);
/* The answer is the caller's to end with node_answer_fini. */
void node_call(struct node *n, const struct node_request *r, struct node_answer *a);
/* From a callback of the loop, while a call is under way: a POST beside it, without a
 * body, whose answer nobody waits for. */
void node_post(struct node *n, const char *path);
/* Likewise: that call ends with ERR_CANCELLED. */
void node_abort(struct node *n);
void node_answer_fini(struct node_answer *a);
/* Reports what the node answered instead of what was asked for. */
void node_report(const struct node *n, const struct node_answer *a);
/* Waits at most that long for /readyz to say 200; 0: asks once. 1: it did; 0: the node
 * answers but is not ready; -1: nobody answers. `why` says what came last. */
int node_await(struct node *n, long seconds, char *why, size_t why_size);

#endif
