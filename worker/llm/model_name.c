/* SPDX-License-Identifier: Apache-2.0
 * Versions in names. */
#include "worker/llm/model_name.h"

#include <ctype.h>

#include "common/attr.h"

#define NAME_MOST 120

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

bool model_of_openai_sees(struct slice model)
{
	static const char *const blind[] = {"gpt-3",   "gpt-4-0",    "gpt-4-1", "gpt-4-3",
					    "o1-mini", "o1-preview", "o3-mini"};
	for (size_t i = 0; i < ARRAY_LEN(blind); i++)
		if (slice_has_prefix(model, slice_str(blind[i])))
			return false;
	return !slice_is(model, "gpt-4");
}

bool model_sees(struct slice model)
{
	static const char *const seeing[] = {
		"vision", "-vl",     "vl-",     "llava",   "pixtral",   "minicpm-v",
		"gpt-4o", "gpt-5",   "gpt-4.1", "claude-", "gemini-",   "internvl",
		"gemma3", "gemma-3", "llama-4", "llama4",  "moondream", "2.5vl"};
	char name[NAME_MOST];
	size_t n = model.n < sizeof name ? model.n : sizeof name;
	for (size_t i = 0; i < n; i++)
		name[i] = (char)tolower((unsigned char)model.p[i]);
	for (size_t i = 0; i < ARRAY_LEN(seeing); i++)
		if (slice_find(slice_of(name, n), slice_str(seeing[i])) >= 0)
			return true;
	return false;
}
