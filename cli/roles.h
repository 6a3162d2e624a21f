/* SPDX-License-Identifier: Apache-2.0
 * The passwords of the roles the processes log in as, one file of secrets/ each. */
#ifndef TB_CLI_ROLES_H
#define TB_CLI_ROLES_H

#include "cli/owner.h"

/* The connection string of a role: the owner's with user, password and what the owner's
 * environment added. malloc'ed; NULL: reported. */
char *roles_conninfo(const struct owner *o, const char *database, const char *role,
		     const char *password);
/* Gives each role a new password unless its file opens the database. -1: reported. */
int roles_secure(struct owner *o);

#endif
