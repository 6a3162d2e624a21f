/* SPDX-License-Identifier: Apache-2.0
 * Rows of tool_executions back to calls. By effect: pure, idempotent and keyed calls that
 * were running run again (keyed ones under the same key); `once` is never repeated
 * silently. */
#include "worker/resume.h"

#include "worker/group.h"
#include "common/json.h"
#include "worker/llm/blocks.h"
#include "worker/load.h"
#include "worker/run.h"
#include "worker/tools/registry.h"

const struct message *resume_answer(const struct run *r)
{
	for (size_t i = r->session->count; i-- > 0;) {
		const struct message *m = r->session->messages[i];
		if (m->seq <= r->input_seq)
			break;
		if (m->llm.role == LLM_ASSISTANT && uuid_eq(m->run, r->id))
			return m;
	}
	return NULL;
}

int resume_is_followed(const struct run *r)
{
	const struct message *answer = resume_answer(r);
	return !answer || answer->seq < r->session->head_seq;
}

/* One that is pending is no permission. */
static enum call_answer answer_of(struct slice state)
{
	if (!state.n)
		return NOT_ASKED;
	if (slice_is(state, "once") || slice_is(state, "session"))
		return ANSWER_APPROVED;
	return slice_is(state, "denied") ? ANSWER_DENIED : ANSWER_EXPIRED;
}

/* `call` counts over the whole run: the limit of calls holds as it did when they were
 * judged first. */
static void take_row(struct run *r, const struct resume_row *row, int call)
{
	if (row->call < 0 || (size_t)row->call >= r->call_count)
		return;
	struct run_call *c = &r->calls[row->call];
	*c = (struct run_call){.id = row->call_id,
			       .name = row->tool,
			       .input = row->input,
			       .hash = loop_call_hash(row->tool, row->input),
			       .tool = tool_find(row->tool),
			       .attempt = row->attempt};
	bool running = slice_is(row->state, "running");
	c->settled = !running && !slice_is(row->state, "pending");
	if (c->settled)
		return;
	if (call >= permit_max_calls(r)) {
		c->refusal = GROUP_EXCESS;
		c->refused = ERR_TOOL_EXCESS;
	}
	c->begun = running;
	c->answer = answer_of(row->approval);
	c->denial = row->denial;
	c->unknown = running && c->tool && c->tool->effect == EFFECT_ONCE;
	c->attempt += running && !c->unknown;
	group_check(r, c);
}

/* A call that was cut short or whose outcome nobody knows says nothing of a circle. */
void resume_result(struct resume_row *row, struct slice output, struct slice error)
{
	if (!output.n ||
	    (!slice_is(row->state, "completed") && !slice_is(row->state, "error")))
		return;
	row->has_result = true;
	row->blocked = slice_is(error, err_code(ERR_TOOL_LOOP));
	row->result = loop_result_hash(output);
}

/* As when the results came. */
static void tell_guard(struct run *r)
{
	const struct resume *p = r->past;
	for (int i = 0; i < p->count; i++) {
		const struct resume_row *row = &p->rows[i];
		if (!row->has_result)
			continue;
		uint64_t call = loop_call_hash(row->tool, row->input);
		if (row->blocked)
			loop_guard_add_blocked(&r->loops, call);
		else
			loop_guard_add(&r->loops, call, row->result);
	}
}

static bool has_result(const struct run *r, struct slice id)
{
	for (size_t i = r->session->count; i-- > 0;) {
		const struct message *t = r->session->messages[i];
		if (t->seq <= r->input_seq)
			continue;
		if (t->llm.role == LLM_ASSISTANT)
			break;
		AUTO(auto_json_free)
		struct json_doc *d =
			json_parse(t->llm.content, t->llm.content.n, NULL, 0);
		json_t b = json_at(json_get(json_root(d), "blocks"), 0);
		if (t->llm.role == LLM_TOOL &&
		    slice_eq(json_str(json_get(b, "callId")), id))
			return true;
	}
	return false;
}

/* A call of the client's has no row: the answer says all of it. */
static void take_client_call(struct run *r, struct run_call *c, json_t block)
{
	AUTO(strbuf_fini) struct strbuf input = STRBUF_INIT;
	json_print_ordered(&input, json_get(block, "arguments"));
	*c = (struct run_call){
		.client = true,
		.id = arena_slice(r->arena, json_str(json_get(block, "callId"))),
		.name = arena_slice(r->arena, json_str(json_get(block, "name"))),
		.input = arena_slice(r->arena, strbuf_slice(&input)),
		.attempt = 1};
	c->settled = has_result(r, c->id);
}

static void take_client_calls(struct run *r, const struct message *answer)
{
	AUTO(auto_json_free)
	struct json_doc *d =
		json_parse(answer->llm.content, answer->llm.content.n, NULL, 0);
	json_t blocks = json_get(json_root(d), "blocks");
	struct json_iter it = json_iter(blocks);
	size_t n = 0;
	r->calls = arena_zalloc(r->arena, (json_len(blocks) + 1) * sizeof *r->calls);
	for (json_t b; (b = json_next(&it, NULL));) {
		if (block_kind(b) != BLOCK_CALL)
			continue;
		if (json_bool(json_get(b, "clientSide"), false))
			take_client_call(r, &r->calls[n], b);
		else
			r->calls[n].settled = true; /* its row will say */
		n++;
	}
	r->call_count = n;
}

/* Room for the calls of the step, those of the client made. */
static void make_calls(struct run *r, const struct message *answer)
{
	const struct resume *p = r->past;
	size_t rows = 0;
	if (answer && slice_find(answer->llm.content, SLICE("\"clientSide\"")) >= 0) {
		take_client_calls(r, answer);
		return;
	}
	for (int i = 0; i < p->count; i++)
		if (r->answer_stored && p->rows[i].step == r->step_no &&
		    (size_t)p->rows[i].call >= rows)
			rows = (size_t)p->rows[i].call + 1;
	r->calls = arena_zalloc(r->arena, (rows + 1) * sizeof *r->calls);
	r->call_count = rows;
}

void resume_calls(struct run *r)
{
	const struct resume *p = r->past;
	tell_guard(r);
	const struct message *m = p->bare ? NULL : resume_answer(r);
	if (p->bare) { /* an answer and its calls' rows are one commit */
		r->step_no = p->count ? p->rows[p->count - 1].step : 0;
		r->answer_stored = p->count > 0;
	} else {
		r->step_no = m ? m->step : 0;
		r->answer_stored = m != NULL;
	}
	r->call_count = 0;
	r->calls_made = p->count < permit_max_calls(r) ? p->count : permit_max_calls(r);
	make_calls(r, m);
	for (int i = 0; i < p->count; i++)
		if (r->answer_stored && p->rows[i].step == r->step_no)
			take_row(r, &p->rows[i], i);
}
