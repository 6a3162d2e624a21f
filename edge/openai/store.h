/* SPDX-License-Identifier: Apache-2.0
 * What these APIs ask Postgres beside the rest of the edge. As edge/store.h. */
#ifndef TB_OPENAI_STORE_H
#define TB_OPENAI_STORE_H

#include "edge/openai/answer.h"
#include "edge/store.h"

/* What a run used, by the ledger. */
void store_run_usage(struct call *c, struct uuid run, struct answer_usage *out);

/* A run that is no response any more. */
enum response_delete { RESPONSE_ABSENT, RESPONSE_LIVE, RESPONSE_DELETED };
void store_delete_response(struct call *c, struct uuid run, enum response_delete *out);

/* Agents of the tenant by name, behind `after`. */
#define MODELS_PAGE 200
struct model_page {
	unsigned count;
	struct {
		struct slice name;
		int64_t created_us;
	} rows[MODELS_PAGE];
	bool more;
};
/* Up to limit + 1 of them: the last says that there are more. */
void store_list_models(struct call *c, struct slice after, unsigned limit,
		       struct model_page *out);
/* That agent alone, by its name. */
void store_find_model(struct call *c, struct slice name, struct model_page *out);

#endif
