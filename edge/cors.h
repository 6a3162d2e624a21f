/* SPDX-License-Identifier: Apache-2.0
 * What pages of other origins may do with answers (the Fetch standard's CORS protocol).
 * Without configured origins nothing is said, and browsers refuse. */
#ifndef TB_EDGE_CORS_H
#define TB_EDGE_CORS_H

#include <stdbool.h>

#include "common/strbuf.h"
#include "edge/http_parse.h"

struct cors;

/* origins: exact ones ("https://app.example:8443") separated by commas or spaces, or "*".
 * NULL: there are none, or why says which is none. */
struct cors *cors_new(const char *origins, char *why, size_t why_size);
void cors_free(struct cors *c); /* NULL allowed */
/* The fields of every answer; nothing with c NULL. */
void cors_answer(const struct cors *c, const struct http_head *h, struct strbuf *out);
/* Whether it is one of them, or all are. */
bool cors_names(const struct cors *c, struct slice origin);
/* Whether it is the host (with its port, if it has one) of one of them, or all are. */
bool cors_names_host(const struct cors *c, struct slice host);
/* The further fields of the answer to a preflight request; allow: the path's methods. */
void cors_preflight(const struct cors *c, const struct http_head *h, const char *allow,
		    struct strbuf *out);

#endif
