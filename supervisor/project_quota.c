/* SPDX-License-Identifier: Apache-2.0
 * Project quotas. The number of a project is kept by the file system itself; a new one is
 * the first free one from a hash of the directory's inode on. */
#include "supervisor/project_quota.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/dirs.h"
#include "common/disk_quota.h"
#include "common/log.h"
#include "sandbox/privileges.h"

#define TRIES 64
#define FIRST 0x40000000u /* far from the numbers that people give */

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
	errno = EBUSY;
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
	errno = 0;
	if (!dir_is_empty(dir))
		return 0;
	x.fsx_projid = free_number(dir);
	x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	if (!x.fsx_projid || ioctl(dir, FS_IOC_FSSETXATTR, &x))
		return 0;
	return x.fsx_projid;
}

enum project_quota project_quota_set(int directory, uint64_t bytes, uint64_t files)
{
	if (disk_quota_kind(directory) == DISK_QUOTA_NONE || !privileges_raise())
		return PROJECT_QUOTA_NONE;
	errno = 0;
	uint32_t n = number_of(directory);
	bool is_set = n && disk_quota_set(directory, n, bytes, files) == 0;
	int e = errno;
	privileges_lower();
	if (is_set)
		return PROJECT_QUOTA_SET;
	log_warn("project-quota-refused",
		 "message=\"%s\" instead=\"the workspace is counted by walks\"",
		 e ? strerrordesc_np(e) : "the directory holds files of no project");
	return PROJECT_QUOTA_NONE;
}
