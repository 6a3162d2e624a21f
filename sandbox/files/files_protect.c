/* SPDX-License-Identifier: Apache-2.0
 * The names, and their folding: case, characters that HFS+ ignores, what Windows drops
 * from the end of a name. A workspace may be looked at through any of these.
 *
 * All of .git is protected, not its hooks and config alone: a .git file, or a config
 * below .git/modules or .git/worktrees, leads git to hooks anywhere. */
#include "sandbox/files/files_protect.h"

#include <stddef.h>

#include "common/attr.h"

static const struct {
	const char *name, *why;
} names[] = {
	{".git", "git's own files, whose hooks and settings run programs; only git "
		 "changes them"},
	{"git~1", "it is another name of .git"},
	{".terabits", "the runtime's policy lies there"},
};

#define FOLDED_MOST 16 /* longer than any of the names */

/* The code point at s.p, or U+FFFD; *len gets its bytes. */
static unsigned code_point(struct slice s, size_t *len)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	*len = 1;
	if (n > s.n || !slice_is_utf8(slice_of(s.p, n)))
		return 0xFFFD;
	*len = n;
	if (n == 1)
		return p[0];
	if (n == 2)
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	if (n == 3)
		return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	return 0x10000; /* none of those matters here */
}

static bool is_ignorable(unsigned c)
{
	return (c >= 0x200c && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x206a && c <= 0x206f) || c == 0xfeff || c == 0x00ad;
}

/* 0: it is no ASCII letter in disguise. */
static char fold_one(unsigned c)
{
	if (c == 0x017f) /* long s */
		return 's';
	if (c >= 'A' && c <= 'Z')
		return (char)(c + 'a' - 'A');
	return c < 0x80 ? (char)c : 0;
}

/* False: too long or too foreign to be one of the names. */
static bool fold(struct slice name, char out[FOLDED_MOST])
{
	size_t n = 0, len;
	for (size_t i = 0; i < name.n; i += len) {
		unsigned c = code_point(slice_of(name.p + i, name.n - i), &len);
		if (is_ignorable(c))
			continue;
		if (c == ':') /* a stream of an NTFS file */
			break;
		char plain = fold_one(c);
		if ((plain == '.' || plain == ' ') && n == FOLDED_MOST - 1)
			continue; /* perhaps the end, which is dropped */
		if (!plain || n == FOLDED_MOST - 1)
			return false;
		out[n++] = plain;
	}
	while (n && (out[n - 1] == '.' || out[n - 1] == ' '))
		n--;
	out[n] = 0;
	return true;
}

bool files_is_temp(struct slice name)
{
	return slice_has_prefix(name, SLICE(FILES_TEMP_PREFIX));
}

const char *files_protected(struct slice real)
{
	struct slice rest = real;
	char folded[FOLDED_MOST];
	while (rest.p) {
		struct slice name = slice_cut(&rest, '/');
		if (files_is_temp(name))
			return "names that begin with " FILES_TEMP_PREFIX
			       " are those of files being written";
		for (size_t i = 0; fold(name, folded) && i < ARRAY_LEN(names); i++)
			if (slice_is(slice_str(folded), names[i].name))
				return names[i].why;
	}
	return NULL;
}
