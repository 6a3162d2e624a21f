/* SPDX-License-Identifier: Apache-2.0
 * A page of a list whose items Postgres writes as JSON: dead letters, deliveries. */
#ifndef TB_EDGE_JSON_PAGE_H
#define TB_EDGE_JSON_PAGE_H

#include "edge/paging.h"

struct pg_request;

struct json_page {
	unsigned limit, count;
	struct slice rows[PAGE_MAX]; /* JSON objects */
	struct uuid next; /* the cursor of the next page; nil: this is the last */
};

/* json_store.c: sends r, begun by store_begin, whose second result has rows (id, JSON or
 * NULL of one that does not fit, whether it is the last one of the window). limit is set
 * before. */
void json_page_submit(struct call *c, struct pg_request *r, struct json_page *out);
/* {"<name>":[...],"next":...} */
void json_page_reply(struct call *c, const char *name, const struct json_page *page);
/* Likewise: one text of the second result's first row, SLICE_NONE where there is none. */
void json_one_submit(struct call *c, struct pg_request *r, struct slice *out);

#endif
