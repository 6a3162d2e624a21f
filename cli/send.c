/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl send: one message, its events, its answer. */
#include "cli/args.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/report.h"
#include "common/attr.h"

#define WAIT_MOST 86400

static void join(struct strbuf *out, int argc, char **argv, int at)
{
	for (int i = at; i < argc; i++) {
		if (i > at)
			strbuf_add_char(out, ' ');
		strbuf_add_str(out, argv[i]);
	}
}

int send_command(int argc, char **argv)
{
	static struct config config;
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	struct message m = {.agent = "main"};
	struct render out;
	struct node node;
	int as_json = 0;
	const struct args_option options[] = {
		{"--session", ARGS_TEXT, &m.session, 0, 0},
		{"--agent", ARGS_TEXT, &m.agent, 0, 0},
		{"--wait", ARGS_NUMBER, &m.wait_s, 0, WAIT_MOST},
		{"--json", ARGS_FLAG, &as_json, 0, 0}};
	int at = args_take(options, ARRAY_LEN(options), argc, argv, ARGS_WORDS);
	if (at < 0)
		return EXIT_USAGE;
	join(&text, argc, argv, at);
	m.text = slice_trim(strbuf_slice(&text));
	if (m.text.n == 0) {
		report("send: the message is missing: terabitsctl send \"hello\"");
		return EXIT_USAGE;
	}
	config_load(&config);
	render_init(&out, as_json ? RENDER_JSON : RENDER_TEXT);
	int status = node_open(&node, &config, NODE_TOKEN)
			     ? EXIT_FAILED
			     : follow_message(&node, &out, &m);
	node_close(&node);
	return status;
}
