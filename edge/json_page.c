/* SPDX-License-Identifier: Apache-2.0
 * As the other lists. */
#include "edge/json_page.h"

#include "common/json.h"
#include "edge/reply.h"
#include "edge/run_json.h"

void json_page_reply(struct call *c, const char *name, const struct json_page *page)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
		return;
	}
	json_obj(&o);
	json_key(&o, name);
	json_arr(&o);
	for (unsigned i = 0; i < page->count; i++)
		json_put_raw(&o, page->rows[i]);
	json_arr_end(&o);
	run_put_id(&o, "next", page->next);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(&b));
}
