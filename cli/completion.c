/* SPDX-License-Identifier: Apache-2.0
 * bash: a case over "noun verb". zsh: the same, with descriptions. fish: a line a word.
 */
#include "cli/completion.h"

#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "common/attr.h"

/* The i-th command is the first of its noun. */
static int is_first(int i)
{
	const char *noun = command_at((enum command_id)i)->noun;
	for (int k = 0; k < i; k++)
		if (!strcmp(command_at((enum command_id)k)->noun, noun))
			return 0;
	return 1;
}

static const struct command *at(int i)
{
	return command_at((enum command_id)i);
}

static void put_choices(struct strbuf *out, const char *choices)
{
	for (; *choices; choices++)
		strbuf_add_char(out, *choices == '|' ? ' ' : *choices);
}

/* "--a --b" */
static void put_options(struct strbuf *out, const struct command *c)
{
	strbuf_add_str(out, "--help");
	for (int i = 0; i < PARAM__COUNT; i++)
		if (c->options >> i & 1)
			strbuf_printf(out, " --%s", param_of((enum param_id)i)->name);
	if (c->options & O(output))
		strbuf_add_str(out, " -o");
}

/* The first word's choices, if it is one of some. */
static void put_word(struct strbuf *out, const struct command *c)
{
	const struct param *p = c->words.count ? param_of(c->words.id[0]) : NULL;
	if (!p || p->kind != PARAM_IS_CHOICE)
		return;
	strbuf_add_char(out, ' ');
	put_choices(out, p->value);
}

static void put_nouns(struct strbuf *out)
{
	for (int i = 0; i < COMMAND__COUNT; i++)
		if (is_first(i))
			strbuf_printf(out, "%s%s", i ? " " : "", at(i)->noun);
}

static void put_verbs(struct strbuf *out, const char *noun)
{
	const char *gap = "";
	for (int i = 0; i < COMMAND__COUNT; i++) {
		if (strcmp(at(i)->noun, noun) || !*at(i)->verb)
			continue;
		strbuf_printf(out, "%s%s", gap, at(i)->verb);
		gap = " ";
	}
}

/* Shell code: case $prev of an option with choices. */
static void put_values(struct strbuf *out)
{
	for (int i = 0; i < PARAM__COUNT; i++) {
		const struct param *p = param_of((enum param_id)i);
		if (p->kind != PARAM_IS_CHOICE)
			continue;
		strbuf_printf(out, "\t--%s%s) choices=\"", p->name,
			      i == PARAM_output ? "|-o" : "");
		put_choices(out, p->value);
		strbuf_add_str(out, "\" ;;\n");
	}
}

/* Shell code: the words by "noun" and "noun verb". */
static void put_cases(struct strbuf *out)
{
	for (int i = 0; i < COMMAND__COUNT; i++) {
		if (is_first(i) && *at(i)->verb) {
			strbuf_printf(out, "\t\"%s\") choices=\"", at(i)->noun);
			put_verbs(out, at(i)->noun);
			strbuf_add_str(out, "\" ;;\n");
		}
		strbuf_printf(out,
			      *at(i)->verb ? "\t\"%s %s\") choices=\""
					   : "\t\"%s\"|\"%s \"*) choices=\"",
			      at(i)->noun, *at(i)->verb ? at(i)->verb : at(i)->noun);
		if (!strcmp(at(i)->noun, "help"))
			put_nouns(out);
		else
			put_options(out, at(i));
		put_word(out, at(i));
		strbuf_add_str(out, "\" ;;\n");
	}
}

static void put_body(struct strbuf *out)
{
	strbuf_add_str(out, "\tcase $prev in\n");
	put_values(out);
	strbuf_add_str(out, "\t*) case $where in\n\t\"\") choices=\"");
	put_nouns(out);
	strbuf_add_str(out, "\" ;;\n");
	put_cases(out);
	strbuf_add_str(out, "\tesac ;;\n\tesac\n");
}

/* `where` is what stands before the word under the cursor, two words at most. */
static void put_bash(struct strbuf *out)
{
	strbuf_add_str(out, "# terabitsctl completion bash: source it, or save it as "
			    "bash-completion/completions/terabitsctl\n"
			    "_terabitsctl() {\n"
			    "\tlocal choices= prev=${COMP_WORDS[COMP_CWORD-1]} where=\n"
			    "\tlocal cur=${COMP_WORDS[COMP_CWORD]}\n"
			    "\tcase $COMP_CWORD in\n"
			    "\t1) ;;\n"
			    "\t2) where=${COMP_WORDS[1]} ;;\n"
			    "\t*) where=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" ;;\n"
			    "\tesac\n");
	put_body(out);
	strbuf_add_str(out, "\tCOMPREPLY=($(compgen -W \"$choices\" -- \"$cur\"))\n}\n"
			    "complete -F _terabitsctl terabitsctl\n");
}

