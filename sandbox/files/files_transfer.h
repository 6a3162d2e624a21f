/* SPDX-License-Identifier: Apache-2.0
 * Files that go in and out of a workspace for a person, as a process in a jail does it.
 *
 * In: a line of JSON, {"op", "path", ...}; for "put" the file follows in pieces: four
 * bytes of length, least significant first, then so many bytes; a length of 0 ends the
 * file, and only then it takes its name. An input that ends before leaves nothing.
 *
 *	{"op":"list","path","depth","limit","after"}  {"op":"get","path"}
 *	{"op":"put","path","ifMatch"}  {"op":"remove","path","recursive","ifMatch"}
 *	{"op":"skills","allowed"}  see files_skills.h
 *
 * Out: a line of JSON, {"bytes", "modifiedAt", "etag"} or {"error": code of err.tbl,
 * "message", "stale": whether ifMatch (files_tag.h) was why}; of "put" {"created",
 *"etag"}; then so many bytes, or, where it says no number, bytes up to the end. */
#ifndef TB_FILES_TRANSFER_H
#define TB_FILES_TRANSFER_H

#include <stdint.h>

#define FILES_TRANSFER_LINE (16u << 10)
#define FILES_TRANSFER_PIECE (1u << 20)

/* IN: what makes a workspace fuller, "put"; OUT: the others. */
enum files_transfer_way { FILES_TRANSFER_OUT, FILES_TRANSFER_IN };

/* Does one operation of that way. room_bytes: what a file that comes in may have at most,
 * because of the workspace's quota. Borrows the descriptors; ignores SIGXFSZ and SIGPIPE.
 * Blocks. */
void files_transfer(enum files_transfer_way way, int workspace, uint64_t room_bytes,
		    int in, int out);

#endif
