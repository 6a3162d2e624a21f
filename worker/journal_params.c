/* SPDX-License-Identifier: Apache-2.0
 * One array a column. COLUMN walks the commits of the batch, ROWS what one group of them
 * holds; `item` is the commit's position from 1. */
#include "worker/journal_params.h"

#include "worker/journal.h"

#define COLUMN(type, expression)                                                         \
	do {                                                                             \
		pg_array(p, type);                                                       \
		list_each (n, batch) {                                                   \
			const struct commit *c = list_entry(n, struct commit, node);     \
			expression;                                                      \
		}                                                                        \
		pg_array_end(p);                                                         \
	} while (0)

#define ROWS(type, list, counter, expression)                                            \
	do {                                                                             \
		int32_t item = 0;                                                        \
		pg_array(p, type);                                                       \
		list_each (n, batch) {                                                   \
			const struct commit *c = list_entry(n, struct commit, node);     \
			item++;                                                          \
			for (size_t i = 0; i < c->counter; i++) {                        \
				__typeof__(c->list[0]) const *x = &c->list[i];           \
				(void)x;                                                 \
				(void)item;                                              \
				expression;                                              \
			}                                                                \
		}                                                                        \
		pg_array_end(p);                                                         \
	} while (0)

/* What a commit has one of or none. */
#define SINGLES(type, flag, member, expression)                                          \
	do {                                                                             \
		int32_t item = 0;                                                        \
		pg_array(p, type);                                                       \
		list_each (n, batch) {                                                   \
			const struct commit *c = list_entry(n, struct commit, node);     \
			item++;                                                          \
			(void)item;                                                      \
			if (!c->flag)                                                    \
				continue;                                                \
			__typeof__(c->member) const *x = &c->member;                     \
			expression;                                                      \
		}                                                                        \
		pg_array_end(p);                                                         \
	} while (0)

static void put_items(struct pg_params *p, const struct list *batch)
{
	COLUMN(PG_INT8, pg_i64(p, c->tenant));
	COLUMN(PG_UUID, pg_uuid(p, c->run));
	COLUMN(PG_UUID, pg_uuid(p, c->session));
	COLUMN(PG_INT8, pg_i64(p, c->fence));
	COLUMN(PG_INT8, pg_i64(p, c->commit_no));
	COLUMN(PG_TEXT, pg_text(p, slice_str(c->cap)));
}

static void put_tokens(struct pg_params *p, int tokens)
{
	if (tokens)
		pg_i32(p, tokens);
	else
		pg_null(p, PG_INT4);
}

static void put_messages(struct pg_params *p, const struct list *batch)
{
	ROWS(PG_INT4, messages, message_count, pg_i32(p, item));
	ROWS(PG_INT2, messages, message_count, pg_i16(p, (int16_t)x->step));
	ROWS(PG_TEXT, messages, message_count, pg_text(p, slice_str(x->role)));
	ROWS(PG_JSONB, messages, message_count, pg_jsonb(p, x->content));
	ROWS(PG_INT4, messages, message_count, put_tokens(p, x->tokens));
}

static void put_json(struct pg_params *p, struct slice json)
{
	if (json.p)
		pg_jsonb(p, json);
	else
		pg_null(p, PG_JSONB);
}

static void put_done(struct pg_params *p, enum pg_type type, const struct commit_tool *x,
		     int64_t value)
{
	if (!x->output.p)
		pg_null(p, type);
	else if (type == PG_INT4)
		pg_i32(p, (int32_t)value);
	else
		pg_i64(p, value);
}

static void put_exit(struct pg_params *p, const struct tool_facts *f)
{
	if (f->has_exit)
		pg_i32(p, f->exit);
	else
		pg_null(p, PG_INT4);
}

static void put_word(struct pg_params *p, const char *word)
{
	pg_text(p, word ? slice_str(word) : SLICE_NONE);
}

static void put_facts(struct pg_params *p, const struct list *batch)
{
	ROWS(PG_INT4, tools, tool_count, pg_i32(p, x->policy_version));
	ROWS(PG_INT4, tools, tool_count,
	     put_done(p, PG_INT4, x, x->facts.duration_us / 1000));
	ROWS(PG_INT8, tools, tool_count,
	     put_done(p, PG_INT8, x, (int64_t)x->facts.bytes));
	ROWS(PG_INT4, tools, tool_count, put_exit(p, &x->facts));
	ROWS(PG_TEXT, tools, tool_count, put_word(p, x->facts.signal));
	ROWS(PG_TEXT, tools, tool_count, put_word(p, x->facts.error_class));
	ROWS(PG_BOOL, tools, tool_count, pg_bool(p, x->facts.truncated));
}

static void put_tools(struct pg_params *p, const struct list *batch)
{
	ROWS(PG_INT4, tools, tool_count, pg_i32(p, item));
	ROWS(PG_INT2, tools, tool_count, pg_i16(p, (int16_t)x->step));
	ROWS(PG_INT2, tools, tool_count, pg_i16(p, (int16_t)x->call));
	ROWS(PG_TEXT, tools, tool_count, pg_text(p, x->call_id));
	ROWS(PG_TEXT, tools, tool_count, pg_text(p, x->tool));
	ROWS(PG_TEXT, tools, tool_count, pg_text(p, slice_str(x->effect)));
	ROWS(PG_TEXT, tools, tool_count, pg_text(p, slice_str(x->state)));
	ROWS(PG_INT2, tools, tool_count, pg_i16(p, (int16_t)x->attempt));
	ROWS(PG_JSONB, tools, tool_count, pg_jsonb(p, x->input));
	ROWS(PG_JSONB, tools, tool_count, put_json(p, x->output));
	ROWS(PG_TEXT, tools, tool_count, pg_text(p, x->error));
	put_facts(p, batch);
}

