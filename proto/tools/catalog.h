/* SPDX-License-Identifier: Apache-2.0
 * The tools of this build: the rows of tools.tbl. What starts them is the worker's. */
#ifndef TB_TOOLS_CATALOG_H
#define TB_TOOLS_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/slice.h"

/* What may be done with a call found running after a crash: see docs/architecture.md. */
enum tool_effect { EFFECT_PURE, EFFECT_IDEMPOTENT, EFFECT_KEYED, EFFECT_ONCE };
enum tool_place { PLACE_WORKER, PLACE_JAIL };

struct tool_spec {
	const char *name, *category, *description;
	const char *schema; /* of its arguments, JSON */
	enum tool_effect effect;
	enum tool_place place;
	int64_t deadline_us;
	size_t output_most; /* bytes */
};

/* At most: a set of tools is a bit mask. */
#define CATALOG_MOST 64

size_t catalog_count(void);
/* i < catalog_count(). */
const struct tool_spec *catalog_at(size_t i);
/* The tool of exactly that name; catalog_count() when there is none. */
size_t catalog_find(struct slice name);
/* Tools that make and change agents: they are there in a run of builder mode alone. */
bool catalog_is_builder(size_t i);
/* "pure", "idempotent", "keyed", "once": as Postgres knows them. */
const char *tool_effect_word(enum tool_effect e);
/* "worker", "jail". */
const char *tool_place_word(enum tool_place p);

#endif
