/* SPDX-License-Identifier: Apache-2.0
 * Findings of terabitsctl doctor, and who makes them. */
#ifndef TB_CLI_DOCTOR_H
#define TB_CLI_DOCTOR_H

#include <stdio.h>

#include "cli/command.h"
#include "common/attr.h"
#include "common/config.h"
#include "common/json.h"
#include "common/strbuf.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL, VERDICT__COUNT };

struct doctor {
	const struct args *args;
	struct config config;
	const char *check; /* whose finding comes next */
	int count[VERDICT__COUNT];
	int as_json;
	struct strbuf json_text;
	struct json_out json;
};

/* One finding of d->check: what is so, and what to do if that is not good. Printed at
 * once. */
PRINTF_LIKE(3, 4)
void doctor_say(struct doctor *d, enum verdict v, const char *fmt, ...);

/* ---- this machine */
void doctor_user_namespaces(struct doctor *d);
void doctor_landlock(struct doctor *d);
void doctor_seccomp(struct doctor *d);
void doctor_sandbox(struct doctor *d);
void doctor_memory(struct doctor *d);
void doctor_open_files(struct doctor *d);
void doctor_disk(struct doctor *d);
void doctor_quota(struct doctor *d);
void doctor_clock(struct doctor *d);

/* ---- the database, as its owner: health, schema, invariants. Says what it finds;
 * without a connection only that. */
enum doctor_depth { DOCTOR_ALL, DOCTOR_INVARIANTS };
void doctor_database(struct doctor *d, enum doctor_depth depth);

#endif
