/* SPDX-License-Identifier: Apache-2.0
 * What a worker asks of its launcher, and what it hears: fixed records over a
 * SOCK_SEQPACKET pair. The launcher never parses anything of variable shape from a
 * worker. */
#ifndef TB_LAUNCHER_REQUEST_H
#define TB_LAUNCHER_REQUEST_H

#include <stdint.h>

#define LAUNCH_MAGIC 0x54424a31u /* "TBJ1" */

struct launch_request {
	uint32_t magic;
	uint32_t id; /* comes back in the reply */
	uint32_t kind;
	uint32_t reserved;
};

enum launch_status { LAUNCH_REFUSED = 1 };

struct launch_reply {
	uint32_t magic;
	uint32_t id;
	uint32_t status; /* enum launch_status */
	uint32_t reserved;
};

#endif
