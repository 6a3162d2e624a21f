/* SPDX-License-Identifier: Apache-2.0
 * Requests that wait until their workspace is counted. */
#ifndef TB_LAUNCHER_WAITING_H
#define TB_LAUNCHER_WAITING_H

#include "common/list.h"
#include "proto/wire.h"

struct room;

struct waiting {
	struct list node;
	struct wire_jail_open open; /* its texts are in `bytes` */
	struct room *room;
	unsigned tries;
	char bytes[];
};

/* A copy, at the end of the list. */
struct waiting *waiting_add(struct list *all, const struct wire_jail_open *m,
			    struct room *r);
/* Out of its list, and freed. */
void waiting_free(struct waiting *w);

#endif
