/* SPDX-License-Identifier: Apache-2.0
 * A second wall behind the mounts: what of the jail's own files may be written, no TCP,
 * and no signals or abstract sockets across its edge. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/attr.h"
#include "sandbox/jail/guard.h"

/* Of kernels newer than the headers this is built with. */
#define FS_TRUNCATE (1ull << 14)
#define FS_IOCTL_DEV (1ull << 15)
#define NET_BIND_TCP (1ull << 0)
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT_UNIX (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1)

struct ruleset {
	uint64_t files, network, scoped;
};

#define READS                                                                            \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |                    \
	 LANDLOCK_ACCESS_FS_EXECUTE)
#define WRITES                                                                           \
	(READS | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |         \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                  \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                    \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |                    \
	 LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE)
#define DEVICES                                                                          \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |                  \
	 LANDLOCK_ACCESS_FS_READ_DIR | FS_IOCTL_DEV | FS_TRUNCATE)

static const struct {
	const char *path;
	uint64_t may;
} rules[] = {
	{"/", READS},           {"/dev", DEVICES}, {"/dev/shm", WRITES},
	{"/workspace", WRITES}, {"/tmp", WRITES},  {"/proc", DEVICES},
};

static struct ruleset handled(int abi)
{
	struct ruleset r = {.files = (1ull << 13) - 1}; /* all of version 1 */
	if (abi >= 2)
		r.files |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		r.files |= FS_TRUNCATE;
	if (abi >= 5)
		r.files |= FS_IOCTL_DEV;
	if (abi >= 4)
		r.network = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= 6)
		r.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	return r;
}

/* An older kernel takes a shorter structure. */
static size_t size_of(int abi)
{
	return abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
}

void birth_landlock(const struct birth *b)
{
	int abi = b->host->landlock;
	struct ruleset r = handled(abi);
	if (!abi)
		return;
	int set = (int)syscall(SYS_landlock_create_ruleset, &r, size_of(abi), 0);
	if (set < 0)
		birth_fail(b, "landlock", "a ruleset");
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		struct landlock_path_beneath_attr at = {
			.allowed_access = rules[i].may & r.files,
			.parent_fd = open(rules[i].path, O_PATH | O_CLOEXEC)};
		if (at.parent_fd < 0 || syscall(SYS_landlock_add_rule, set,
						LANDLOCK_RULE_PATH_BENEATH, &at, 0))
			birth_fail(b, "landlock", rules[i].path);
		close(at.parent_fd);
	}
	if (syscall(SYS_landlock_restrict_self, set, 0))
		birth_fail(b, "landlock", "restrict");
	close(set);
}
