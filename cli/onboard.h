/* SPDX-License-Identifier: Apache-2.0
 * The rows that a tenant begins with, each by the command that also makes one alone. In
 * the caller's transaction or in one of their own. Exit statuses; json gets what the
 * command prints. */
#ifndef TB_CLI_ONBOARD_H
#define TB_CLI_ONBOARD_H

#include "cli/catalogue.h"
#include "cli/tenant.h"

/* 0, or reported. */
int tenant_check_slug(const char *slug);
/* Begins the transaction; the tenant becomes c's. */
int tenant_row_new(struct catalogue *c, const char *slug, struct strbuf *json);
int agent_row_new(struct catalogue *c, const char *name, const struct strbuf *config,
		  struct strbuf *json);
int token_row_new(struct catalogue *c, const struct tenant_new_token *t,
		  const char *scopes, struct strbuf *json);

#endif
