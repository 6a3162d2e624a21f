/* SPDX-License-Identifier: Apache-2.0
 * Tokens for a browser's EventSource, which can send no Authorization field:
 * ts1.<tenant>.<token id>.<r or s>.<run or session>.<until>.<mark>.
 *
 * Nothing is kept of one. Its mark is an HMAC under the stored hash of the API token that
 * it was made with, so it is good on every node and ends with that token. */
#ifndef TB_EDGE_STREAM_TOKEN_H
#define TB_EDGE_STREAM_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/slice.h"

#define STREAM_TOKEN_TEXT 200
/* Seconds until which a connection is made with it. */
#define STREAM_TOKEN_DEFAULT_S 60
#define STREAM_TOKEN_MAX_S 900
/* So much longer for who comes back, with the id of an event: an EventSource does so by
 * itself, under the same URL. */
#define STREAM_TOKEN_RESUME_S 3600

struct stream_token {
	int64_t tenant;
	struct uuid token;  /* the API token */
	bool of_session;    /* any run of that session; else of one run */
	struct uuid object; /* that run or session */
	int64_t until_s;    /* since 1970 */
	struct slice said, mark;
};

/* The text of t, without its last two members. key: the API token's stored hash. */
void stream_token_make(const struct stream_token *t, const uint8_t key[32],
		       char text[STREAM_TOKEN_TEXT]);
/* False: not of that form. `said` and `mark` borrow. */
bool stream_token_parse(struct slice text, struct stream_token *out);
/* Whether it was made with that key. */
bool stream_token_is_of(const struct stream_token *t, const uint8_t key[32]);

#endif
