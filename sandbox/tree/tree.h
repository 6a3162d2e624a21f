/* SPDX-License-Identifier: Apache-2.0
 * Trees that somebody else filled: counted, and removed.
 *
 * Each name is opened in the directory above it and through no link; a tree that changes
 * meanwhile is counted or removed as it is found. Owns: descriptors, at most one a level.
 * Never: leaves the tree, opens anything but directories. Blocks: call it where nobody
 * waits. */
#ifndef TB_TREE_H
#define TB_TREE_H

#include <stdbool.h>
#include <stdint.h>

#define TREE_DEPTH_MOST 128

struct tree_sum {
	uint64_t bytes; /* of the disk; a file with several names counts by its share */
	uint64_t files; /* names of any kind */
	bool stopped;   /* at the limit of names, so both are too small */
	bool too_deep; /* more than TREE_DEPTH_MOST levels: those below are not counted */
	bool closed;   /* a directory could not be read, even by its owner */
};

/* Counts what a directory holds; stops above files_most names. A directory that its owner
 * may not read is made readable: it would hide what it holds. */
void tree_count(int dir, uint64_t files_most, struct tree_sum *out);
/* Removes all that a directory holds, of any depth: a directory in it is moved up before
 * what it holds is. 0, or errno of what could not be removed; what was begun is gone on
 * with by the next call. removed (NULL allowed): names that went. */
int tree_empty(int dir, uint64_t *removed);

#endif
