/* SPDX-License-Identifier: Apache-2.0
 * Who the supervisor is. Started as root it becomes the user TERABITS_USER for good and
 * keeps the capabilities of sandbox/privileges.tbl; started by that user with these
 * capabilities (ambient ones) it keeps them; else it has none, all tenants share its
 * uid, and jails need user namespaces. */
#ifndef TB_IDENTITY_H
#define TB_IDENTITY_H

#include <stdint.h>
#include <sys/types.h>

struct sup;

/* Who it is going to be; what only root can do (a directory in a place of root's) is done
 * between the two calls, and given to s->uid, s->gid. Dies when there is no such user. */
void identity_find(struct sup *s);
/* Gives the node's own entries of state and runtime directory to that user where they are
 * root's, and becomes it. Before there is a second thread. Says what is missing where
 * tenants cannot have a uid each. */
void identity_settle(struct sup *s);

/* The uid of a tenant's jails and files, where s->tenant_uids. */
uint32_t identity_of_tenant(int64_t tenant);

#endif
