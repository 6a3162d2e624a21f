/* SPDX-License-Identifier: Apache-2.0
 * tools.tbl as an array. */
#include "proto/tools/catalog.h"

#include <string.h>

#include "common/attr.h"
#include "common/die.h"

static const struct tool_spec specs[] = {
#define TOOL(name, category, effect, place, deadline_s, output_kib, description, schema) \
	{#name,                                                                          \
	 category,                                                                       \
	 description,                                                                    \
	 schema,                                                                         \
	 EFFECT_##effect,                                                                \
	 PLACE_##place,                                                                  \
	 deadline_s * 1000000ll,                                                         \
	 output_kib * 1024u},
#include "proto/tools/tools.tbl"
#undef TOOL
};
_Static_assert(ARRAY_LEN(specs) <= CATALOG_MOST, "a set of tools is a 64-bit mask");

size_t catalog_count(void)
{
	return ARRAY_LEN(specs);
}

const struct tool_spec *catalog_at(size_t i)
{
	check(i < ARRAY_LEN(specs));
	return &specs[i];
}

size_t catalog_find(struct slice name)
{
	size_t i = 0;
	while (i < ARRAY_LEN(specs) && !slice_is(name, specs[i].name))
		i++;
	return i;
}

bool catalog_is_builder(size_t i)
{
	return !strcmp(catalog_at(i)->category, "builder");
}

const char *tool_effect_word(enum tool_effect e)
{
	static const char *const words[] = {"pure", "idempotent", "keyed", "once"};
	return words[e];
}

const char *tool_place_word(enum tool_place p)
{
	static const char *const words[] = {"worker", "jail"};
	return words[p];
}
