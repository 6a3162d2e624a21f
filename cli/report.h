/* SPDX-License-Identifier: Apache-2.0
 * What the program says to the person at the terminal, beside its output. */
#ifndef TB_CLI_REPORT_H
#define TB_CLI_REPORT_H

#include "common/attr.h"
#include "common/strbuf.h"

/* One line on stderr: what was wrong, where, what to do. Never a secret. */
PRINTF_LIKE(1, 2) void report(const char *fmt, ...);
/* From now on reports are appended to `into` instead, without an end of line; NULL: to
 * stderr again. For those whose output is a screen or a list of findings. */
void report_into(struct strbuf *into);

#endif
