/* SPDX-License-Identifier: Apache-2.0
 * The HTTP door as a socket in the file system. */
#ifndef TB_DOOR_SOCKET_H
#define TB_DOOR_SOCKET_H

#include <sys/types.h>

struct config;

/* Listens at the path, which then is that user's, of the configured mode and group; dies
 * with what to do when it cannot. What a dead node left there is replaced, nothing else
 * is. */
int door_socket_listen(const struct config *c, const char *path, uid_t uid, gid_t gid);
/* Before the next try at what a dying process still holds; blocks for 50 ms. */
void door_pause(void);

#endif
