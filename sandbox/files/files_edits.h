/* SPDX-License-Identifier: Apache-2.0
 * Exact replacements in a text: pure, all or nothing.
 *
 * Every old text is looked for in the text as it was given, not in what other edits made
 * of it; edits must not overlap. "\r\n" in the text and "\n" in an edit are the same:
 * what is put in gets the line ends that the text has most of, and all the rest stays as
 * it is, byte by byte, a mark at its start (BOM) included. */
#ifndef TB_FILES_EDITS_H
#define TB_FILES_EDITS_H

#include <stdint.h>

#include "common/strbuf.h"
#include "sandbox/files/files_why.h"

#define FILES_EDITS_MOST 100
#define FILES_EDITED_MOST (10u << 20) /* bytes of a text */

struct files_edit {
	struct slice old_text, new_text;
	bool all; /* every occurrence; else there must be one only */
	/* set by files_edits_apply: */
	size_t replaced;
	int64_t line; /* of the first one, in the text as it was */
};

/* name: of the text, in messages. many: they are called edits[i] there. False: refused,
 * out untouched. */
MUST_CHECK bool files_edits_apply(struct slice name, struct slice text,
				  struct files_edit *edits, size_t n, bool many,
				  struct strbuf *out, struct files_why *why);

#endif
