/* SPDX-License-Identifier: Apache-2.0
 * Arguments of tool calls as a model may write them, against the real tools' schemas and
 * a nested one (the first byte chooses): a verdict, and a whole sentence with a refusal.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "worker/tools/args.h"
#include "worker/tools/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char nested[] =
	"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"minItems\":1,"
	"\"maxItems\":3,\"items\":{\"type\":\"object\",\"properties\":{\"b\":{\"type\":"
	"\"string\",\"enum\":[\"x\",\"y\"]},\"c\":{\"type\":\"number\",\"minimum\":-1,"
	"\"maximum\":1},\"d\":{\"type\":\"boolean\"}},\"required\":[\"b\"],"
	"\"additionalProperties\":false}},\"e\":{\"type\":\"integer\"},\"f\":{\"type\":"
	"\"string\",\"minLength\":2,\"maxLength\":4}},\"required\":[\"a\"],"
	"\"additionalProperties\":false}";

/* What was accepted really has the form. */
static void check_nested(json_t v)
{
	struct json_iter it = json_iter(json_get(v, "a"));
	size_t n = json_len(json_get(v, "a")), f = json_str(json_get(v, "f")).n;
	check(json_kind(json_get(v, "a")) == JSON_ARRAY && n >= 1 && n <= 3);
	check(!json_get(v, "f") || (f >= 2 && f <= 4));
	for (json_t x; (x = json_next(&it, NULL));) {
		struct slice b = json_str(json_get(x, "b"));
		double c = json_double(json_get(x, "c"), 0);
		check(slice_is(b, "x") || slice_is(b, "y"));
		check(c >= -1 && c <= 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[320] = "";
	if (size < 2)
		return 0;
	size_t which = data[0] % (tool_count() + 1);
	const char *text = which < tool_count() ? tool_at(which)->schema : nested;
	AUTO(auto_json_free)
	struct json_doc *args =
		json_parse_unique(slice_of(data + 1, size - 1), 1 << 20, NULL, 0);
	if (!args)
		return 0;
	AUTO(auto_json_free)
	struct json_doc *schema = json_parse(slice_str(text), 1 << 20, NULL, 0);
	enum err e = args_check(json_root(schema), json_root(args), why, sizeof why);
	check(e == ERR_OK || e == ERR_TOOL_ARGUMENTS);
	check(memchr(why, 0, sizeof why) && !e == !why[0]);
	if (!e && which == tool_count())
		check_nested(json_root(args));
	/* a short buffer is no reason to write beyond it */
	size_t room = 1 + data[0] % 40;
	char *small = xmalloc(room);
	check(args_check(json_root(schema), json_root(args), small, room) == e);
	free(small);
	return 0;
}
