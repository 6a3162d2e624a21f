/* SPDX-License-Identifier: Apache-2.0
 * Capabilities: what opens one tenant's rows to one worker's life. Made at a tenant's
 * first run on a worker, granted in the commit that starts that run, gone with the
 * worker. */
#ifndef TB_CAPS_H
#define TB_CAPS_H

#include <stdbool.h>
#include <stdint.h>

struct child;
struct pg_params;

struct cap {
	char text[32]; /* URL-safe base64 of 16 random bytes: what the worker shows */
	uint8_t sha256[32]; /* what the database keeps */
	bool granted;       /* its grant is committed */
};

/* The worker's capability for a tenant, made when there is none. */
struct cap *cap_get(struct child *worker, int64_t tenant);
/* Forgets all of a worker; the database's rows go by SQL_CAP_REVOKE. */
void caps_drop(struct child *worker);

#endif
