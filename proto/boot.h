/* SPDX-License-Identifier: Apache-2.0
 * What a child inherits: a BOOT message in a sealed memory file at a fixed descriptor.
 * Secrets travel here and nowhere else: not in argv, not in the environment. */
#ifndef TB_BOOT_H
#define TB_BOOT_H

#include "common/err.h"
#include "proto/wire.h"

#define BOOT_FD 3         /* the BOOT message */
#define BOOT_PEER_FD 4    /* worker and launcher: their SOCK_SEQPACKET pair */
#define BOOT_CONTROL_FD 5 /* launcher: its pair with the supervisor */
#define BOOT_TLS_FD 6     /* edge: certificate and key, see proto/tls_box.h */
#define BOOT_LISTEN_FD                                                                   \
	7 /* edge: the first of the listening sockets that `doors` tells                 \
	   */

/* A memfd that holds the message, sealed against change, position 0, close-on-exec. -1
 * and errno on failure. */
int boot_write(const struct wire_boot *b);
/* Reads and closes BOOT_FD. The strings live in a static buffer until boot_wipe. Dies
 * with a clear line when the descriptor is missing ("started by hand: terabitsd starts
 * this program") or of another build. */
const struct wire_boot *boot_read(void);
/* Overwrites the buffer: after the secrets were handed to the libraries that need them.
 */
void boot_wipe(void);
/* PDEATHSIG KILL, then checks that the parent still is parent_pid (else exits): after
 * every uid change. */
void boot_die_with_parent(unsigned parent_pid);

#endif
