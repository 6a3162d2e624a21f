/* SPDX-License-Identifier: Apache-2.0
 * Names against a table. */
#include "worker/tools/environment.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "proto/limits.h"

/* What a program finds, before what the call adds. */
static const char *const ours[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/workspace",
				   "LANG=C.UTF-8", "TMPDIR=/tmp", "USER=tool"};

static const struct {
	const char *pattern, *why;
} denied[] = {
#define ENV_NAME(pattern, why) {pattern, why},
#include "worker/tools/env_names.tbl"
#undef ENV_NAME
};

static bool fits(const char *pattern, struct slice name)
{
	size_t n = strlen(pattern);
	if (pattern[n - 1] == '*')
		return name.n >= n - 1 && !memcmp(name.p, pattern, n - 1);
	return slice_is(name, pattern);
}

static bool is_name(struct slice s)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz_0123456789";
	for (size_t i = 0; i < s.n; i++)
		if (!memchr(letters, s.p[i], sizeof letters - 1))
			return false;
	return s.n && (*s.p < '0' || *s.p > '9');
}

static bool is_allowed(struct slice name, char *why, size_t size)
{
	struct slice shown = slice_of(name.p, name.n > 60 ? 60 : name.n);
	if (!is_name(name) && !fits("BASH_FUNC_*", name)) {
		snprintf(why, size,
			 "argument 'env': '%.*s' is no name for a variable: letters, "
			 "digits and _",
			 SLICE_ARG(shown));
		return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(denied); i++)
		if (fits(denied[i].pattern, name)) {
			snprintf(
				why, size,
				"argument 'env' may not set %.*s: %s. Name what is meant "
				"in the command itself",
				SLICE_ARG(shown), denied[i].why);
			return false;
		}
	return true;
}

bool environment_add(struct strbuf *out, json_t env, char *why, size_t size)
{
	struct json_iter it = json_iter(env);
	struct slice name;
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		strbuf_add(out, ours[i], strlen(ours[i]) + 1);
	for (json_t v; (v = json_next(&it, &name));) {
		if (!is_allowed(name, why, size))
			return false;
		if (json_kind(v) != JSON_STRING) {
			snprintf(why, size,
				 "argument 'env': the value of %.*s is no text",
				 (int)(name.n > 60 ? 60 : name.n), name.p);
			return false;
		}
		strbuf_add_slice(out, name);
		strbuf_add_char(out, '=');
		strbuf_add(out, json_str(v).p, json_str(v).n + 1); /* its NUL too */
	}
	if (out->n <= LIMIT_ENV_BYTES)
		return true;
	snprintf(why, size, "argument 'env' is longer than %u KiB in all",
		 LIMIT_ENV_BYTES >> 10);
	return false;
}
