/* SPDX-License-Identifier: Apache-2.0
 * Project quotas of a file system, by any directory on it. All of them block for one
 * system call or two. */
#ifndef TB_DISK_QUOTA_H
#define TB_DISK_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

enum disk_quota { DISK_QUOTA_NONE, DISK_QUOTA_PROJECT };

/* Whether project quotas are on, and enforced. */
enum disk_quota disk_quota_kind(int fd);
/* Whether a project holds nothing: limits alone are what one that was removed has left.
 */
bool disk_quota_is_free(int fd, uint32_t project);
/* Hard limits of a project. 0, or -1 and errno (EPERM: CAP_SYS_ADMIN is missing). */
int disk_quota_set(int fd, uint32_t project, uint64_t bytes, uint64_t files);

#endif
