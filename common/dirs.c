/* SPDX-License-Identifier: Apache-2.0
 * Around fdopendir, which leaves its descriptor to the caller when it fails. */
#include "common/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

DIR *dir_of(int fd)
{
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int e = errno;
	if (!d && fd >= 0)
		close(fd);
	errno = e;
	return d;
}

DIR *dir_open(int at, const char *name)
{
	return dir_of(openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool dir_is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

bool dir_is_empty(int dir)
{
	DIR *d = dir_open(dir, ".");
	const struct dirent *e;
	if (!d)
		return false;
	do
		e = readdir(d);
	while (e && dir_is_dots(e->d_name));
	closedir(d);
	return !e;
}
