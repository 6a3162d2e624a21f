/* SPDX-License-Identifier: Apache-2.0
 * Bodies of foreign protocols: the first byte says which. One is refused with a member
 * and a sentence, or is an order whose content is JSON. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/attr.h"
#include "common/die.h"
#include "edge/agui/agui_input.h"
#include "edge/mcp/mcp_rpc.h"
#include "edge/mcp/mcp_tools.h"
#include "edge/uistream/ui_input.h"
#include "proto/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_outcome(bool fine, const struct order *o, const struct order_fault *f)
{
	check(memchr(f->param, 0, sizeof f->param) &&
	      memchr(f->message, 0, sizeof f->message) && fine == !f->message[0]);
	if (!fine || !o->content.p)
		return;
	AUTO(auto_json_free)
	struct json_doc *doc = json_parse(o->content, LIMIT_BODY_BYTES, NULL, 0);
	check(json_kind(json_root(doc)) == JSON_OBJECT);
	check(o->session_key.n && o->session_key.n <= LIMIT_SESSION_KEY);
}

static void agui(struct slice body)
{
	AUTO(auto_arena_free) struct arena *a = arena_new(32u << 20);
	struct order_fault fault;
	struct agui_input in;
	bool fine = agui_input_read(body, SLICE("main"), a, &in, &fault);
	check_outcome(fine, &in.order, &fault);
	check(!fine || order_check_key(in.idem_key, &fault));
}

static void ui(struct slice body)
{
	AUTO(auto_arena_free) struct arena *a = arena_new(32u << 20);
	struct order_fault fault;
	struct ui_input in;
	bool fine = ui_input_read(body, a, &in, &fault);
	check_outcome(fine, &in.order, &fault);
	check(!fine || in.order.content.p || in.decision_count);
}

static void mcp(struct slice body, bool modern)
{
	struct mcp_headers h = {.version = modern ? SLICE(MCP_MODERN) : SLICE_NONE,
				.method = modern ? SLICE("tools/call") : SLICE_NONE,
				.name = modern ? SLICE("sessions_send") : SLICE_NONE};
	char why[256];
	struct mcp_rpc r;
	struct mcp_fault f;
	bool fine = mcp_rpc_read(body, 1u << 20, &h, &r, &f);
	check(fine == !f.status && memchr(f.message, 0, sizeof f.message));
	const struct mcp_tool *t = mcp_tool_find(SLICE("sessions_send"), 1);
	if (fine)
		mcp_args_check(t, json_get(r.params, "arguments"), why, sizeof why);
	mcp_rpc_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice body = size ? slice_of(data + 1, size - 1) : SLICE("");
	if (!size)
		return 0;
	if (data[0] == 'a')
		agui(body);
	else if (data[0] == 'u')
		ui(body);
	else
		mcp(body, data[0] == 'm');
	return 0;
}
