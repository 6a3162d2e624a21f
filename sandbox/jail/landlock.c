/* SPDX-License-Identifier: Apache-2.0
 * A second wall behind the mounts: what of the jail's own files may be written, no TCP,
 * and no signals or abstract sockets across its edge. */
#include <linux/landlock.h>

#include "common/attr.h"
#include "sandbox/jail/guard.h"
#include "sandbox/landlock.h"

#define READS                                                                            \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |                    \
	 LANDLOCK_ACCESS_FS_EXECUTE)
#define WRITES                                                                           \
	(READS | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |         \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                  \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                    \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |                    \
	 LANDLOCK_ACCESS_FS_REFER | LANDLOCK_FS_TRUNCATE)
#define DEVICES                                                                          \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |                  \
	 LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_FS_IOCTL_DEV | LANDLOCK_FS_TRUNCATE)

static const struct landlock_rule rules[] = {
	{"/", READS},           {"/dev", DEVICES}, {"/dev/shm", WRITES},
	{"/workspace", WRITES}, {"/tmp", WRITES},  {"/proc", DEVICES},
};

void birth_landlock(const struct birth *b)
{
	static const struct landlock_wish wish = {
		.rules = rules,
		.count = ARRAY_LEN(rules),
		.network = LANDLOCK_NET_BIND_TCP | LANDLOCK_NET_CONNECT_TCP,
		.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX | LANDLOCK_SCOPE_SIGNALS};
	const char *what;
	if (landlock_confine(b->host->landlock, &wish, &what))
		birth_fail(b, "landlock", what);
}
