/* SPDX-License-Identifier: Apache-2.0
 * Answers: a head, then either one body or a stream of pieces; errors in one shape.
 * Nothing is sent here: answers collect in the connection until the turn's flush. After
 * reply_body, reply_error or reply_stream_end the request may no longer be used. */
#ifndef TB_EDGE_REPLY_H
#define TB_EDGE_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/err.h"
#include "common/slice.h"
#include "edge/request.h"

/* Status line and the fields every answer has. */
void reply_head(struct request *r, int status);
void reply_field(struct request *r, const char *name, struct slice value);
/* Ends the head, adds the body (not for HEAD), ends the exchange. */
void reply_body(struct request *r, const char *type, struct slice body);
/* Further fields, for a page of another origin that asks what it may. */
void reply_preflight(struct request *r, const char *allow);
/* The same without a body, of a status that has none. */
void reply_empty(struct request *r);
/* Ends the head of a stream; `heartbeat` (static text) is sent when nothing else was for
 * 15 s. */
void reply_stream(struct request *r, const char *type, struct slice heartbeat);
/* The same of so many bytes as it says; reply_stream_end only after all of them. */
void reply_sized(struct request *r, const char *type, uint64_t bytes);
/* The stream cannot go on: the connection breaks, so that nobody takes it for whole. */
void reply_abort(struct request *r);
/* One piece of the stream. A reader over its limit is cut off in the flush. */
void reply_piece(struct request *r, struct slice piece);
void reply_stream_end(struct request *r);
/* Unsent bytes of the connection. */
size_t reply_unsent(const struct request *r);

struct reply_error {
	int status;
	const char *code;
	const char *param; /* the field that was wrong, NULL none */
	unsigned retry_after_s;
	const char *allow; /* for 405 */
};
/* A whole answer: {"error":{"code","type","message","param","status","requestId"}}; with
 * the members of RFC 9457 beside it for who accepts application/problem+json. */
PRINTF_LIKE(3, 4)
void reply_error(struct request *r, const struct reply_error *e, const char *fmt, ...);
/* The same for an expected error: status by errors.tbl. message NULL: err_text. */
void reply_err(struct request *r, enum err e, const char *param, const char *message,
	       unsigned retry_after_s);
/* 400, of that field. False, for whoever checks to hand on. */
bool reply_wrong(struct request *r, const char *param, const char *message);
/* The answer to a request that is not HTTP as it should be; the connection ends. */
void reply_fault(struct request *r, const struct http_fault *f);
/* The words behind a status of status.tbl. */
const char *reply_reason(int status);
/* The status of an error by errors.tbl. */
int reply_status_of(enum err e);

#endif
