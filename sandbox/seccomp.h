/* SPDX-License-Identifier: Apache-2.0
 * The system call filter of a role (the home of libseccomp). */
#ifndef TB_SECCOMP_H
#define TB_SECCOMP_H

#include "sandbox/sandbox.h"

/* What happens at a call the role's table does not name. */
enum seccomp_else { SECCOMP_ELSE_EPERM, SECCOMP_ELSE_KILL };

/* Loads the filter on every thread of the process and sets no-new-privileges. Dies when
 * the kernel refuses. */
void seccomp_confine(enum sandbox_role role, enum seccomp_else otherwise);
/* How many threads the process has; dies when one of them is not filtered. */
int seccomp_verify(void);

#endif