static void put_events(struct pg_params *p, const struct list *batch)
{
	ROWS(PG_INT4, events, event_count, pg_i32(p, item));
	ROWS(PG_INT4, events, event_count, pg_i32(p, (int32_t)x->seq));
	ROWS(PG_TEXT, events, event_count, pg_text(p, slice_str(event_word(x->type))));
	ROWS(PG_TIMESTAMPTZ, events, event_count, pg_time(p, x->at_us));
	ROWS(PG_JSONB, events, event_count, pg_jsonb(p, x->stored));
}

static void put_cost(struct pg_params *p, int64_t micros)
{
	if (micros < 0)
		pg_null(p, PG_INT8);
	else
		pg_i64(p, micros);
}

static void put_usage(struct pg_params *p, const struct list *batch)
{
	ROWS(PG_INT4, usage, usage_count, pg_i32(p, item));
	ROWS(PG_INT2, usage, usage_count, pg_i16(p, (int16_t)x->step));
	ROWS(PG_INT2, usage, usage_count, pg_i16(p, (int16_t)x->call));
	ROWS(PG_TEXT, usage, usage_count, pg_text(p, x->provider));
	ROWS(PG_TEXT, usage, usage_count, pg_text(p, x->model));
	ROWS(PG_INT8, usage, usage_count, pg_i64(p, x->in));
	ROWS(PG_INT8, usage, usage_count, pg_i64(p, x->out));
	ROWS(PG_INT8, usage, usage_count, pg_i64(p, x->cached));
	ROWS(PG_INT8, usage, usage_count, pg_i64(p, x->cache_write));
	ROWS(PG_INT8, usage, usage_count, pg_i64(p, x->reasoning));
	ROWS(PG_INT8, usage, usage_count, put_cost(p, x->cost_micros));
	ROWS(PG_INT4, usage, usage_count, pg_i32(p, (int32_t)(x->duration_us / 1000)));
}

#define ENDS(type, expression) SINGLES(type, has_end, end, expression)
#define RETRIES(type, expression) SINGLES(type, has_retry, retry, expression)

static void put_ends(struct pg_params *p, const struct list *batch)
{
	ENDS(PG_INT4, (void)x; pg_i32(p, item));
	ENDS(PG_TEXT, pg_text(p, slice_str(result_word(x->result))));
	ENDS(PG_TEXT, pg_text(p, slice_str(x->code)));
	ENDS(PG_TEXT, pg_text(p, slice_str(x->error)));
	ENDS(PG_INT2, pg_i16(p, (int16_t)x->steps));
	ENDS(PG_INT2, pg_i16(p, (int16_t)x->tool_calls));
	ENDS(PG_INT8, pg_i64(p, x->tokens_in));
	ENDS(PG_INT8, pg_i64(p, x->tokens_out));
}

static void put_wishes(struct pg_params *p, const struct list *batch)
{
	COLUMN(PG_INT2, pg_i16(p, (int16_t)c->take));
	COLUMN(PG_BOOL, pg_bool(p, c->clear));
}

static void put_retries(struct pg_params *p, const struct list *batch)
{
	RETRIES(PG_INT4, (void)x; pg_i32(p, item));
	RETRIES(PG_INT8, pg_i64(p, x->pause_us));
	RETRIES(PG_TEXT, pg_text(p, slice_str(x->code)));
	RETRIES(PG_TEXT, pg_text(p, slice_str(x->error)));
	RETRIES(PG_INT4, pg_i32(p, x->active_ms));
}

static void put_asks(struct pg_params *p, const struct list *batch)
{
	ROWS(PG_INT4, asks, ask_count, pg_i32(p, item));
	ROWS(PG_UUID, asks, ask_count, pg_uuid(p, x->id));
	ROWS(PG_INT2, asks, ask_count, pg_i16(p, (int16_t)x->step));
	ROWS(PG_INT2, asks, ask_count, pg_i16(p, (int16_t)x->call));
	ROWS(PG_TEXT, asks, ask_count, pg_text(p, x->tool));
	ROWS(PG_JSONB, asks, ask_count, pg_jsonb(p, x->input));
	ROWS(PG_TEXT, asks, ask_count, pg_text(p, slice_str(x->rule)));
	ROWS(PG_INT8, asks, ask_count, pg_i64(p, x->life_us));
	ROWS(PG_INT4, asks, ask_count, pg_i32(p, x->active_ms));
}

static void put_acts(struct pg_params *p, const struct list *batch)
{
	ROWS(PG_INT4, acts, act_count, pg_i32(p, item));
	ROWS(PG_TEXT, acts, act_count, pg_text(p, slice_str(x->what)));
	ROWS(PG_JSONB, acts, act_count, pg_jsonb(p, x->data));
}

void journal_params(struct pg_params *p, const struct list *batch)
{
	put_items(p, batch);
	put_messages(p, batch);
	put_tools(p, batch);
	put_events(p, batch);
	put_usage(p, batch);
	put_ends(p, batch);
	put_wishes(p, batch);
	put_retries(p, batch);
	put_asks(p, batch);
	put_acts(p, batch);
}
