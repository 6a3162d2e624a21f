/* SPDX-License-Identifier: Apache-2.0
 * Landlock: a second wall behind mounts and filters, where the kernel has it. Only raw
 * system calls: also for processes that were forked and may not allocate. */
#ifndef TB_LANDLOCK_H
#define TB_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What may be done below a path: LANDLOCK_ACCESS_FS_*; of a right that this kernel does
 * not know nothing is said. */
struct landlock_rule {
	const char *path;
	uint64_t may;
};

struct landlock_wish {
	const struct landlock_rule *rules; /* what is below none is forbidden */
	size_t count;
	uint64_t network, scoped; /* LANDLOCK_NET_*, LANDLOCK_SCOPE_*: forbidden */
};

/* Of kernels newer than the headers this is built with. */
#define LANDLOCK_FS_TRUNCATE (1ull << 14)
#define LANDLOCK_FS_IOCTL_DEV (1ull << 15)
#define LANDLOCK_NET_BIND_TCP (1ull << 0)
#define LANDLOCK_NET_CONNECT_TCP (1ull << 1)
#define LANDLOCK_SCOPE_ABSTRACT_UNIX (1ull << 0)
#define LANDLOCK_SCOPE_SIGNALS (1ull << 1)

/* The kernel's version of it; 0: it has none. */
int landlock_version(void);
/* Confines the calling thread, which has set no-new-privileges, and what it starts. abi:
 * landlock_version(); 0 does nothing. -1 and errno: *what gets the step or path. */
int landlock_confine(int abi, const struct landlock_wish *w, const char **what);

#endif
