/* SPDX-License-Identifier: Apache-2.0
 * Inside of a jail's birth, in the new process: steps that either succeed or end it with
 * a report. */
#ifndef TB_JAIL_GUARD_H
#define TB_JAIL_GUARD_H

#include "common/attr.h"
#include "sandbox/jail/jail.h"

struct birth {
	const struct jail_host *host;
	const struct jail_spec *spec;
	int status;   /* write end of the report pipe */
	int released; /* read end: a byte comes when the launcher has done its part */
};

/* Reports "step: the kernel's word" and ends the process. */
NORETURN void birth_fail(const struct birth *b, const char *step, const char *object);
void birth_report(const struct birth *b, const struct jail_report *r);

/* The control groups of v1. */
void birth_join(const struct birth *b);
/* The root of the jail, and the old one gone. Needs CAP_SYS_ADMIN in its mount namespace.
 */
void birth_mounts(const struct birth *b);
/* Maps the one user into the new user namespace. */
void birth_map_user(const struct birth *b);
/* The tenant's uid, no capability for ever, no new privileges. */
void birth_drop_privileges(const struct birth *b);
/* Of the tool's process. */
void birth_limits(const struct birth *b);
void birth_landlock(const struct birth *b);

#endif
