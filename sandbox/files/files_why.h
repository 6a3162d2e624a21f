/* SPDX-License-Identifier: Apache-2.0
 * Why a file tool does not do what it was asked: one sentence that the model can act on.
 */
#ifndef TB_FILES_WHY_H
#define TB_FILES_WHY_H

#include <stdbool.h>

#include "common/attr.h"
#include "common/slice.h"

struct files_why {
	int workspace; /* to ask how full it is; borrowed, 0: none */
	char text[1600];
	bool full; /* because there is no room left */
};

/* Sets the sentence; always false, to be returned. */
PRINTF_LIKE(2, 3) bool files_refuse(struct files_why *why, const char *fmt, ...);
/* The kernel said no to `what` ("write", "open") of a path: errno in words. */
bool files_refuse_errno(struct files_why *why, const char *what, struct slice path);
/* For messages: at most `most` bytes, cut where a character begins. */
struct slice files_shown(struct slice s, size_t most);
/* How a path stands in messages. */
struct slice files_path_shown(struct slice real);

#endif
