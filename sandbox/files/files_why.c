/* SPDX-License-Identifier: Apache-2.0
 * Sentences of refusal. */
#include "sandbox/files/files_why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define PATH_SHOWN 200

bool files_refuse(struct files_why *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof why->text, fmt, ap);
	va_end(ap);
	why->full = false;
	return false;
}

struct slice files_shown(struct slice s, size_t most)
{
	size_t n = s.n < most ? s.n : most;
	while (n < s.n && n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
		n--;
	return slice_of(s.p, n);
}

struct slice files_path_shown(struct slice real)
{
	return real.n ? files_shown(real, PATH_SHOWN) : SLICE("the workspace");
}

/* Says how much of how much is used, by the kernel: of the workspace's project where that
 * has a quota, else of the file system. */
static void add_use(struct files_why *why)
{
	size_t n = strlen(why->text), most = sizeof why->text - n;
	struct statvfs s;
	if (why->workspace <= 0 || fstatvfs(why->workspace, &s))
		return;
	uint64_t bytes = (uint64_t)s.f_blocks * s.f_frsize;
	snprintf(why->text + n, most,
		 ", %llu of %llu bytes and %llu of %llu files are used",
		 (unsigned long long)(bytes - (uint64_t)s.f_bfree * s.f_frsize),
		 (unsigned long long)bytes, (unsigned long long)(s.f_files - s.f_ffree),
		 (unsigned long long)s.f_files);
}

static bool refuse_full(struct files_why *why, const char *what, struct slice path)
{
	int error = errno;
	files_refuse(why, "%s of %.*s failed: the workspace is full", what,
		     SLICE_ARG(path));
	add_use(why);
	size_t n = strlen(why->text);
	snprintf(why->text + n, sizeof why->text - n, "; remove what is not needed");
	why->full = true;
	errno = error;
	return false;
}

bool files_refuse_errno(struct files_why *why, const char *what, struct slice path)
{
	struct slice p = files_path_shown(path);
	switch (errno) {
	case ENOSPC:
	case EDQUOT:
		return refuse_full(why, what, p);
	case EFBIG:
		return files_refuse(why,
				    "%s of %.*s failed: the file would be larger than a "
				    "file of this workspace may be",
				    what, SLICE_ARG(p));
	case EACCES:
	case EPERM:
		return files_refuse(why,
				    "%s of %.*s is not permitted by the modes of the "
				    "file or its directory",
				    what, SLICE_ARG(p));
	case EROFS:
		return files_refuse(why, "%s of %.*s failed: the workspace is read-only",
				    what, SLICE_ARG(p));
	default:
		return files_refuse(why, "%s of %.*s failed: %s", what, SLICE_ARG(p),
				    strerror(errno));
	}
}
