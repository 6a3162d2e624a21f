/* SPDX-License-Identifier: Apache-2.0
 * What such a row comes to for the client. */
#include <stdio.h>

#include "edge/ask.h"
#include "edge/reply.h"

bool ask_found(struct call *c, const struct ask_answer *a, const char *absent)
{
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	else if (!a->found)
		reply_err(c->request, ERR_NOT_FOUND, NULL, absent, 0);
	return !c->asked && a->found;
}

static void reply_json(struct call *c, struct slice text)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_slice(&b, text);
	strbuf_add_char(&b, '\n');
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

void ask_reply(struct call *c, const struct ask_answer *a)
{
	reply_head(c->request, 200);
	reply_json(c, a->text);
}

static void put_tag(struct call *c, int64_t version)
{
	char tag[32];
	snprintf(tag, sizeof tag, "\"%lld\"", (long long)version);
	reply_field(c->request, "etag", slice_str(tag));
}

void ask_reply_version(struct call *c, int status, const struct ask_answer *a,
		       int64_t version)
{
	reply_head(c->request, status);
	put_tag(c, version);
	reply_json(c, a->text);
}

void ask_reply_made(struct call *c, const struct ask_answer *a, struct slice location)
{
	reply_head(c->request, 201);
	put_tag(c, 1);
	reply_field(c->request, "location", location);
	reply_json(c, a->text);
}
