/* SPDX-License-Identifier: Apache-2.0
 * Patterns of names: * and ? within a name, ** across directories, [a-z], [!a-z],
 * {one,other}. Matching takes time in proportion to pattern times path. */
#ifndef TB_FILES_GLOB_H
#define TB_FILES_GLOB_H

#include <stdint.h>

#include "sandbox/files/files_why.h"

#define FILES_GLOB_MOST 256
#define FILES_GLOB_TOKENS (2 * FILES_GLOB_MOST + 2)

struct files_glob_token {
	uint8_t kind;
	char c;
	bool negated;
	uint16_t from, to; /* of a class, in text */
};

struct files_glob {
	char text[FILES_GLOB_MOST + 1];
	struct files_glob_token tokens[FILES_GLOB_TOKENS];
	size_t n;
};

/* One pattern without alternatives ("{" is an ordinary character). False: too long. */
bool files_glob_compile(struct files_glob *g, struct slice pattern);
bool files_glob_matches(const struct files_glob *g, struct slice path);

/* A pattern with its alternatives, each compiled. */
struct files_globs {
	struct files_glob *list;
	size_t n;
	bool by_path; /* it holds a '/': meant for paths, else for names */
};
MUST_CHECK bool files_globs_init(struct files_globs *g, struct slice pattern,
				 struct files_why *why);
void files_globs_fini(struct files_globs *g);
/* path: from where the pattern starts; name: its last part. */
bool files_globs_match(const struct files_globs *g, struct slice path, struct slice name);

#endif
