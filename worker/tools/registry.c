/* SPDX-License-Identifier: Apache-2.0
 * tools.tbl as start functions. A tool without one is a link error. */
#include "worker/tools/registry.h"

#include <stdarg.h>
#include <stdio.h>

#define TOOL(name, category, effect, place, deadline_s, output_kib, description, schema) \
	tool_start_fn tool_##name;
#include "proto/tools/tools.tbl"
#undef TOOL

static tool_start_fn *const starters[] = {
#define TOOL(name, category, effect, place, deadline_s, output_kib, description, schema) \
	tool_##name,
#include "proto/tools/tools.tbl"
#undef TOOL
};

const struct tool_spec *tool_find(struct slice name)
{
	size_t i = catalog_find(name);
	return i < catalog_count() ? catalog_at(i) : NULL;
}

size_t tool_count(void)
{
	return catalog_count();
}

const struct tool_spec *tool_at(size_t i)
{
	return catalog_at(i);
}

size_t tool_index(const struct tool_spec *t)
{
	return (size_t)(t - catalog_at(0));
}

tool_start_fn *tool_starter(const struct tool_spec *t)
{
	return starters[tool_index(t)];
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
