/* SPDX-License-Identifier: Apache-2.0
 * Asking before what cannot be taken back. */
#ifndef TB_CLI_CONFIRM_H
#define TB_CLI_CONFIRM_H

#include "cli/command.h"

/* 0: go on (no risk, a dry run, --yes, or "yes" typed at the terminal); else an exit
 * status, reported. */
int confirm(const struct args *a);

#endif
