/* SPDX-License-Identifier: Apache-2.0
 * HTTP calls on the loop: curl's multi interface (the home of libcurl). Handles and
 * connections are reused. Never follows redirects, reads proxies from the environment,
 * keeps cookies or netrc. */
#ifndef TB_HTTP_CLIENT_H
#define TB_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/op.h"
#include "common/slice.h"

struct loop;
struct http_client;
struct http_call;

/* max_connections: idle ones kept. Call before the seccomp filter: it loads the CA bundle
 * and starts the resolver. */
struct http_client *http_client_new(struct loop *l, int max_connections);
void http_client_free(struct http_client *c);
/* From here on it takes guarded requests. Before the filter, too. */
void http_client_guard(struct http_client *c);

struct http_request {
	const char *method; /* "POST" */
	const char *url;
	const char *const *headers; /* "name: value", NULL-terminated; copied */
	struct slice body;          /* borrowed until completion */
	/* Instead of a body: it is read as it is sent; how many bytes came, 0: its end,
	 * below 0: it cannot be read, and the call ends with ERR_CANCELLED. body_bytes
	 * -1: its length is not known. May block. */
	long (*on_read)(void *arg, char *to, size_t room);
	int64_t body_bytes;
	int64_t connect_us, first_byte_us, idle_us,
		total_us;        /* 0: 10 s, 60 s, 60 s, none */
	const char *unix_socket; /* NULL: by the URL's address */
	/* Who chose the URL is not trusted: https alone, and no connection to an address
	 * that is not of the public network (common/url_guard.h), whatever its name
	 * says. Connections of others are never used for it. */
	bool guarded;
};

struct http_events {
	/* Status and headers are complete (called once, before any body). */
	void (*on_head)(void *arg, int status);
	/* One header of the answer; name in lower case. May be NULL. */
	void (*on_header)(void *arg, struct slice name, struct slice value);
	/* A piece of the body. Return false to stop: the op ends with ERR_CANCELLED. */
	bool (*on_body)(void *arg, struct slice piece);
};

/* Starts a call; op completes with ERR_OK when the whole body came (whatever the status),
 * ERR_NETWORK, ERR_TIMEOUT, ERR_MODEL_TIMEOUT (first byte or idle) or what op_cancel
 * said. Callbacks store, they do not start new work. */
struct http_call *http_start(struct http_client *c, const struct http_request *r,
			     const struct http_events *ev, void *arg, struct op *op);
/* Why it failed, one sentence; valid until the op's completion returns. */
const char *http_error(const struct http_call *call);
/* Stops and resumes reading the body: back-pressure. */
void http_pause(struct http_call *call, int paused);

#endif
