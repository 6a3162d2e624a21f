/* SPDX-License-Identifier: Apache-2.0
 * The front matter of a SKILL.md: what stands between two lines --- at its beginning. Of
 * YAML as much as people write there: plain, quoted and block scalars of `name` and
 * `description`; other keys are passed over, with whatever they hold.
 *
 * Pure, for foreign bytes: it looks at no more than FILES_FRONT_MOST of them, and what it
 * gives is one line of clean text. */
#ifndef TB_FILES_FRONT_H
#define TB_FILES_FRONT_H

#include <stdbool.h>

#include "common/slice.h"
#include "common/strbuf.h"

#define FILES_FRONT_MOST (16u << 10)
#define FILES_SKILL_NAME 64          /* characters, all of one byte */
#define FILES_SKILL_DESCRIPTION 1024 /* characters */

struct files_front {
	struct strbuf name, description;
	char why[160]; /* what is wrong, when it is refused */
};

/* out: zeroed; files_front_fini afterwards, whatever came of it. False: refused. */
bool files_front_read(struct slice text, struct files_front *out);
void files_front_fini(struct files_front *f);
/* A skill's name: 1 to 64 of a-z, 0-9 and single '-' between them. */
bool files_front_is_name(struct slice s);

#endif
