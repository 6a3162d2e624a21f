/* SPDX-License-Identifier: Apache-2.0
 * The migrations of this build: the numbered files NNNN_name.sql of a directory. */
#ifndef TB_CLI_MIGRATIONS_H
#define TB_CLI_MIGRATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/slice.h"

struct migration {
	int version;
	char *file; /* "0003_sessions_runs.sql" */
	char *sql;  /* NUL-terminated */
	uint8_t sha256[32];
};

struct migrations {
	struct migration *list; /* in order of version, once checked */
	size_t count;
};

/* The version a file's name stands for: 1 to 9999; 0 when it is no migration's name. */
int migrations_version_of(const char *file);
/* Puts the list in order; -1 and a sentence when numbers are missing or given twice. */
int migrations_order(struct migrations *m, char *err, size_t err_size);
/* Where they are: `given`, TERABITS_MIGRATIONS, or looked for from the program's
 * directory on. malloc'ed; NULL when there is none (a sentence in err). */
char *migrations_directory(const char *given, char *err, size_t err_size);
/* Reads, hashes and orders them. -1 and a sentence. migrations_fini in any case. */
int migrations_load(struct migrations *m, const char *directory, char *err,
		    size_t err_size);
void migrations_fini(struct migrations *m);
/* Whether a text with that hash stands for today's (corrected.tbl). */
bool migrations_was_so(int version, struct slice sha256);

#endif
