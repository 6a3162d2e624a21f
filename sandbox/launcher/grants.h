/* SPDX-License-Identifier: Apache-2.0
 * What the supervisor lets this launcher's worker use: workspaces by handle, with the
 * most of everything that a jail in one may have. */
#ifndef TB_LAUNCHER_GRANTS_H
#define TB_LAUNCHER_GRANTS_H

#include "common/list.h"
#include "proto/wire.h"

struct grant {
	struct list node;
	uint64_t handle, dev, ino;
	uint32_t uid;
	uint64_t memory_bytes, file_bytes;
	uint32_t processes, timeout_ms;
	uint64_t quota_bytes, quota_files; /* 0: the file system counts */
	char workspace[LIMIT_PATH + 1];
	/* Of skills, that its jails may read; "": none. */
	char *skills_tenant, *skills_node;
	uint64_t skills_tenant_dev, skills_tenant_ino, skills_node_dev, skills_node_ino;
};

/* Adds it, or replaces what the handle meant. */
void grants_put(struct list *grants, const struct wire_grant *m);
/* NULL: there is none. */
const struct grant *grants_find(const struct list *grants, uint64_t handle);
void grants_take(struct list *grants, uint64_t handle);

#endif
