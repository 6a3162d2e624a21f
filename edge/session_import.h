/* SPDX-License-Identifier: Apache-2.0
 * The lines of an export (docs/sessions.md), checked. Pure. */
#ifndef TB_EDGE_SESSION_IMPORT_H
#define TB_EDGE_SESSION_IMPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/slice.h"
#include "common/strbuf.h"

struct import_fault {
	size_t line; /* from 1 */
	char message[240];
};

/* Appends the lines as a JSON list. Each is a message with the members of an export, its
 * seq one more than the line before; each result belongs to a call of a line before it,
 * and each call has one result before the next answer and within the text. False: fault
 * is set. */
bool import_read(struct slice text, struct strbuf *out, struct import_fault *fault);

#endif
