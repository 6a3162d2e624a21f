/* SPDX-License-Identifier: Apache-2.0
 * tools.tbl as an array. A tool without a start function is a link error. */
#include "worker/tools/registry.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/attr.h"
#include "common/die.h"

#define TOOL(name, category, effect, place, deadline_s, output_kib, description, schema) \
	void tool_##name(struct tool_call *c);
#include "proto/tools/tools.tbl"
#undef TOOL

static const struct tool tools[] = {
#define TOOL(name, category, effect, place, deadline_s, output_kib, description, schema) \
	{#name,                                                                          \
	 category,                                                                       \
	 description,                                                                    \
	 schema,                                                                         \
	 EFFECT_##effect,                                                                \
	 PLACE_##place,                                                                  \
	 deadline_s * 1000000ll,                                                         \
	 output_kib * 1024u,                                                             \
	 tool_##name},
#include "proto/tools/tools.tbl"
#undef TOOL
};

const struct tool *tool_find(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (slice_is(name, tools[i].name))
			return &tools[i];
	return NULL;
}

size_t tool_count(void)
{
	return ARRAY_LEN(tools);
}

const struct tool *tool_at(size_t i)
{
	check(i < ARRAY_LEN(tools));
	return &tools[i];
}

size_t tool_index(const struct tool *t)
{
	return (size_t)(t - tools);
}

void tool_error(struct tool_call *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	strbuf_reset(&c->output);
	struct json_out o = json_out(&c->output);
	json_obj(&o);
	json_kv_cstr(&o, "error", text);
	json_obj_end(&o);
}
