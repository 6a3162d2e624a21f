/* SPDX-License-Identifier: Apache-2.0
 * Scripts of completions, out of the tables. */
#ifndef TB_CLI_COMPLETION_H
#define TB_CLI_COMPLETION_H

#include "common/strbuf.h"

/* Appends the script for "bash", "zsh" or "fish"; -1 for another word. */
int completion_print(struct strbuf *out, const char *shell);

#endif
