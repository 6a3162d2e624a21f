/* SPDX-License-Identifier: Apache-2.0
 * The state directory: the secrets and the token in it. Failures are reported here. */
#ifndef TB_CLI_STATE_H
#define TB_CLI_STATE_H

#include <stddef.h>

#include "common/slice.h"

/* The longest text a secret's file may have: what the node reads. */
#define STATE_TEXT_MAX 2000

/* "<directory>/<name>", malloc'ed. */
char *state_path(const char *directory, const char *name);
/* Makes the directory and secrets/ (0700) in it and proves that both can be written, so
 * that nothing is changed elsewhere before. -1: reported. */
int state_prepare(const char *directory);
/* The first line of a file, malloc'ed; NULL when there is no such file or it is empty. */
char *state_read(const char *directory, const char *name);
/* Writes a file (0600) so that it is there whole or not at all, whatever happens. -1:
 * reported. */
int state_write(const char *directory, const char *name, struct slice text);
/* Overwrites and frees a secret; NULL is allowed. For AUTO(state_forget) char *p. */
void state_forget(char **secret);

#endif
