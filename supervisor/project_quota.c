/* SPDX-License-Identifier: Apache-2.0
 * Project quotas. The number of a project is kept by the file system itself; a new one is
 * the first free one from a hash of the directory's inode on. */
#include "supervisor/project_quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/disk_quota.h"
#include "common/log.h"

#define TRIES 64
#define FIRST 0x40000000u /* far from the numbers that people give */

static bool is_empty(int dir)
{
	int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = own < 0 ? NULL : fdopendir(own);
	unsigned n = 0;
	if (!d)
		return false;
	while (n < 3 && readdir(d))
		n++;
	closedir(d);
	return n == 2; /* itself and the one above */
}

static uint32_t free_number(int dir)
{
	struct stat st;
	if (fstat(dir, &st))
		return 0;
	for (unsigned i = 0; i < TRIES; i++) {
		uint32_t n = FIRST + ((uint32_t)st.st_ino * 2654435761u + i) % FIRST;
		if (disk_quota_is_free(dir, n))
			return n;
	}
	return 0;
}

/* 0: it has none, and can get none. */
static uint32_t number_of(int dir)
{
	struct fsxattr x;
	if (ioctl(dir, FS_IOC_FSGETXATTR, &x))
		return 0;
	if (x.fsx_projid && (x.fsx_xflags & FS_XFLAG_PROJINHERIT))
		return x.fsx_projid;
	if (!is_empty(dir))
		return 0;
	x.fsx_projid = free_number(dir);
	x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	if (!x.fsx_projid || ioctl(dir, FS_IOC_FSSETXATTR, &x))
		return 0;
	return x.fsx_projid;
}

enum project_quota project_quota_set(int directory, uint64_t bytes, uint64_t files)
{
	if (disk_quota_kind(directory) == DISK_QUOTA_NONE)
		return PROJECT_QUOTA_NONE;
	uint32_t n = number_of(directory);
	if (n && disk_quota_set(directory, n, bytes, files) == 0)
		return PROJECT_QUOTA_SET;
	log_warn("project-quota-refused",
		 "message=\"%s\" instead=\"the workspace is counted by walks\"",
		 n ? strerror(errno) : "the directory holds files of no project");
	return PROJECT_QUOTA_NONE;
}
