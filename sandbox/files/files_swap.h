/* SPDX-License-Identifier: Apache-2.0
 * The atomic replacement of a file: text goes to a temporary file in the same directory,
 * to disk, and then takes the name. A crash leaves the old file or the new one.
 *
 * The temporary name follows from the file's name and is locked while it is in use: two
 * calls that write one file come one after the other, and what a crash left is taken
 * away by the next write of that file.
 *
 * Owns: its descriptors and the temporary file. Never: writes into the old file, so
 * other names of it (hard links) keep what they hold. */
#ifndef TB_FILES_SWAP_H
#define TB_FILES_SWAP_H

#include <stdint.h>

#include "sandbox/files/files_path.h"

struct files_swap {
	const struct files_path *path; /* borrowed */
	int dir, fd;
	char name[FILES_NAME_MOST + 1];
	char temp[32];
	struct stat old; /* the file that is replaced, as it was at begin */
	bool created;    /* there was none */
};
#define FILES_SWAP_INIT ((struct files_swap){.dir = -1, .fd = -1})

/* p has been found, and is a regular file or missing. Makes missing directories. */
MUST_CHECK bool files_swap_begin(struct files_swap *s, const struct files_path *p,
				 struct files_why *why);
/* A file without a name, of the same file system, becomes the temporary one in its place:
 * in one step, for that one's name is the lock. fd is the swap's then; not when it fails.
 */
MUST_CHECK bool files_swap_adopt(struct files_swap *s, int fd, struct files_why *why);
/* The old file for reading: the very one that commit compares with; -1 refused. */
MUST_CHECK int files_swap_old(struct files_swap *s, struct files_why *why);
MUST_CHECK bool files_swap_put(struct files_swap *s, struct slice text,
			       struct files_why *why);
/* Refuses when the file changed since begin, or its directory moved. */
MUST_CHECK bool files_swap_commit(struct files_swap *s, struct files_why *why);
/* Drops what was not committed; at the end in any case. */
void files_swap_end(struct files_swap *s);

#endif
