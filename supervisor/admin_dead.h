/* SPDX-License-Identifier: Apache-2.0
 * Reading the list of dead runs. */
#ifndef TB_ADMIN_DEAD_H
#define TB_ADMIN_DEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/slice.h"

struct ask;
struct pg_result;

struct dead_filter {
	struct slice reason; /* p NULL: any */
	bool open_only;      /* those that were not redriven */
	unsigned limit;
};

/* The newest first, of the tenant in a->names if there is one; fn as admin_db_send has
 * it.
 */
void dead_read(struct ask *a, const struct dead_filter *f,
	       void (*fn)(struct ask *a, const struct pg_result *r));
struct uuid dead_run(const struct pg_result *r, int row);
int64_t dead_tenant(const struct pg_result *r, int row);

#endif
