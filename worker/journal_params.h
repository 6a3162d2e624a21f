/* SPDX-License-Identifier: Apache-2.0
 * A batch of commits as the 50 array parameters of tb.journal. */
#ifndef TB_JOURNAL_PARAMS_H
#define TB_JOURNAL_PARAMS_H

#include "common/list.h"
#include "common/pg/param.h"

/* batch: a list of struct commit, by their node. */
void journal_params(struct pg_params *p, const struct list *batch);

#endif
