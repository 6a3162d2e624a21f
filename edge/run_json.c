/* SPDX-License-Identifier: Apache-2.0
 * Members of a run's JSON object. */
#include "edge/run_json.h"

#include "common/clock.h"

void run_put_time(struct json_out *o, const char *key, int64_t us)
{
	char text[CLOCK_TEXT_LEN + 1];
	if (!us)
		return;
	clock_format(us, text);
	json_kv_cstr(o, key, text);
}

void run_put_id(struct json_out *o, const char *key, struct uuid u)
{
	char text[UUID_TEXT_LEN + 1];
	if (uuid_is_nil(u))
		return;
	uuid_format(u, text);
	json_kv_cstr(o, key, text);
}

void run_put_outcome(struct json_out *o, const struct run_row *row)
{
	if (row->error_code.p || row->error.p) {
		json_key(o, "error");
		json_obj(o);
		json_kv_str(o, "code",
			    row->error_code.p ? row->error_code : SLICE("internal"));
		json_kv_str(o, "message", row->error.p ? row->error : SLICE(""));
		json_obj_end(o);
	}
	if (row->stop.p)
		json_kv_str(o, "stop", row->stop);
	if (row->pending_calls.p)
		json_kv_raw(o, "pendingToolCalls", row->pending_calls);
	if (row->text.p) {
		json_key(o, "result");
		json_obj(o);
		json_kv_str(o, "text", row->text);
		json_kv_i64(o, "messageSeq", row->output_seq);
		json_obj_end(o);
	}
}

/* A cost that is not known, or not wholly, is not shown as if it were. */
static void put_cost(struct json_out *o, const struct run_row *row)
{
	json_key(o, "costMicros");
	if (row->cost_micros < 0)
		json_put_null(o);
	else
		json_put_i64(o, row->cost_micros);
	json_kv_i64(o, "modelCalls", row->model_calls);
	json_kv_i64(o, "unpricedCalls", row->unpriced_calls);
	json_kv_i64(o, "modelMs", row->model_ms);
	if (row->started_us && row->ended_us > row->started_us)
		json_kv_i64(o, "wallMs", (row->ended_us - row->started_us) / 1000);
}

static void put_usage(struct json_out *o, const struct run_row *row)
{
	json_kv_i64(o, "steps", row->steps);
	json_kv_i64(o, "toolCalls", row->tool_calls);
	json_key(o, "usage");
	json_obj(o);
	json_kv_i64(o, "inputTokens", row->tokens_in);
	json_kv_i64(o, "outputTokens", row->tokens_out);
	if (row->has_cost)
		put_cost(o, row);
	json_obj_end(o);
}

void run_put(struct json_out *o, struct uuid run, const struct run_row *row)
{
	run_put_id(o, "runId", run);
	json_kv_str(o, "status", row->cancelling ? SLICE("cancelling") : row->state);
	if (row->builder)
		json_kv_cstr(o, "mode", "builder");
	run_put_id(o, "agentId", row->agent);
	if (row->agent_name.p)
		json_kv_str(o, "agent", row->agent_name);
	run_put_id(o, "sessionId", row->session);
	if (row->session_key.p)
		json_kv_str(o, "sessionKey", row->session_key);
	run_put_time(o, "acceptedAt", row->accepted_us);
	run_put_time(o, "startedAt", row->started_us);
	run_put_time(o, "endedAt", row->ended_us);
	json_kv_i64(o, "attempts", row->attempts);
	if (row->position >= 0 && !row->ended)
		json_kv_i64(o, "position", row->position);
	if (row->approvals.p)
		json_kv_raw(o, "approvals", row->approvals);
	run_put_id(o, "mergedInto", row->merged_into);
	run_put_outcome(o, row);
	if (row->ended)
		put_usage(o, row);
}
