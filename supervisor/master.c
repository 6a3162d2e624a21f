/* SPDX-License-Identifier: Apache-2.0
 * Read at each child's birth, as the roles' passwords are. */
#include "supervisor/master.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/die.h"
#include "common/log.h"
#include "proto/limits.h"
#include "supervisor/sup.h"

#define PATH_BYTES 4400
_Static_assert(MASTER_KEYS_BYTES == LIMIT_MASTER_KEYS, "BOOT carries all of them");

void master_start(const struct sup *s)
{
	char path[PATH_BYTES], err[PATH_BYTES + 200];
	struct master_keys m;
	if (master_path(s->config.master_key_file, s->config.state_dir, path,
			sizeof path) &&
	    master_make(path))
		fatal("the master key file %s cannot be made: %s. Run 'terabitsctl "
		      "migrate' first, or set TERABITS_STATE_DIR",
		      path, strerror(errno));
	if (master_read(path, &m, err, sizeof err))
		fatal("%s", err);
	master_wipe(&m);
}

bool master_load(const struct sup *s, struct master_keys *m)
{
	char path[PATH_BYTES], err[PATH_BYTES + 200];
	master_path(s->config.master_key_file, s->config.state_dir, path, sizeof path);
	if (!master_read(path, m, err, sizeof err))
		return true;
	log_error("master-key-unreadable", "message=\"%s\"", err);
	return false;
}