static void put_zsh(struct strbuf *out)
{
	strbuf_add_str(out, "#compdef terabitsctl\n"
			    "# terabitsctl completion zsh: save it as _terabitsctl in a "
			    "directory of $fpath\n"
			    "_terabitsctl() {\n"
			    "\tlocal choices= prev=${words[CURRENT-1]} where=\n"
			    "\tcase $CURRENT in\n"
			    "\t2) ;;\n"
			    "\t3) where=${words[2]} ;;\n"
			    "\t*) where=\"${words[2]} ${words[3]}\" ;;\n"
			    "\tesac\n");
	put_body(out);
	strbuf_add_str(out, "\tcompadd -- ${=choices}\n}\n"
			    "if [ \"$funcstack[1]\" = _terabitsctl ]; then\n"
			    "\t_terabitsctl \"$@\"\nelse\n"
			    "\tcompdef _terabitsctl terabitsctl\nfi\n");
}

/* Within single quotes of fish. */
static void put_quoted(struct strbuf *out, const char *text)
{
	strbuf_add_char(out, '\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			strbuf_add_char(out, '\\');
		strbuf_add_char(out, *text);
	}
	strbuf_add_char(out, '\'');
}

static void put_fish_option(struct strbuf *out, const struct command *c, int id)
{
	const struct param *p = param_of((enum param_id)id);
	int is_flag = p->kind == PARAM_IS_FLAG || p->kind == PARAM_IS_NOTHING;
	strbuf_printf(out, "complete -c terabitsctl -n '__terabitsctl_at %s%s%s' -l %s",
		      c->noun, *c->verb ? " " : "", c->verb, p->name);
	if (id == PARAM_output)
		strbuf_add_str(out, " -s o");
	if (!is_flag)
		strbuf_add_str(out, " -x");
	if (p->kind == PARAM_IS_CHOICE) {
		strbuf_add_str(out, " -a '");
		put_choices(out, p->value);
		strbuf_add_char(out, '\'');
	}
	strbuf_add_str(out, " -d ");
	put_quoted(out, p->help);
	strbuf_add_char(out, '\n');
}

static void put_fish_command(struct strbuf *out, int i)
{
	const struct command *c = at(i);
	AUTO(strbuf_fini) struct strbuf word = STRBUF_INIT;
	if (is_first(i)) {
		strbuf_printf(out,
			      "complete -c terabitsctl -n __terabitsctl_at -a %s -d ",
			      c->noun);
		put_quoted(out, *c->verb ? "" : c->help);
		strbuf_add_char(out, '\n');
	}
	if (*c->verb) {
		strbuf_printf(out,
			      "complete -c terabitsctl -n '__terabitsctl_at %s' -a %s "
			      "-d ",
			      c->noun, c->verb);
		put_quoted(out, c->help);
		strbuf_add_char(out, '\n');
	}
	for (int k = 0; k < PARAM__COUNT; k++)
		if (c->options >> k & 1)
			put_fish_option(out, c, k);
	put_word(&word, c);
	if (word.n)
		strbuf_printf(out,
			      "complete -c terabitsctl -n '__terabitsctl_at %s%s%s' -a "
			      "'%s'\n",
			      c->noun, *c->verb ? " " : "", c->verb, word.p + 1);
}

static void put_fish(struct strbuf *out)
{
	strbuf_add_str(out, "# terabitsctl completion fish: save it as "
			    "completions/terabitsctl.fish\n"
			    "function __terabitsctl_at\n"
			    "\tset -l typed (commandline -opc)\n"
			    "\tset -e typed[1]\n"
			    "\tset -l n (count $argv)\n"
			    "\tif test $n -eq 0\n"
			    "\t\ttest (count $typed) -eq 0\n"
			    "\t\treturn\n"
			    "\tend\n"
			    "\ttest (count $typed) -ge $n; or return 1\n"
			    "\ttest \"$typed[1..$n]\" = \"$argv\"; or return 1\n"
			    "\tif test $n -eq 1; and contains -- $argv[1]");
	for (int i = 0; i < COMMAND__COUNT; i++)
		if (is_first(i) && *at(i)->verb)
			strbuf_printf(out, " %s", at(i)->noun);
	strbuf_add_str(out, "\n"
			    "\t\ttest (count $typed) -eq 1\n"
			    "\t\treturn\n"
			    "\tend\n"
			    "end\n"
			    "complete -c terabitsctl -f\n");
	for (int i = 0; i < COMMAND__COUNT; i++)
		put_fish_command(out, i);
}

int completion_print(struct strbuf *out, const char *shell)
{
	if (!strcmp(shell, "bash"))
		put_bash(out);
	else if (!strcmp(shell, "zsh"))
		put_zsh(out);
	else if (!strcmp(shell, "fish"))
		put_fish(out);
	else
		return -1;
	return 0;
}

int completion_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	completion_print(&out, a->text[PARAM_shell]);
	fputs(out.p, stdout);
	return EXIT_FINE;
}
