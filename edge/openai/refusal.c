/* SPDX-License-Identifier: Apache-2.0
 * Errors as bodies. */
#include "edge/openai/refusal.h"

#include <stdio.h>

#include "edge/reply.h"

void refuse(struct call *c, int status, const char *code, const char *param,
	    const char *message)
{
	struct reply_error e = {status, code, param, status == 429 ? 1u : 0u, NULL};
	reply_error(c->request, &e, "%s", message);
}

void refuse_outcome(struct call *c, struct openai_answer *a)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	char run[UUID_TEXT_LEN + 1], after[24];
	unsigned after_s;
	int status = answer_status(a, &after_s);
	uuid_format(a->run, run);
	json_obj(&o);
	json_key(&o, "error");
	answer_put_error(a, &o, c->request->id);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, status);
	if (after_s) {
		snprintf(after, sizeof after, "%u", after_s);
		reply_field(c->request, "retry-after", slice_str(after));
	}
	reply_field(c->request, "x-run-id", slice_str(run));
	reply_field(c->request, "x-should-retry", SLICE("false"));
	reply_body(c->request, "application/json", strbuf_slice(&b));
}
