/* SPDX-License-Identifier: Apache-2.0
 * What a listing leaves out unless it is asked for all: directories full of what nobody
 * wrote, and what the .gitignore files on the way say. */
#ifndef TB_FILES_IGNORE_H
#define TB_FILES_IGNORE_H

#include <stdbool.h>

#include "common/slice.h"

struct files_ignore;

struct files_ignore *files_ignore_new(void);
void files_ignore_free(struct files_ignore *g);
/* Takes the rules of the .gitignore in `dir`, which is at path `at` from the workspace.
 * One that is no regular file, or large, is passed over. */
void files_ignore_load(struct files_ignore *g, int dir, struct slice at);
/* path from the workspace. The rule that came last decides. */
bool files_ignored(const struct files_ignore *g, struct slice path, bool is_dir);

#endif
