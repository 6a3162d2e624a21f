/* SPDX-License-Identifier: Apache-2.0
 * The body of a call about provider keys. */
#ifndef TB_EDGE_KEY_BODY_H
#define TB_EDGE_KEY_BODY_H

#include "edge/call.h"
#include "proto/keys/key_seal.h"

enum key_body_for { KEY_BODY_NEW, KEY_BODY_CHANGE };

struct key_body {
	/* Texts in the request's arena; p NULL: not given; n 0: taken away (null). */
	struct slice label, base_url, version;
	bool has_auth, bearer, has_disabled, disabled, has_priority;
	int64_t priority;
	/* The secret itself; key_body_wipe. */
	size_t key_n; /* 0: not given */
	char key[PROVIDER_KEY_MOST];
};

/* False: answered 400, naming the member. The request's own copy of the secret is
 * overwritten. */
bool key_body_read(struct call *c, enum key_body_for what, struct key_body *out);
void key_body_wipe(struct key_body *b);

#endif
