/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl chat: a line a message, in one session. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "common/alloc.h"
#include "common/attr.h"

#define WAIT_MOST 86400

/* 0: there is a line. */
static int read_line(char **line, size_t *cap, struct slice *text)
{
	int asks = isatty(STDIN_FILENO);
	if (asks) {
		fputs("> ", stdout);
		fflush(stdout);
	}
	ssize_t n = getline(line, cap, stdin);
	if (n < 0) {
		if (asks)
			putchar('\n');
		return -1;
	}
	*text = slice_trim(slice_of(*line, (size_t)n));
	return 0;
}

static void talk(struct node *node, struct message *m)
{
	AUTO(auto_free) char *line = NULL;
	size_t cap = 0;
	struct render out;
	render_init(&out, RENDER_TEXT);
	render_note(&out, "session %s; /quit ends", m->session);
	while (read_line(&line, &cap, &m->text) == 0) {
		if (slice_is(m->text, "/quit"))
			return;
		if (m->text.n)
			follow_message(node, &out, m); /* it reports what failed */
	}
}

int chat_command(int argc, char **argv)
{
	static struct config config;
	char fresh[5 + UUID_TEXT_LEN + 1] = "chat-";
	struct message m = {.agent = "main", .session = fresh};
	struct node node;
	const struct args_option options[] = {
		{"--session", ARGS_TEXT, &m.session, 0, 0},
		{"--agent", ARGS_TEXT, &m.agent, 0, 0},
		{"--wait", ARGS_NUMBER, &m.wait_s, 0, WAIT_MOST}};
	if (args_take(options, ARRAY_LEN(options), argc, argv, ARGS_NO_WORDS) < 0)
		return EXIT_USAGE;
	uuid_format(uuid7_new(), fresh + 5);
	config_load(&config);
	int status = EXIT_FAILED;
	if (node_open(&node, &config, NODE_TOKEN) == 0) {
		talk(&node, &m);
		status = EXIT_FINE;
	}
	node_close(&node);
	return status;
}
