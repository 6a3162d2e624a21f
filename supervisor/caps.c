/* SPDX-License-Identifier: Apache-2.0
 * Capabilities of a worker's life. */
#include "supervisor/caps.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "supervisor/children.h"
#include "supervisor/journal.h"
#include "supervisor/sup.h"

#define RENEW_US (12 * 3600 * 1000000ll)

struct cap *cap_get(struct child *worker, int64_t tenant)
{
	struct slice key = slice_of(&tenant, sizeof tenant);
	struct cap *cap = map_get(worker->caps, key);
	uint8_t bits[16];
	if (cap)
		return cap;
	cap = xcalloc(1, sizeof *cap);
	crypto_random(bits, sizeof bits);
	crypto_base64url(bits, sizeof bits, cap->text, sizeof cap->text);
	crypto_wipe(bits, sizeof bits);
	crypto_sha256(slice_str(cap->text), cap->sha256);
	map_put(worker->caps, key, cap);
	return cap;
}

bool cap_is_due(const struct cap *cap)
{
	return !cap->granted_us || clock_boot_us() - cap->granted_us > RENEW_US;
}

void caps_drop(struct child *worker)
{
	size_t it = 0;
	void *cap;
	if (map_count(worker->caps) == 0)
		return;
	while (map_next(worker->caps, &it, NULL, &cap)) {
		crypto_wipe(cap, sizeof(struct cap));
		free(cap);
	}
	map_free(worker->caps);
	worker->caps = map_new();
	journal_revoke(worker->sup->journal, worker->incarnation);
}
