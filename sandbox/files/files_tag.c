/* SPDX-License-Identifier: Apache-2.0
 * Three numbers, and their comparison. */
#include "sandbox/files/files_tag.h"

#include <stdio.h>

void files_tag(const struct stat *st, char text[FILES_TAG_BYTES])
{
	snprintf(text, FILES_TAG_BYTES, "%llx-%llx-%llx", (unsigned long long)st->st_ino,
		 (unsigned long long)st->st_size,
		 (unsigned long long)st->st_ctim.tv_sec * 1000000000u +
			 (unsigned long long)st->st_ctim.tv_nsec);
}

bool files_tag_fits(struct files_transfer *t, const struct stat *st)
{
	struct slice wanted = json_str(json_get(t->args, "ifMatch"));
	char now[FILES_TAG_BYTES] = "0";
	if (st && S_ISREG(st->st_mode))
		files_tag(st, now);
	if (!wanted.p || (slice_is(wanted, "*") ? st != NULL : slice_is(wanted, now)))
		return true;
	t->is_stale = true;
	if (!st)
		return files_refuse(&t->why, "there is no %.*s any more",
				    SLICE_ARG(files_path_shown(t->path)));
	if (slice_is(wanted, "0"))
		return files_refuse(&t->why, "%.*s is there already",
				    SLICE_ARG(files_path_shown(t->path)));
	return files_refuse(
		&t->why,
		"%.*s was changed: somebody wrote another version, read it again",
		SLICE_ARG(files_path_shown(t->path)));
}
