/* SPDX-License-Identifier: Apache-2.0
 * The body of POST runs: refused with a sentence that names a member, or an order whose
 * content is JSON within its limit. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/attr.h"
#include "common/die.h"
#include "common/json.h"
#include "edge/order.h"
#include "proto/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(auto_arena_free) struct arena *arena = arena_new(64u << 20);
	struct order_fault fault = {0};
	struct order o;
	if (!order_parse(slice_of(data, size), arena, &o, &fault)) {
		check(fault.message[0] && memchr(fault.message, 0, sizeof fault.message));
		check(memchr(fault.param, 0, sizeof fault.param));
		return 0;
	}
	check(o.content.n && o.content.n <= LIMIT_BODY_BYTES);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse_unique(o.content, LIMIT_BODY_BYTES, NULL, 0);
	json_t root = json_root(d);
	check(json_kind(json_get(root, "blocks")) == JSON_ARRAY);
	bool bare = !json_len(json_get(root, "blocks"));
	check(!bare || json_len(json_get(root, "toolResults")));
	bool own = json_get(root, "clientTools") || json_get(root, "toolChoice") ||
		   json_get(root, "toolResults");
	check(!own || o.mode == MODE_FOLLOWUP || o.mode == MODE_INTERRUPT);
	return 0;
}
