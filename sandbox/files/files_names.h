/* SPDX-License-Identifier: Apache-2.0
 * The names of a directory, in order. */
#ifndef TB_FILES_NAMES_H
#define TB_FILES_NAMES_H

#include <stddef.h>

/* Zeroed to begin with. */
struct files_names {
	char **list;
	size_t n, room;
};

/* Copies it. */
void files_names_add(struct files_names *s, const char *name);
/* By bytes. */
void files_names_sort(struct files_names *s);
void files_names_fini(struct files_names *s);

#endif
