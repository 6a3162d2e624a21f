/* SPDX-License-Identifier: Apache-2.0
 * fork and exec of one child with exactly the descriptors it is meant to have. */
#ifndef TB_SPAWN_H
#define TB_SPAWN_H

#include <sys/types.h>

/* They land on the numbers of proto/boot.h; everything else is closed. */
struct spawn_fds {
	int boot, peer, control, tls; /* -1: none */
	const int *listen;            /* at most LISTEN_SOCKETS_MOST */
	unsigned listen_count;
};

/* The pid, or -1 and errno. argv is the program's name alone; the environment holds only
 * TZ, LANG, the sanitizers' options and TERABITS_SECCOMP. */
pid_t spawn_child(const char *dir, const char *program, const struct spawn_fds *fds);

#endif
