/* SPDX-License-Identifier: Apache-2.0
 * Member by member. */
#include "proto/model/webhook.h"

#include <stdio.h>

#include "common/attr.h"

static bool wrong(char *err, size_t size, const char *what)
{
	snprintf(err, size, "%s", what);
	return false;
}

static bool is_url(struct slice s)
{
	if (!slice_has_prefix(s, SLICE("https://")) &&
	    !slice_has_prefix(s, SLICE("http://")))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n <= WEBHOOK_URL_MOST;
}

static bool is_result(struct slice word)
{
	static const char *const words[] = {"completed", "failed", "cancelled",
					    "timed_out", "dead",   "superseded",
					    "dropped"}; /* of proto/results.tbl */
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(word, words[i]))
			return true;
	return false;
}

static bool are_events(json_t v)
{
	struct json_iter it = json_iter(v);
	if (json_kind(v) != JSON_ARRAY || !json_len(v) || json_len(v) > 16)
		return false;
	for (json_t e; (e = json_next(&it, NULL));)
		if (!is_result(json_str(e)))
			return false;
	return true;
}

bool webhook_check(json_t v, char *err, size_t size)
{
	struct json_iter it = json_iter(v);
	struct slice key;
	bool has_url = false;
	if (json_kind(v) != JSON_OBJECT)
		return wrong(err, size, "must be an object with a url");
	for (json_t m; (m = json_next(&it, &key));) {
		if (slice_is(key, "url") && !is_url(json_str(m)))
			return wrong(err, size,
				     "must have a url of http or https, of at most 2000 "
				     "visible ASCII characters");
		if (slice_is(key, "events") && !are_events(m))
			return wrong(err, size,
				     "may name as events completed, failed, cancelled, "
				     "timed_out, dead, superseded and dropped, in a "
				     "list");
		if (!slice_is(key, "url") && !slice_is(key, "events"))
			return wrong(err, size, "takes url and events alone");
		has_url = has_url || slice_is(key, "url");
	}
	return has_url || wrong(err, size, "must have a url");
}

struct slice webhook_url(json_t v)
{
	return json_str(json_get(v, "url"));
}
