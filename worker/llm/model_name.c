/* SPDX-License-Identifier: Apache-2.0
 * Versions in names. */
#include "worker/llm/model_name.h"

/* A number of at most two digits (longer ones are dates), or -1. */
static int small_number(struct slice word)
{
	long long n;
	return word.n && word.n <= 2 && slice_to_i64(word, &n) && n >= 0 ? (int)n : -1;
}

static struct slice next_word(struct slice *rest)
{
	size_t n = 0;
	while (n < rest->n && !strchr("-._/:@", rest->p[n]))
		n++;
	struct slice word = slice_of(rest->p, n);
	n += n < rest->n;
	*rest = slice_of(rest->p + n, rest->n - n);
	return word;
}

int model_version(struct slice model)
{
	int major = -1, minor;
	while (model.n && major < 0)
		major = small_number(next_word(&model));
	if (major < 0)
		return 0;
	minor = model.n ? small_number(next_word(&model)) : -1;
	return major * 100 + (minor > 0 ? minor : 0);
}
