/* SPDX-License-Identifier: Apache-2.0
 * exec and bash: a program, or a script, in a jail of the agent's workspace. */
#include <string.h>

#include "worker/tools/program.h"

void tool_exec(struct tool_call *c);
void tool_bash(struct tool_call *c);

static void add_word(struct strbuf *b, struct slice word)
{
	strbuf_add(b, word.p, word.n);
	strbuf_add_char(b, 0);
}

void tool_bash(struct tool_call *c)
{
	struct program *p = program_new();
	add_word(&p->jail.argv, SLICE("/bin/bash"));
	add_word(&p->jail.argv, SLICE("-c"));
	add_word(&p->jail.argv, json_str(json_get(c->args, "script")));
	program_start(p, c);
}

/* To env(1) a word with '=' is a variable, and what follows the program. */
static bool is_program(struct slice first)
{
	return first.n && (*first.p == '/' || !memchr(first.p, '=', first.n));
}

/* A name without a slash is looked for by env(1), along PATH. */
void tool_exec(struct tool_call *c)
{
	json_t words = json_get(c->args, "argv");
	struct json_iter it = json_iter(words);
	struct slice first = json_str(json_at(words, 0));
	if (!is_program(first)) {
		op_start(c->op, NULL, NULL, 0);
		tool_error(c, "argument 'argv[0]' is the program: a name without '=', or "
			      "a path; variables go into 'env'");
		op_finish(c->op, ERR_TOOL_ARGUMENTS);
		return;
	}
	struct program *p = program_new();
	if (*first.p != '/') {
		add_word(&p->jail.argv, SLICE("/usr/bin/env"));
		add_word(&p->jail.argv, SLICE("--"));
	}
	for (json_t word; (word = json_next(&it, NULL));)
		add_word(&p->jail.argv, json_str(word));
	program_start(p, c);
}
