/* SPDX-License-Identifier: Apache-2.0
 * The directories in which tools work, below <state>/workspaces:
 *
 *	<tenant>/<agent>               an agent's
 *	<tenant>/<agent>.s/<session>   a session's, where its agent has one a session
 *	<tenant>/skills                the tenant's skills, which jails of its agents read
 *	.trash/<uuid>                  what is being deleted, see trash.h
 *
 * Names are made of ids, never of text that somebody chose. A worker or an edge gets
 *none: its launcher is granted one by a number, a worker's as long as a run of that agent
 *runs there, an edge's as long as files go in or out. */
#ifndef TB_WORKSPACES_H
#define TB_WORKSPACES_H

#include "proto/wire.h"
#include "supervisor/lq.h"

struct child;
struct sup;

struct workspace_place {
	int64_t tenant;
	/* session nil: the agent's own; agent nil, too: the tenant's skills */
	struct uuid agent, session;
};
#define WORKSPACES_SKILLS "skills"

/* Makes what is missing of it, and grants it to the worker's launcher for the run; the
 * worker is told (WORKSPACE). Blocks for the directory's creation. */
void workspaces_grant(struct child *worker, const struct lq_run *r,
		      const struct wire_workspace_ask *m);
/* enum skill_source bits: where a run might find skills, by a look at directories and not
 * into them. What we may not look at counts. Blocks for some look-ups. */
uint32_t workspaces_skills(const struct sup *s, const struct lq_run *r);
/* The run left that worker: its jails end. No-op when it was granted none. */
void workspaces_take_back(struct child *worker, const struct lq_run *r);
/* Likewise for an edge, which is told (FILES) and gives back by the number. */
void workspaces_lend(struct child *edge, const struct wire_files_ask *m);
void workspaces_return(struct child *edge, uint64_t handle);
/* Its launcher is gone, and every grant with it. */
void workspaces_forget(struct child *c);

/* ---- for operators */
/* Whether somebody uses it now. */
bool workspaces_is_used(const struct workspace_place *p);
/* <state>/workspaces, open for reading; -1 and errno. Made when it is missing. */
int workspaces_open_all(const struct sup *s);
/* Moves it to the trash. ERR_NOT_FOUND, ERR_CONFLICT (it is used), ERR_UNAVAILABLE and
 * errno. An agent's own takes those of its sessions with it. */
enum err workspaces_remove(struct sup *s, const struct workspace_place *p);

#endif
