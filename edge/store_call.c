/* SPDX-License-Identifier: Apache-2.0
 * The way of a question: tenant, ticket, answer, wake. */
#include "edge/store_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"
#include "edge/handles.h"

/* The functions of the migrations raise it. */
#define NO_RIGHT "TB003"

struct ticket {
	struct edge *edge;
	uint64_t handle;
	void *out;
};

struct pg_request *store_begin(struct edge *e, int64_t tenant)
{
	char text[24];
	struct pg_request *r = pg_begin(e->pool);
	struct pg_params *p = pg_add(r, SQL_TENANT);
	snprintf(text, sizeof text, "%lld", (long long)tenant);
	pg_text(p, slice_str(text));
	return r;
}

void store_note_failure(const char *what, const struct pg_answer *a)
{
	if (a->err != ERR_CANCELLED)
		log_warn("database-call-failed", "call=%s sqlstate=%s message=\"%s\"",
			 what, a->sqlstate, a->message ? a->message : "");
}

struct slice store_keep(struct arena *a, const struct pg_result *r, int row, int col)
{
	struct slice s = pg_get_text(r, row, col);
	return s.p ? arena_slice(a, s) : SLICE_NONE;
}

/* The second parameter of TENANT, which is asked for in one place so that no read of a
 * call can do without: a request that lacks it fails. */
static void name_user(struct pg_request *r, struct slice user)
{
	pg_text(pg_params_of(r, 0), user.n ? user : SLICE_NONE);
}

void store_submit(struct call *c, struct pg_request *r, pg_done_fn *done, void *out)
{
	struct ticket *t = xmalloc(sizeof *t);
	*t = (struct ticket){c->edge, c->handle, out};
	c->asking = true;
	c->asked = ERR_OK;
	c->unsure = false;
	name_user(r, c->caller.user);
	pg_submit(r, PG_ANY, STORE_QUEUE_MS, done, t);
}

void store_submit_load(struct pg_request *r, pg_done_fn *done, void *arg)
{
	name_user(r, SLICE_NONE);
	pg_submit(r, PG_ANY, STORE_QUEUE_MS, done, arg);
}

struct call *store_answered(void *ticket, const struct pg_answer *a, void **out)
{
	struct ticket *t = ticket;
	struct call *c = handle_get(t->edge->calls, t->handle);
	*out = t->out;
	free(t);
	if (a->err)
		store_note_failure(c ? route_row(c->match.route)->name : "gone", a);
	if (!c)
		return NULL;
	c->asking = false;
	c->asked = !a->err                          ? ERR_OK
		   : !strcmp(a->sqlstate, NO_RIGHT) ? ERR_FORBIDDEN
						    : ERR_DATABASE;
	c->unsure = a->err && a->fate == PG_UNKNOWN;
	call_wake(c);
	return a->err ? NULL : c;
}

void store_add_filter(struct pg_params *p, struct uuid id)
{
	if (uuid_is_nil(id))
		pg_null(p, PG_UUID);
	else
		pg_uuid(p, id);
}

void store_add_page(struct pg_params *p, const struct call *c,
		    const struct page_filter *f)
{
	pg_i64(p, c->caller.tenant);
	pg_uuid(p, f->before);
	store_add_filter(p, f->agent);
	store_add_filter(p, f->session);
}
