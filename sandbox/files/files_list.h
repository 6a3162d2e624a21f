/* SPDX-License-Identifier: Apache-2.0
 * What list_directory was asked for, shared with the search it can do. */
#ifndef TB_FILES_LIST_H
#define TB_FILES_LIST_H

#include "sandbox/files/files_call.h"
#include "sandbox/files/files_glob.h"

struct files_list {
	struct files_path path;
	int64_t depth;
	bool hidden, all, ignore_case;
	struct files_globs globs; /* n == 0: none */
	struct slice contains;    /* SLICE_NONE: it is a listing */
	struct slice prefix;      /* of the paths that are shown */
};

struct files_walk;
/* The member that says which directory it is. */
void files_list_put_path(struct json_out *o, const struct files_list *l);
/* The members that tell what was left out. */
void files_list_put_left(struct json_out *o, const struct files_walk *w);
/* Lines of the files that hold `contains`. */
MUST_CHECK bool files_search(struct files_call *c, const struct files_list *l);

#endif
