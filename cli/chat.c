/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl chat: a line a message, in one session. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/follow.h"
#include "common/alloc.h"
#include "common/attr.h"

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

int chat_command(const struct args *a)
{
	static struct config config;
	char fresh[5 + UUID_TEXT_LEN + 1] = "chat-";
	struct message m = {0};
	struct node node;
	uuid_format(uuid7_new(), fresh + 5);
	m.agent = args_text(a, PARAM_agent, "main");
	m.session = args_text(a, PARAM_session, fresh);
	m.wait_s = args_number(a, PARAM_wait, 0);
	config_load(&config);
	int status = EXIT_FAILED;
	if (node_open(&node, &config, NODE_TOKEN) == 0) {
		talk(&node, &m);
		status = EXIT_FINE;
	}
	node_close(&node);
	return status;
}
