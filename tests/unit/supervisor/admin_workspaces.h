/* SPDX-License-Identifier: Apache-2.0
 * Doubles of what holds workspaces, for the tests of the admin socket: the real ones are
 * the scenario tests' affair. */
#ifndef TB_TEST_ADMIN_WORKSPACES_H
#define TB_TEST_ADMIN_WORKSPACES_H

#include "supervisor/sweep.h"
#include "supervisor/workspaces.h"

bool workspaces_is_used(const struct workspace_place *p)
{
	(void)p;
	return false;
}

int workspaces_open_all(const struct sup *s)
{
	(void)s;
	return -1;
}

enum err workspaces_remove(struct sup *s, const struct workspace_place *p)
{
	(void)s;
	(void)p;
	return ERR_NOT_FOUND;
}

pid_t sweep_start(struct sup *s, enum sweep_task task, const char *wanted, int directory,
		  int out)
{
	(void)s;
	(void)task;
	(void)wanted;
	(void)directory;
	(void)out;
	return -1;
}

#endif
