/* SPDX-License-Identifier: Apache-2.0
 * The skills that a session has pinned: GET .../skills; given up by POST, so that its
 * next run pins those that there are then. */
#include "edge/reply.h"
#include "edge/session_look.h"
#include "edge/store_context.h"

struct asked {
	struct session_look look;
	bool asks;
	struct context_row row;
};

static void run(struct call *c, enum sql what)
{
	struct asked *a = c->state;
	if (!a)
		c->state = a = arena_zalloc(c->request->arena, sizeof *a);
	if (!a->asks) {
		if (!session_look(c, &a->look, false))
			return;
		a->asks = true;
		store_read_context(c, what, a->look.info.id, 0, 0, &a->row);
	}
	if (c->asking)
		return;
	if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else if (!a->row.body.n) {
		session_is_absent(c);
	} else {
		AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
		strbuf_add_slice(&b, a->row.body);
		strbuf_add_char(&b, '\n');
		reply_head(c->request, 200);
		reply_body(c->request, "application/json", strbuf_slice(&b));
	}
}

void session_skills(struct call *c)
{
	run(c, SQL_SESSION_SKILLS);
}

void session_skills_anew(struct call *c)
{
	run(c, SQL_SESSION_SKILLS_ANEW);
}
