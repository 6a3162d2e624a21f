/* SPDX-License-Identifier: Apache-2.0
 * What the operations of a transfer share: bytes in and out, and the two forms of its
 * first line. Private to files_transfer*.c. */
#ifndef TB_FILES_TRANSFER_IO_H
#define TB_FILES_TRANSFER_IO_H

#include "common/err.h"
#include "common/json.h"
#include "sandbox/files/files_path.h"

struct files_transfer {
	int root, in, out;
	uint64_t room_bytes;
	json_t args;
	struct slice path;
	struct files_why why;
	bool is_stale; /* refused because of the version that stands there */
};

/* false: it ended, or failed. */
bool transfer_take(int in, void *to, size_t n);
bool transfer_give(int out, struct slice s);
/* The line of a refusal; the sentence is in why. */
void transfer_refuse(struct files_transfer *t, enum err e);
/* The code of what the kernel refused. */
enum err transfer_errno(int error);

void transfer_list(struct files_transfer *t);
void transfer_get(struct files_transfer *t);
void transfer_put(struct files_transfer *t);
void transfer_remove(struct files_transfer *t);
void transfer_skills(struct files_transfer *t);

#endif
