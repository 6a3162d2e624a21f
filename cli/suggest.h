/* SPDX-License-Identifier: Apache-2.0
 * What was probably meant by a mistyped word. */
#ifndef TB_CLI_SUGGEST_H
#define TB_CLI_SUGGEST_H

#include <stddef.h>

/* The name that is nearest to the word, at most about a third of its letters away, or
 * that begins with it; NULL when none is. */
const char *suggest(const char *word, const char *const *names, size_t count);

#endif
