/* SPDX-License-Identifier: Apache-2.0
 * What the bytes of a file are: text or not, its line endings, its hash. */
#ifndef TB_FILES_TEXT_H
#define TB_FILES_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "common/slice.h"
#include "common/strbuf.h"

#define FILES_BOM "\xef\xbb\xbf"
#define FILES_HEAD_BYTES 8192 /* by which a file is judged */
/* No file is looked at beyond this. */
#define FILES_SCAN_MOST (256ll << 20)

/* U+0000, much invalid UTF-8 or many control characters in the first bytes. */
bool files_is_binary(struct slice head);
/* "lf", "crlf" or "mixed". */
const char *files_ending_word(uint64_t crlf, uint64_t lf);
int64_t files_count_lines(struct slice text);
/* The number of the line that byte `at` is in, from 1. */
int64_t files_line_at(struct slice text, size_t at);

/* The first occurrence that begins at byte `from` or behind it; -1: none. In pieces, so
 * that to find many takes no longer than to look at the text. */
ptrdiff_t files_find(struct slice text, struct slice wanted, size_t from);
/* At least what it takes as JSON, where a control character has six bytes. */
size_t files_escaped_bytes(struct slice s);

/* Up to `most` bytes from fd; -1 with errno. */
int64_t files_slurp(int fd, size_t most, struct strbuf *out);
/* What stands for bytes that are no text: kind "binary" or "image", with size and hash
 * (of all of fd, unless it is too large to look at). -1 with errno. */
int files_put_bytes(struct json_out *o, int fd, struct slice head, uint64_t size);

#endif
