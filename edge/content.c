/* SPDX-License-Identifier: Apache-2.0
 * content.tbl, looked up. */
#include "edge/content.h"

#include "common/attr.h"

static const struct {
	const char *suffix, *type;
} types[] = {
#define CONTENT(suffix, type) {suffix, type},
#include "edge/content.tbl"
#undef CONTENT
};

const char *content_type_of(struct slice name)
{
	const char *dot = name.n ? memrchr(name.p, '.', name.n) : NULL;
	if (dot) {
		size_t skip = (size_t)(dot - name.p) + 1;
		struct slice suffix = slice_of(name.p + skip, name.n - skip);
		for (size_t i = 0; i < ARRAY_LEN(types); i++)
			if (slice_ieq(suffix, slice_str(types[i].suffix)))
				return types[i].type;
	}
	return "application/octet-stream";
}
