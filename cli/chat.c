/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl chat: a line a message, in one session. At a terminal a person is asked
 * what a run asks; from a pipe each line is a message and the first run that fails ends
 * it all, with its exit status. */
#include "cli/chat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/report.h"

int chat_read(struct chat *c, const char *prompt, struct slice *text, bool *interrupted)
{
	*interrupted = false;
	if (c->person) {
		interrupt_count();
		fputs(prompt, stdout);
		fflush(stdout);
	}
	errno = 0;
	if (c->person && interrupt_wait(STDIN_FILENO)) {
		*interrupted = true;
		putchar('\n');
		return -1;
	}
	ssize_t n = getline(&c->line, &c->line_room, stdin);
	if (n >= 0) {
		*text = slice_trim(slice_of(c->line, (size_t)n));
		return 0;
	}
	*interrupted = errno == EINTR;
	clearerr(stdin);
	if (c->person)
		putchar('\n');
	return -1;
}

/* ---- the talk */

/* A long message in several lines: each but the last ends in a backslash. -1: there is
 * none. */
static int read_message(struct chat *c, struct strbuf *message, bool *interrupted)
{
	struct slice part;
	strbuf_reset(message);
	if (chat_read(c, "> ", &part, interrupted))
		return -1;
	while (c->person && part.n && part.p[part.n - 1] == '\\') {
		strbuf_add(message, part.p, part.n - 1);
		strbuf_add_char(message, '\n');
		if (chat_read(c, ". ", &part, interrupted))
			return -1;
	}
	strbuf_add_slice(message, part);
	return 0;
}

static int act(struct chat *c, struct slice line)
{
	if (chat_is_word(line))
		return chat_word(c, line);
	if (line.n > 1 && line.p[0] == '/') /* "//x" says "/x" */
		line = slice_of(line.p + 1, line.n - 1);
	return line.n ? chat_say(c, line) : EXIT_FINE;
}

/* Once more within the same line leaves. */
static bool is_second(struct chat *c, bool *warned)
{
	if (!*warned)
		render_note(&c->out, "/quit or Ctrl-C again leaves");
	c->leave = *warned;
	*warned = true;
	return c->leave;
}

static int talk(struct chat *c)
{
	AUTO(strbuf_fini) struct strbuf message = STRBUF_INIT;
	int status = EXIT_FINE;
	bool interrupted, warned = false;
	while (!c->leave && (c->person || !status)) {
		if (read_message(c, &message, &interrupted)) {
			if (interrupted && c->person && !is_second(c, &warned))
				continue;
			break;
		}
		warned = false;
		status = act(c, strbuf_slice(&message));
	}
	return c->person && !c->watch.leave ? EXIT_FINE : status;
}

/* ---- the command */

static void choose_session(struct chat *c)
{
	const char *given = args_text(c->args, PARAM_session, NULL);
	if (given) {
		snprintf(c->session, sizeof c->session, "%s", given);
		return;
	}
	memcpy(c->session, "chat-", 5);
	uuid_format(uuid7_new(), c->session + 5);
}

static int run_chat(struct chat *c)
{
	int status = EXIT_FINE;
	choose_session(c);
	if (args_has(c->args, O(pick)))
		status = chat_pick(c);
	if (status)
		return status;
	if (!c->json)
		render_note(&c->out, "session %s of agent %s; /help lists the commands",
			    c->session, c->agent);
	chat_turns_begin(c);
	status = talk(c);
	chat_turns_end(c);
	return status;
}

int chat_command(const struct args *a)
{
	static struct config config;
	struct chat c = {.args = a, .json = args_wants_json(a)};
	int status = EXIT_FAILED;
	c.person = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !c.json;
	if (args_has(a, O(pick)) && !c.person) {
		report("chat: --pick asks at a terminal; name the session by --session");
		return EXIT_USAGE;
	}
	snprintf(c.agent, sizeof c.agent, "%s", args_text(a, PARAM_agent, "main"));
	config_load(&config);
	render_init(&c.out, c.json ? RENDER_JSON : RENDER_TEXT);
	c.out.quiet = c.person;
	if (node_open(&c.node, &config, NODE_TOKEN) == 0)
		status = run_chat(&c);
	node_close(&c.node);
	free(c.line);
	return status;
}
