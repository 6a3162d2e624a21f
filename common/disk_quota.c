/* SPDX-License-Identifier: Apache-2.0
 * quotactl_fd, which needs no name of a device. XFS speaks a dialect of its own for
 * whether quotas are on; the rest is common. */
#include "common/disk_quota.h"

#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROJECT 2  /* PRJQUOTA */
#define BLOCK 1024 /* what limits of bytes are counted in */

static int control(int fd, int command, uint32_t id, void *arg)
{
	unsigned both = (unsigned)command << SUBCMDSHIFT | PROJECT;
	return (int)syscall(SYS_quotactl_fd, fd, both, id, arg);
}

enum disk_quota disk_quota_kind(int fd)
{
	uint32_t format;
	struct fs_quota_stat xfs = {.qs_version = FS_QSTAT_VERSION};
	if (control(fd, Q_GETFMT, 0, &format) == 0)
		return DISK_QUOTA_PROJECT;
	if (control(fd, Q_XGETQSTAT, 0, &xfs) == 0 && (xfs.qs_flags & FS_QUOTA_PDQ_ENFD))
		return DISK_QUOTA_PROJECT;
	return DISK_QUOTA_NONE;
}

bool disk_quota_is_free(int fd, uint32_t project)
{
	struct dqblk q = {0};
	if (control(fd, Q_GETQUOTA, project, &q))
		return errno == ENOENT || errno == ESRCH;
	return !q.dqb_curspace && !q.dqb_curinodes;
}

int disk_quota_set(int fd, uint32_t project, uint64_t bytes, uint64_t files)
{
	struct dqblk q = {.dqb_bhardlimit = (bytes + BLOCK - 1) / BLOCK,
			  .dqb_ihardlimit = files,
			  .dqb_valid = QIF_LIMITS};
	return control(fd, Q_SETQUOTA, project, &q);
}
