/* SPDX-License-Identifier: Apache-2.0
 * Runs that have ended, read in Postgres. */
#include "supervisor/admin_ask.h"
#include "supervisor/admin_db.h"
#include "supervisor/admin_run.h"
#include "supervisor/sql.h"

/* The columns of SQL_ADMIN_RUN. */
enum {
	SESSION,
	AGENT,
	MODE,
	RESULT,
	ERROR,
	ERROR_CODE,
	MERGED_INTO,
	ATTEMPTS,
	CRASHES,
	STEPS,
	TOOL_CALLS,
	TOKENS_IN,
	TOKENS_OUT,
	RETRY_OF,
	ACCEPTED,
	STARTED,
	ENDED
};

/* Whether there is such a run; the ask ends with not_found otherwise. */
static bool is_there(struct ask *a, const struct pg_result *r)
{
	if (pg_rows(r))
		return true;
	ask_fail(a, ERR_NOT_FOUND, "tenant %lld has no run %.*s",
		 (long long)a->names.tenant, SLICE_ARG(a->args[ARG_RUN].text));
	return false;
}

static void put_text(struct json_out *o, const char *key, struct slice text)
{
	if (text.p)
		json_kv_str(o, key, text);
	else
		json_kv_cstr(o, key, NULL);
}

static void on_show(struct ask *a, const struct pg_result *r)
{
	if (!is_there(a, r))
		return;
	struct json_out *o = ask_reply(a);
	put_uuid(o, "run", a->args[ARG_RUN].uuid);
	json_kv_i64(o, "tenant", a->names.tenant);
	put_uuid(o, "session", pg_get_uuid(r, 0, SESSION));
	put_uuid(o, "agent", pg_get_uuid(r, 0, AGENT));
	json_kv_cstr(o, "state", "ended");
	put_text(o, "mode", pg_get_text(r, 0, MODE));
	put_text(o, "result", pg_get_text(r, 0, RESULT));
	put_text(o, "error", pg_get_text(r, 0, ERROR));
	put_text(o, "errorCode", pg_get_text(r, 0, ERROR_CODE));
	put_uuid(o, "mergedInto", pg_get_uuid(r, 0, MERGED_INTO));
	put_uuid(o, "retryOf", pg_get_uuid(r, 0, RETRY_OF));
	json_kv_i64(o, "attempts", pg_get_i64(r, 0, ATTEMPTS));
	json_kv_i64(o, "crashes", pg_get_i64(r, 0, CRASHES));
	json_kv_i64(o, "steps", pg_get_i64(r, 0, STEPS));
	json_kv_i64(o, "toolCalls", pg_get_i64(r, 0, TOOL_CALLS));
	json_kv_i64(o, "inputTokens", pg_get_i64(r, 0, TOKENS_IN));
	json_kv_i64(o, "outputTokens", pg_get_i64(r, 0, TOKENS_OUT));
	put_time(o, "acceptedAt", pg_get_time(r, 0, ACCEPTED));
	put_time(o, "startedAt", pg_get_time(r, 0, STARTED));
	put_time(o, "endedAt", pg_get_time(r, 0, ENDED));
	ask_end(a);
}

static void on_why(struct ask *a, const struct pg_result *r)
{
	if (!is_there(a, r))
		return;
	struct strbuf sentence = STRBUF_INIT;
	struct json_out *o = ask_reply(a);
	strbuf_printf(&sentence, "it has ended: %.*s",
		      SLICE_ARG(pg_get_text(r, 0, RESULT)));
	if (pg_get_text(r, 0, ERROR).p)
		strbuf_printf(&sentence, ", %.*s", SLICE_ARG(pg_get_text(r, 0, ERROR)));
	put_uuid(o, "run", a->args[ARG_RUN].uuid);
	json_kv_cstr(o, "state", "ended");
	json_kv_cstr(o, "why", "ended");
	json_kv_str(o, "sentence", strbuf_slice(&sentence));
	strbuf_fini(&sentence);
	ask_end(a);
}

void archive_show(struct ask *a)
{
	admin_db_read_run(a, SQL_ADMIN_RUN, on_show);
}

void archive_why(struct ask *a)
{
	admin_db_read_run(a, SQL_ADMIN_RUN, on_why);
}
