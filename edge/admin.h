/* SPDX-License-Identifier: Apache-2.0
 * What an administrator asks, and what came of it: each is one function of
 * migrations/0022, and all are asked in one way. The function judges the caller's token
 * again, by its secret. */
#ifndef TB_EDGE_ADMIN_H
#define TB_EDGE_ADMIN_H

#include "common/json.h"
#include "common/strbuf.h"
#include "edge/body.h"
#include "edge/change.h"
#include "edge/edge.h"
#include "edge/token.h"

struct admin_ask {
	enum sql what;
	struct uuid id;        /* nil: none */
	struct slice doc;      /* JSON; SLICE_NONE: none */
	const uint8_t *sha256; /* of a new secret; NULL: there is none */
	/* The answer; `expect` is asked for. */
	struct change change;
	struct slice word, body; /* the outcome; JSON, SLICE_NONE: none */
};
/* Sets c->asking and wakes the call. */
void admin_store_ask(struct call *c, struct admin_ask *q);

/* The first member of such a handler's c->state. */
struct admin_call {
	struct admin_ask ask;
	struct strbuf text;
	struct json_out doc; /* into text: the document */
	struct token_text made;
	bool has_scopes, has_admin, has_user, has_expiry;
	int64_t limit;
};
/* A new one as c->state, of `size` bytes, its document's object open; let go of at the
 * call's end. */
void *admin_begin(struct call *c, size_t size);
/* Closes the document and asks. */
void admin_ask(struct call *c, enum sql what);
/* True: it is done. Else answered; `what` as change_is_done. */
bool admin_is_done(struct call *c, const char *what);
/* The body as the answer, with its ETag. */
void admin_reply(struct call *c, int status);
/* The same of an object that a token was made for: its text comes first. member: where
 * the token stands in the body; NULL: it is the body. */
void admin_reply_made(struct call *c, int status, const char *member);

/* Members of bodies, into the document. */
bool admin_take_requests(struct call *c, json_t v);
bool admin_take_tokens(struct call *c, json_t v);
bool admin_take_limits(struct call *c, json_t v);
/* A token's, of a new one and of one that changes. */
extern const struct body_member admin_token_new[], admin_token_change[];
#define ADMIN_TOKEN_NEW 6
#define ADMIN_TOKEN_CHANGE 4
/* What of it does not go together. False: answered. */
bool admin_token_is_whole(struct call *c);
/* Parameters of lists. */
bool admin_take_limit(struct call *c, struct slice v);
void admin_put_limit(struct call *c);

#endif
