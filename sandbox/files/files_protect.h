/* SPDX-License-Identifier: Apache-2.0
 * Paths that no file tool writes, whether they exist or not: what a program outside of
 * the jail would run or obey. */
#ifndef TB_FILES_PROTECT_H
#define TB_FILES_PROTECT_H

#include <stdbool.h>

#include "common/slice.h"

/* Files that a write keeps beside the one it replaces begin so. */
#define FILES_TEMP_PREFIX ".tb-write-"

/* Why a path (canonical, from the workspace) is not written: the end of a sentence "...
 * is protected: ". NULL: it may be. Spellings that some file system takes for the same
 * name count as that name. */
const char *files_protected(struct slice real);
bool files_is_temp(struct slice name);

#endif
