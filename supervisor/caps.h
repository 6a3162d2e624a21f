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
	int64_t granted_us; /* CLOCK_BOOTTIME of the last grant that committed; 0: none */
};

/* The worker's capability for a tenant, made when there is none. */
struct cap *cap_get(struct child *worker, int64_t tenant);
/* Whether the database has to be told: never, or more than 12 of its 24 hours ago. */
bool cap_is_due(const struct cap *cap);
/* Forgets all of a worker; the database's rows go by SQL_CAP_REVOKE. */
void caps_drop(struct child *worker);

#endif
