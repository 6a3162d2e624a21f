/* SPDX-License-Identifier: Apache-2.0
 * Inside of a jail's birth, in the new process: steps that either succeed or end it with
 * a report. */
#ifndef TB_JAIL_GUARD_H
#define TB_JAIL_GUARD_H

#include "common/attr.h"
#include "sandbox/jail/jail.h"

struct birth {
	const struct jail_host *host;
	const struct jail_spec *spec;   /* of a spare one NULL until its orders come */
	const struct jail_group *group; /* NULL: none */
	int status;                     /* write end of the report pipe */
	int word; /* a byte when the launcher has done its part; of a spare one its orders
		   */
	int old_root; /* O_PATH, while it is still there */
};

/* Reports "step: the kernel's word" and ends the process. */
NORETURN void birth_fail(const struct birth *b, const char *step, const char *object);
void birth_report(const struct birth *b, const struct jail_report *r);

/* The control groups of v1. */
void birth_join(const struct birth *b);
/* The root of the jail, but for what its spec says; the old one is still to be reached
 * through b->old_root. Needs CAP_SYS_ADMIN in its mount namespace, as does the next. */
void birth_root(struct birth *b);
/* Its workspace and its temporary places, and the old root gone. */
void birth_places(const struct birth *b);
/* What a program must not change of the workspace; after birth_places. */
void birth_protect(const struct birth *b);
/* Maps the one user into the new user namespace. */
void birth_map_user(const struct birth *b);
/* What an exec gives back is nothing, for ever. */
void birth_lock_privileges(const struct birth *b);
/* The tenant's uid, no capability, no new privileges. */
void birth_drop_privileges(const struct birth *b);
/* Of the tool's process. */
void birth_limits(const struct birth *b);
void birth_landlock(const struct birth *b);

#endif
