/* SPDX-License-Identifier: Apache-2.0
 * The one shape of the answers. */
#include "edge/money.h"

#include "common/json.h"
#include "edge/reply.h"

void money_reply(struct call *c, const struct money_answer *a, const char *name,
		 const char *what)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	if (c->asked) {
		reply_err(c->request, c->asked, NULL,
			  c->unsure ? "the database went away: whether this was done is "
				      "not known, read it again"
				    : NULL,
			  0);
		return;
	}
	if (a->absent) {
		reply_err(c->request, ERR_NOT_FOUND, NULL,
			  arena_printf(c->request->arena, "there is no %s", what), 0);
		return;
	}
	if (name && a->change.outcome == CHANGE_STALE) {
		change_is_done(c, &a->change, "the list");
		return;
	}
	if (name) {
		json_obj(&o);
		json_kv_raw(&o, name, a->json);
		json_obj_end(&o);
	} else {
		json_put_raw(&o, a->json);
	}
	strbuf_add_char(&b, '\n');
	if (name) {
		change_reply(c, a->change.version, strbuf_slice(&b));
		return;
	}
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}
