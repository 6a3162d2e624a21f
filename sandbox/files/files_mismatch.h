/* SPDX-License-Identifier: Apache-2.0
 * Why a text is not found in a file: the line that is most like it, and where they part.
 */
#ifndef TB_FILES_MISMATCH_H
#define TB_FILES_MISMATCH_H

#include "sandbox/files/files_why.h"

/* text and wanted have plain line ends, and wanted is not in text. name: of the file;
 * word: what wanted is called. Time is linear in the text. */
void files_mismatch(struct slice name, const char *word, struct slice text,
		    struct slice wanted, struct files_why *why);

#endif
