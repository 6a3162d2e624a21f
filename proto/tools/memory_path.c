/* SPDX-License-Identifier: Apache-2.0
 * Byte by byte, then part by part. */
#include "proto/tools/memory_path.h"

const char *memory_path_problem(struct slice path)
{
	struct slice rest = path;
	if (!path.n || path.n > MEMORY_PATH_MOST || !slice_is_utf8(path))
		return "must be a text of 1 to 200 bytes";
	for (size_t i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] < 0x20 || path.p[i] == '\\')
			return "holds a control character or a backslash";
	if (path.p[0] == '/')
		return "must be relative, for example notes/ideas.md";
	while (rest.p) {
		struct slice part = slice_cut(&rest, '/');
		if (!part.n || slice_is(part, ".") || slice_is(part, ".."))
			return "must not hold empty parts, '.' or '..'";
	}
	return NULL;
}
