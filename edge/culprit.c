/* SPDX-License-Identifier: Apache-2.0
 * A walk over the tokens of a JSON object that looks at its strings only. */
#include "edge/culprit.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/json_mend.h"

/* The raw inside of the string that begins at *at (its quote); *at moves behind it.
 * SLICE_NONE when it does not end. */
static struct slice take_string(struct slice s, size_t *at)
{
	size_t start = ++*at;
	for (; *at < s.n; ++*at) {
		if (s.p[*at] == '\\')
			++*at;
		else if (s.p[*at] == '"')
			return slice_of(s.p + start, (*at)++ - start);
	}
	return SLICE_NONE;
}

static const char *problem_of(struct slice raw)
{
	if (!slice_is_utf8(raw))
		return "it is not UTF-8";
	for (size_t i = 0; i < raw.n; i++) {
		int unit = json_unit_at(raw, i);
		if ((unsigned char)raw.p[i] < 0x20)
			return "control characters must be escaped";
		if (unit == 0)
			return "U+0000 cannot be stored";
		if (json_is_second_half(unit) ||
		    (json_is_first_half(unit) &&
		     !json_is_second_half(json_unit_at(raw, i + 6))))
			return "half of a surrogate pair stands alone";
		if (json_is_first_half(unit))
			i += 11;
		else if (raw.p[i] == '\\')
			i++;
	}
	return NULL;
}

static void copy_name(char *member, size_t size, struct slice name)
{
	int n = name.n < size ? (int)name.n : (int)size - 1;
	snprintf(member, size, "%.*s", n, name.p);
}

const char *culprit_find(struct slice json, char *member, size_t size)
{
	struct slice name = SLICE_NONE;
	bool in_value = false;
	int depth = 0;
	for (size_t at = 0; at < json.n;) {
		char c = json.p[at];
		if (c == '"') {
			struct slice s = take_string(json, &at);
			if (!s.p)
				return NULL;
			if (depth == 1 && !in_value) {
				name = s;
				continue;
			}
			const char *problem = problem_of(s);
			if (!problem)
				continue;
			if (!name.p || problem_of(name))
				return NULL;
			copy_name(member, size, name);
			return problem;
		}
		depth += (c == '{' || c == '[') - (c == '}' || c == ']');
		if (depth == 1 && (c == ':' || c == ','))
			in_value = c == ':';
		at++;
	}
	return NULL;
}
