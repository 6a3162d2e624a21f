/* SPDX-License-Identifier: Apache-2.0
 * Directories, to be read: by descriptors and through no link. */
#ifndef TB_DIRS_H
#define TB_DIRS_H

#include <dirent.h>
#include <stdbool.h>

/* The directory of that name, which is no link. NULL and errno. */
DIR *dir_open(int at, const char *name);
/* The one behind a descriptor, which is taken over, whatever comes of it. -1: NULL, and
 * errno stays. */
DIR *dir_of(int fd);
/* "." and "..". */
bool dir_is_dots(const char *name);
/* False: it holds something, or cannot be read. The descriptor may be O_PATH. */
bool dir_is_empty(int dir);

#endif
