/* SPDX-License-Identifier: Apache-2.0
 * A process's own view of files: a root in memory with nothing but view.tbl and what was
 * shown, everything read-only. Part of sandbox_prepare. */
#ifndef TB_SANDBOX_VIEW_H
#define TB_SANDBOX_VIEW_H

/* See sandbox_show. */
void view_show(const char *path);
/* Leaves the machine's files for good: needs one thread, and either CAP_SYS_ADMIN or a
 * kernel that lets ordinary users have namespaces. Loads the resolver's plugins first.
 * Dies with one actionable line. */
void view_enter(void);

#endif
