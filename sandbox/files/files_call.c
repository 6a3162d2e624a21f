/* SPDX-License-Identifier: Apache-2.0
 * Arguments as a model writes them. The worker has checked them against the schema; here
 * they are not trusted to have been. */
#include "sandbox/files/files_call.h"

#include <stdio.h>

static const char *kind_word(json_t v)
{
	static const char *const words[] = {
		[JSON_ABSENT] = "nothing",  [JSON_NULL] = "null",
		[JSON_BOOL] = "a boolean",  [JSON_NUMBER] = "a number",
		[JSON_STRING] = "a string", [JSON_ARRAY] = "an array",
		[JSON_OBJECT] = "an object"};
	return words[json_kind(v)];
}

static bool is_left_out(json_t v)
{
	return json_kind(v) == JSON_ABSENT || json_kind(v) == JSON_NULL;
}

bool files_arg_str(struct files_call *c, json_t from, const char *name, struct slice *out)
{
	json_t v = json_get(from, name);
	if (is_left_out(v))
		return true;
	if (json_kind(v) != JSON_STRING)
		return files_refuse(&c->why, "argument '%s' must be a string, it is %s",
				    name, kind_word(v));
	*out = json_str(v);
	return true;
}

bool files_arg_i64(struct files_call *c, const char *name, int64_t least, int64_t most,
		   int64_t *out)
{
	json_t v = json_get(c->args, name);
	int64_t n;
	if (is_left_out(v))
		return true;
	if (!json_i64(v, &n))
		return files_refuse(
			&c->why, "argument '%s' must be a whole number, it is %s", name,
			json_kind(v) == JSON_NUMBER ? "another number" : kind_word(v));
	if (n < least || n > most)
		return files_refuse(
			&c->why, "argument '%s' is %lld; it is from %lld to %lld", name,
			(long long)n, (long long)least, (long long)most);
	*out = n;
	return true;
}

bool files_arg_bool(struct files_call *c, json_t from, const char *name, bool *out)
{
	json_t v = json_get(from, name);
	if (is_left_out(v))
		return true;
	if (json_kind(v) != JSON_BOOL)
		return files_refuse(&c->why,
				    "argument '%s' must be true or false, it is %s", name,
				    kind_word(v));
	*out = json_bool(v, false);
	return true;
}

bool files_arg_known(struct files_call *c, json_t from, const char *const *names)
{
	struct json_iter it = json_iter(from);
	struct slice key;
	while (json_next(&it, &key)) {
		char list[300];
		size_t n = 0, i = 0;
		while (names[i] && !slice_is(key, names[i]))
			i++;
		if (names[i])
			continue;
		for (i = 0; names[i] && n < sizeof list; i++)
			n += (size_t)snprintf(list + n, sizeof list - n, "%s%s",
					      i ? ", " : "", names[i]);
		return files_refuse(&c->why, "there is no argument '%.*s'; there are %s",
				    SLICE_ARG(files_shown(key, 60)), list);
	}
	return true;
}
