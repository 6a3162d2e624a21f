/* SPDX-License-Identifier: Apache-2.0
 * A file's version, for who wants to replace the one that was read: its inode, size and
 * the inode's time of change, which no program can set. Each write of ours makes another
 * inode. A program that writes into a file in place, the same size within one tick of the
 * clock (4 ms at most), goes unseen.
 */
#ifndef TB_FILES_TAG_H
#define TB_FILES_TAG_H

#include <sys/stat.h>

#include "sandbox/files/files_transfer_io.h"

#define FILES_TAG_BYTES 56

void files_tag(const struct stat *st, char text[FILES_TAG_BYTES]);
/* Whether what stands there (NULL: nothing) is what the request's "ifMatch" means: a tag,
 * "0" for nothing, "*" for anything; not said: either. False: why says so, and the
 * refusal is a stale one. */
MUST_CHECK bool files_tag_fits(struct files_transfer *t, const struct stat *st);

#endif
