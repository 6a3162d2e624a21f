/* SPDX-License-Identifier: Apache-2.0
 * Roots by the beginning of a path. */
#include "sandbox/files/files_roots.h"

#include <fcntl.h>

#include "sandbox/files/files_call.h"

/* Where they are in the jail, and how paths in them begin. */
static const struct {
	struct slice path, prefix;
} roots[] = {
	{{FILES_SKILLS_TENANT, sizeof FILES_SKILLS_TENANT - 1},
	 {FILES_SKILLS_TENANT "/", sizeof FILES_SKILLS_TENANT}},
	{{FILES_SKILLS_NODE, sizeof FILES_SKILLS_NODE - 1},
	 {FILES_SKILLS_NODE "/", sizeof FILES_SKILLS_NODE}},
};

static bool enter(struct files_call *c, struct slice root, struct slice prefix)
{
	int fd = open(root.p, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return files_refuse(&c->why, "there is no %.*s: nobody put skills there",
				    SLICE_ARG(root));
	c->root = c->own_root = fd;
	c->prefix = prefix;
	return true;
}

bool files_roots_enter(struct files_call *c, struct slice *path)
{
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		struct slice root = roots[i].path;
		if (!path->n || !slice_has_prefix(*path, root) ||
		    (path->n > root.n && path->p[root.n] != '/'))
			continue;
		*path = slice_of(path->p + root.n, path->n - root.n);
		while (path->n && path->p[0] == '/')
			*path = slice_of(path->p + 1, path->n - 1);
		return enter(c, root, roots[i].prefix);
	}
	return true;
}
