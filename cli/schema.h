/* SPDX-License-Identifier: Apache-2.0
 * The database's schema against this build's migrations. Failures are reported here. */
#ifndef TB_CLI_SCHEMA_H
#define TB_CLI_SCHEMA_H

#include <stddef.h>

#include "cli/migrations.h"
#include "cli/owner.h"

/* How many of the migrations stand, each as its file says; -1: reported (one was changed,
 * or the database is newer than this build). Changes nothing. */
int schema_standing(struct owner *o, const struct migrations *m);
/* Brings it to the newest; the owner's lock is held. -1: reported. */
int schema_apply(struct owner *o, const struct migrations *m);

#endif
