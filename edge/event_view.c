/* SPDX-License-Identifier: Apache-2.0
 * From an event's body to what it says. */
#include "edge/event_view.h"

#include <string.h>

#include "common/attr.h"
#include "edge/sse.h"
#include "proto/limits.h"

/* A whole message that was put together again may be longer than one event. */
#define VIEW_BYTES_MAX (64u << 20)

static struct slice member(json_t v, const char *name)
{
	return json_str(json_get(v, name));
}

static void read_text(struct event_view *v, json_t body)
{
	json_t metadata = json_get(body, "metadata");
	v->kind = json_bool(json_get(metadata, "reset"), false) ? VIEW_RESET : VIEW_TEXT;
	v->content = member(body, "content");
	v->stop = member(metadata, "stop");
}

static enum view_state state_of(struct slice word)
{
	static const char *const words[] = {"pending", "running", "completed"};
	for (int i = 0; i < 3; i++)
		if (slice_is(word, words[i]))
			return (enum view_state)i;
	return VIEW_FAILED;
}

static void read_tool(struct event_view *v, json_t body)
{
	json_t metadata = json_get(body, "metadata");
	v->kind = v->durable ? VIEW_TOOL : VIEW_PRINTED;
	v->state = state_of(member(body, "toolState"));
	v->call_id = member(metadata, "callId");
	v->tool = member(body, "toolName");
	v->input = json_get(body, "toolInput");
	v->output = json_get(body, "toolOutput");
	v->content = member(body, "content");
	v->stream = member(metadata, "stream");
	json_i64(json_get(metadata, "step"), &v->step);
	v->client_side = json_bool(json_get(metadata, "clientSide"), false);
	v->approval_body = json_get(metadata, "approval");
	v->approval = member(v->approval_body, "id");
	v->approval_state = member(v->approval_body, "state");
	if (!v->call_id.n)
		v->kind = VIEW_OTHER;
}

static void read_phase(struct event_view *v, json_t body)
{
	v->phase = member(body, "phase");
	v->metadata = json_get(body, "metadata");
	v->kind = slice_is(v->phase, "end") || slice_is(v->phase, "error") ? VIEW_END
									   : VIEW_PHASE;
	v->result = member(v->metadata, "result");
	v->stop = member(v->metadata, "stop");
	v->code = member(v->metadata, "code");
	json_i64(json_get(v->metadata, "tokensIn"), &v->tokens_in);
	json_i64(json_get(v->metadata, "tokensOut"), &v->tokens_out);
	uuid_parse(member(v->metadata, "mergedInto"), &v->merged_into);
}

static void read_error(struct event_view *v, json_t body)
{
	v->kind = VIEW_ERROR;
	v->error = member(body, "error");
	v->code = member(json_get(body, "metadata"), "code");
}

void event_view_read(const struct sse_item *item, struct event_view *out)
{
	static const struct {
		const char *type;
		void (*read)(struct event_view *v, json_t body);
	} readers[] = {{"assistant", read_text},
		       {"tool", read_tool},
		       {"lifecycle", read_phase},
		       {"error", read_error}};
	*out = (struct event_view){
		.kind = VIEW_OTHER,
		.seq = item->seq,
		.durable = item->durable,
		.doc = json_parse(item->body, VIEW_BYTES_MAX, NULL, 0)};
	for (size_t i = 0; out->doc && i < ARRAY_LEN(readers); i++)
		if (!strcmp(item->type, readers[i].type))
			readers[i].read(out, json_root(out->doc));
}

void event_view_fini(struct event_view *v)
{
	json_free(v->doc);
	v->doc = NULL;
}
