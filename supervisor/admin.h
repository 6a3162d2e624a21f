/* SPDX-License-Identifier: Apache-2.0
 * The operator's door: newline-delimited JSON over <state>/admin.sock. Peers are checked
 * by the kernel's word for their uid (root or ours), and our own children are refused. */
#ifndef TB_ADMIN_H
#define TB_ADMIN_H

struct ask_world;
struct sup;
struct admin;

/* Dies when the socket cannot be made. */
struct admin *admin_open(struct sup *s);
void admin_close(struct admin *a);
/* For what edges ask. */
const struct ask_world *admin_world(const struct admin *a);

#endif
