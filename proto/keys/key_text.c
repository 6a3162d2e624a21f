/* SPDX-License-Identifier: Apache-2.0
 * A key goes into a header's line as it is: nothing in it may end that line. */
#include "proto/keys/key_text.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/url_guard.h"
#include "proto/keys/key_seal.h"

#define HINTED_LEAST 16
#define LABEL_MOST 63
#define BASE_URL_MOST 1000

static const char *const names[] = {
#define PROVIDER_NAME(name) name,
#include "proto/keys/provider_names.tbl"
#undef PROVIDER_NAME
};

bool key_provider_is_known(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_is(name, names[i]))
			return true;
	return false;
}

const char *key_providers(void)
{
	static const char text[] =
#define PROVIDER_NAME(name) name ", "
#include "proto/keys/provider_names.tbl"
#undef PROVIDER_NAME
		"each in lower case";
	return text;
}

static bool is_printable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return true;
}

const char *key_text_problem(struct slice key)
{
	return key.n && key.n <= PROVIDER_KEY_MOST && is_printable(key)
		       ? NULL
		       : "must be 1 to 1000 printable ASCII characters without blanks";
}

const char *key_label_problem(struct slice label)
{
	return label.n && label.n <= LABEL_MOST && slice_is_utf8(label) &&
			       !slice_has_control(label) && !memchr(label.p, 0, label.n)
		       ? NULL
		       : "must be 1 to 63 bytes of text without control characters";
}

static bool begins_well(struct slice url)
{
	return slice_has_prefix(url, SLICE("https://")) ||
	       slice_has_prefix(url, SLICE("http://"));
}

const char *key_base_url_problem(struct slice url, bool guarded)
{
	static char why[200];
	size_t n =
		(size_t)snprintf(why, sizeof why, "is no address for a tenant's key: ");
	if (!url.n || url.n > BASE_URL_MOST)
		return "must have 1 to 1000 bytes";
	if (guarded)
		return url_guard_check(url, why + n, sizeof why - n) ? NULL : why;
	return is_printable(url) && begins_well(url)
		       ? NULL
		       : "must be an address that begins with https:// or http://";
}

const char *key_version_problem(struct slice version)
{
	return version.n && version.n <= 40 && is_printable(version)
		       ? NULL
		       : "must be 1 to 40 printable ASCII characters without blanks";
}

void key_hint(struct slice key, char out[KEY_HINT])
{
	size_t n = key.n >= HINTED_LEAST ? KEY_HINT - 1 : 0;
	memcpy(out, key.p + key.n - n, n);
	out[n] = 0;
}
