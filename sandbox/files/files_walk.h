/* SPDX-License-Identifier: Apache-2.0
 * Walks a directory, level by level, names of a directory in byte order. Links are told
 * of, never followed.
 *
 * Owns: one descriptor at a time. Fails: a directory that cannot be opened is counted. */
#ifndef TB_FILES_WALK_H
#define TB_FILES_WALK_H

#include <stdint.h>

#include "sandbox/files/files_path.h"

struct files_entry {
	struct slice path; /* from the workspace; borrowed for the call */
	struct slice from; /* from the directory where the walk began */
	struct slice name;
	mode_t type;
	uint64_t bytes; /* of a regular file */
	int dir;        /* the directory it is in */
	bool deeper;    /* a directory that the walk does not enter: too deep */
};

struct files_walk {
	int root;
	unsigned depth; /* 1: the directory's own entries */
	bool hidden;    /* names that begin with '.' too */
	bool all;       /* what is ignored too */
	/* False ends the walk. */
	bool (*on_entry)(void *arg, const struct files_entry *e);
	void *arg;
	/* counted: */
	uint64_t seen, hidden_left, ignored_left, unreadable;
	bool stopped; /* at the limit of entries, or by on_entry */
};

#define FILES_WALK_MOST 100000 /* entries */

/* Begins at a directory, by its canonical path. False: it cannot be opened. */
bool files_walk(struct files_walk *w, struct slice real);

#endif
