/* SPDX-License-Identifier: Apache-2.0
 * The kernel's own limit of a directory, where its file system has project quotas (XFS
 * and ext4 mounted with prjquota): exact, at no cost, and seen by every write. */
#ifndef TB_PROJECT_QUOTA_H
#define TB_PROJECT_QUOTA_H

#include <stdint.h>

enum project_quota {
	PROJECT_QUOTA_NONE, /* this file system has none, or we may not set it (that takes
			     * CAP_SYS_ADMIN, taken up for as long) */
	PROJECT_QUOTA_SET
};

/* Makes an empty directory, or one that was made so before, a project of its own with
 * these limits. One that holds files of no project is left alone: NONE. Blocks for a few
 * system calls. */
enum project_quota project_quota_set(int directory, uint64_t bytes, uint64_t files);

#endif
