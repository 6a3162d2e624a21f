/* SPDX-License-Identifier: Apache-2.0
 * One call of a file tool: its arguments, the workspace it works in, and its answer. A
 * tool is a function that fills `out` with one JSON object, or refuses. */
#ifndef TB_FILES_CALL_H
#define TB_FILES_CALL_H

#include <stdint.h>

#include "common/json.h"
#include "common/strbuf.h"
#include "sandbox/files/files_path.h"

struct files_call {
	int root;            /* the workspace, or see files_roots.h; borrowed */
	int own_root;        /* that of the latter, closed with the call; -1: none */
	struct slice prefix; /* of the paths in it, as they are shown; "": none */
	json_t args;
	struct strbuf out;
	struct files_why why; /* when it refused */
};

/* The tools. False: refused, and `out` means nothing. */
MUST_CHECK bool files_read(struct files_call *c);
MUST_CHECK bool files_write(struct files_call *c);
MUST_CHECK bool files_edit(struct files_call *c);
MUST_CHECK bool files_list_directory(struct files_call *c);

/* Arguments; what has the wrong type or lies outside of its bounds is refused with the
 * argument's name. A member that is absent or null leaves *out as it is. */
MUST_CHECK bool files_arg_str(struct files_call *c, json_t from, const char *name,
			      struct slice *out);
MUST_CHECK bool files_arg_i64(struct files_call *c, const char *name, int64_t least,
			      int64_t most, int64_t *out);
MUST_CHECK bool files_arg_bool(struct files_call *c, json_t from, const char *name,
			       bool *out);
/* Refuses an argument that none of the names (ended by NULL) is. */
MUST_CHECK bool files_arg_known(struct files_call *c, json_t from,
				const char *const *names);

#endif
