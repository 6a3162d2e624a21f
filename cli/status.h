/* SPDX-License-Identifier: Apache-2.0
 * A node's status for people. */
#ifndef TB_CLI_STATUS_H
#define TB_CLI_STATUS_H

#include "common/json.h"
#include "common/strbuf.h"

/* Appends the table of the admin socket's answer. */
void status_print(struct strbuf *out, json_t status);

#endif
