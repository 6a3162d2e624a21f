/* SPDX-License-Identifier: Apache-2.0
 * JSON for people: the tables and lines that answers.tbl describes. */
#ifndef TB_CLI_TABLE_H
#define TB_CLI_TABLE_H

#include "cli/command.h"
#include "common/json.h"
#include "common/strbuf.h"

enum format {
	FORMAT_TEXT,
	FORMAT_NUMBER,
	FORMAT_MS,    /* milliseconds, as a duration */
	FORMAT_US,    /* microseconds, as milliseconds */
	FORMAT_KIB,   /* KiB, as a size */
	FORMAT_BYTES, /* bytes, as a size */
	FORMAT_YES,   /* a boolean: "yes", or "-" */
	FORMAT_JSON   /* as it is */
};

/* The member at a dotted path ("journal.up"), "" the value itself. */
json_t table_at(json_t v, const char *path);
/* Appends one value; "-" when it is absent or null. Control characters become blanks:
 * what others wrote must not steer the terminal. */
void table_put(struct strbuf *out, json_t v, enum format f);
/* "850 ms", "12.3 s", "4 min 5 s", "2 h 3 min", "3 d 4 h". */
void table_put_duration(struct strbuf *out, double ms);

/* Which items of an array section are shown; NULL: all. */
typedef int table_filter(const struct args *a, json_t item);
/* Appends the sections of a command's answer in the order of its rows. `only` (may be
 * NULL) is the one section to print, of which `keep` shows at most `limit` items. */
struct table_view {
	enum command_id command;
	const char *only;
	table_filter *keep;
	const struct args *args;
	long limit;
};
void table_print(struct strbuf *out, json_t answer, const struct table_view *view);
/* Whether the command has columns at all. */
int table_has(enum command_id command);

#endif
