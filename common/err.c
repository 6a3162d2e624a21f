/* SPDX-License-Identifier: Apache-2.0
 * The words, sentences and retryability of err.tbl. */
#include "common/err.h"

#include <string.h>

enum { FINAL, RETRY };

static const struct {
	const char *code, *text;
	int retryable;
} rows[ERR__COUNT] = {
	[ERR_OK] = {"ok", "no error", FINAL},
#define ERR(NAME, code, retryable, text) [ERR_##NAME] = {code, text, retryable},
#include "common/err.tbl"
#undef ERR
};

static enum err known(enum err e)
{
	return (unsigned)e < ERR__COUNT ? e : ERR_INTERNAL;
}

const char *err_code(enum err e)
{
	return rows[known(e)].code;
}

const char *err_text(enum err e)
{
	return rows[known(e)].text;
}

bool err_is_retryable(enum err e)
{
	return rows[known(e)].retryable == RETRY;
}

enum err err_from_code(const char *code)
{
	for (int i = 0; i < ERR__COUNT; i++)
		if (code && !strcmp(rows[i].code, code))
			return (enum err)i;
	return ERR_INTERNAL;
}
