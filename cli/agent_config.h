/* SPDX-License-Identifier: Apache-2.0
 * An agent's configuration as its options and a file say it. */
#ifndef TB_CLI_AGENT_CONFIG_H
#define TB_CLI_AGENT_CONFIG_H

#include "cli/args.h"
#include "common/strbuf.h"

/* The members that were given, as one JSON object: those of --config's file, an option's
 * in the place of the same one there; all of it checked as a worker reads it. Blocks on
 * the file. An exit status, reported. */
int agent_compose(struct strbuf *out, const struct args *a);

#endif
