/* SPDX-License-Identifier: Apache-2.0
 * Rulesets by the kernel's version of them. */
#include "sandbox/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ruleset {
	uint64_t files, network, scoped;
};

int landlock_version(void)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
			       1 /* LANDLOCK_CREATE_RULESET_VERSION */);
	return abi > 0 ? abi : 0;
}

static struct ruleset handled(int abi, const struct landlock_wish *w)
{
	struct ruleset r = {.files = (1ull << 13) - 1}; /* all of version 1 */
	if (abi >= 2)
		r.files |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		r.files |= LANDLOCK_FS_TRUNCATE;
	if (abi >= 5)
		r.files |= LANDLOCK_FS_IOCTL_DEV;
	if (abi >= 4)
		r.network = w->network;
	if (abi >= 6)
		r.scoped = w->scoped;
	return r;
}

/* An older kernel takes a shorter structure. */
static size_t size_of(int abi)
{
	return abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
}

int landlock_confine(int abi, const struct landlock_wish *w, const char **what)
{
	struct ruleset r = handled(abi, w);
	if (!abi)
		return 0;
	*what = "a ruleset";
	int set = (int)syscall(SYS_landlock_create_ruleset, &r, size_of(abi), 0);
	if (set < 0)
		return -1;
	for (size_t i = 0; i < w->count; i++) {
		struct landlock_path_beneath_attr at = {
			.allowed_access = w->rules[i].may & r.files,
			.parent_fd = open(w->rules[i].path, O_PATH | O_CLOEXEC)};
		*what = w->rules[i].path;
		if (at.parent_fd < 0 || syscall(SYS_landlock_add_rule, set,
						LANDLOCK_RULE_PATH_BENEATH, &at, 0))
			return -1;
		close(at.parent_fd);
	}
	*what = "restrict";
	if (syscall(SYS_landlock_restrict_self, set, 0))
		return -1;
	close(set);
	return 0;
}
