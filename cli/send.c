/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl send: one message, its events, its answer. */
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/report.h"
#include "common/attr.h"

static void join(struct strbuf *out, const struct args *a)
{
	for (int i = 0; i < a->rest_count; i++) {
		if (i)
			strbuf_add_char(out, ' ');
		strbuf_add_str(out, a->rest[i]);
	}
}

int send_command(const struct args *a)
{
	static struct config config;
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	struct message m = {.agent = args_text(a, PARAM_agent, "main"),
			    .session = args_text(a, PARAM_session, NULL),
			    .builder = args_has(a, O(builder)),
			    .wait_s = args_number(a, PARAM_wait, 0)};
	struct render out;
	struct node node;
	join(&text, a);
	m.text = slice_trim(strbuf_slice(&text));
	if (m.text.n == 0) {
		report("send: the message is missing: terabitsctl send \"hello\"");
		return EXIT_USAGE;
	}
	config_load(&config);
	render_init(&out, args_wants_json(a) ? RENDER_JSON : RENDER_TEXT);
	int status = node_open(&node, &config, NODE_TOKEN)
			     ? EXIT_FAILED
			     : follow_message(&node, &out, &m);
	node_close(&node);
	return status;
}
