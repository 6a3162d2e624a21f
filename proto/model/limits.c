/* SPDX-License-Identifier: Apache-2.0
 * Member by member. */
#include "proto/model/limits.h"

#include <string.h>

static bool read_limit(json_t v, int64_t *to)
{
	return json_kind(v) <= JSON_NULL || (json_i64(v, to) && *to > 0);
}

bool budget_limits_read(json_t v, struct budget_limits *out)
{
	struct json_iter it = json_iter(v);
	struct slice key;
	memset(out, 0, sizeof *out);
	if (json_kind(v) <= JSON_NULL)
		return true;
	if (json_kind(v) != JSON_OBJECT)
		return false;
	for (json_t x; (x = json_next(&it, &key));) {
		int64_t *to = slice_is(key, "tokens")       ? &out->tokens
			      : slice_is(key, "costMicros") ? &out->cost_micros
			      : slice_is(key, "calls")      ? &out->calls
			      : slice_is(key, "seconds")    ? &out->seconds
							    : NULL;
		if (!to || !read_limit(x, to))
			return false;
	}
	return true;
}

static int64_t tighter(int64_t a, int64_t b)
{
	return !a || (b && b < a) ? b : a;
}

struct budget_limits budget_limits_of(const struct budget_limits *a,
				      const struct budget_limits *b)
{
	return (struct budget_limits){
		tighter(a->tokens, b->tokens), tighter(a->cost_micros, b->cost_micros),
		tighter(a->calls, b->calls), tighter(a->seconds, b->seconds)};
}
