/* SPDX-License-Identifier: Apache-2.0
 * What of a jail can be read beside its workspace: directories of skills, mounted
 * read-only where they are granted. */
#ifndef TB_FILES_ROOTS_H
#define TB_FILES_ROOTS_H

#include "common/attr.h"
#include "common/slice.h"

struct files_call;

#define FILES_SKILLS_DIR "skills" /* of a workspace */
#define FILES_SKILLS_TENANT "/skills/tenant"
#define FILES_SKILLS_NODE "/skills/node"

/* A path that names one of them, or what is in it: the call works there from now on, and
 * the path becomes one from there. Any other path stays. False: refused, there is no such
 * directory in this jail. */
MUST_CHECK bool files_roots_enter(struct files_call *c, struct slice *path);

#endif
