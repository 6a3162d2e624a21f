/* SPDX-License-Identifier: Apache-2.0
 * What runs ask people: listed, shown, answered. */
#include <string.h>

#include "common/attr.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_db.h"
#include "supervisor/admin_names.h"
#include "supervisor/admin_queue.h"
#include "supervisor/control.h"
#include "supervisor/sql.h"

/* ---- approval.list */

static void on_list(struct ask *a, const struct pg_result *r)
{
	struct json_out *o = ask_reply(a);
	json_key(o, "approvals");
	json_arr(o);
	for (int i = 0; i < pg_rows(r); i++)
		json_put_raw(o, pg_get_text(r, i, 0));
	json_arr_end(o);
	ask_end(a);
}

static void list_approvals(struct ask *a)
{
	struct pg_params *p = admin_db_query(a, SQL_ADMIN_APPROVALS);
	if (a->names.has_tenant)
		pg_i64(p, a->names.tenant);
	else
		pg_null(p, PG_INT8);
	pg_text(p, a->args[ARG_STATE].given ? a->args[ARG_STATE].text : SLICE("pending"));
	pg_i64(p, ask_limit(a));
	admin_db_send(a, on_list);
}

void admin_approval_list(struct ask *a)
{
	const struct arg *state = &a->args[ARG_STATE];
	if (state->given && !approval_is_state(state->text)) {
		ask_fail(a, ERR_BAD_REQUEST,
			 "state: one of pending, once, session, denied, expired is "
			 "needed");
		return;
	}
	names_find(a, names_given(a), list_approvals);
}

/* ---- one */

static void read_one(struct ask *a, void (*fn)(struct ask *a, const struct pg_result *r))
{
	struct pg_params *p = admin_db_query(a, SQL_ADMIN_APPROVAL);
	pg_i64(p, a->names.tenant);
	pg_uuid(p, a->args[ARG_APPROVAL].uuid);
	admin_db_send(a, fn);
}

/* False, and answered: there is none. */
static bool is_there(struct ask *a, const struct pg_result *r)
{
	if (!pg_rows(r))
		ask_fail(a, ERR_NOT_FOUND, "tenant %lld has no approval %.*s",
			 (long long)a->names.tenant,
			 SLICE_ARG(a->args[ARG_APPROVAL].text));
	return pg_rows(r) > 0;
}

static void on_show(struct ask *a, const struct pg_result *r)
{
	if (!is_there(a, r))
		return;
	json_kv_raw(ask_reply(a), "approval", pg_get_text(r, 0, 0));
	ask_end(a);
}

static void show(struct ask *a)
{
	read_one(a, on_show);
}

void admin_approval_show(struct ask *a)
{
	names_find(a, NAMES_TENANT, show);
}

/* ---- its answer, which is audited by the commit that stores it */

static enum decision decision_of(const struct ask *a)
{
	return (enum decision)decision_from_word(
		slice_str(ask_command(a) + strlen("approval.")));
}

static void on_decided(void *arg, const struct control_answer *answer)
{
	struct ask *a = arg;
	if (!ask_is_over(a) && answer->err) {
		queue_fail(a, answer);
	} else if (!ask_is_over(a)) {
		struct json_out *o = ask_reply(a);
		put_uuid(o, "run", answer->run);
		json_kv_cstr(o, "state", decision_state(decision_of(a)));
		ask_end(a);
	}
	ask_release(a);
}

static void on_found(struct ask *a, const struct pg_result *r)
{
	struct control_decision d = {.tenant = a->names.tenant,
				     .approval = a->args[ARG_APPROVAL].uuid,
				     .decision = decision_of(a),
				     .message = a->args[ARG_MESSAGE].given
							? a->args[ARG_MESSAGE].text
							: SLICE(""),
				     .by = slice_str(a->by)};
	if (!is_there(a, r))
		return;
	d.run = pg_get_uuid(r, 0, 1);
	d.session = pg_get_uuid(r, 0, 2);
	ask_hold(a);
	control_decide(a->sup, &d, on_decided, a);
}

static void find(struct ask *a)
{
	read_one(a, on_found);
}

static void decide(struct ask *a)
{
	names_find(a, NAMES_TENANT, find);
}

void admin_approval_approve(struct ask *a)
{
	decide(a);
}

void admin_approval_always(struct ask *a)
{
	decide(a);
}

void admin_approval_deny(struct ask *a)
{
	decide(a);
}
