/* SPDX-License-Identifier: Apache-2.0
 * The one path of all commands that the node answers. */
#include "cli/ask.h"

#include <stdio.h>
#include <string.h>

#include "cli/admin.h"
#include "cli/table.h"
#include "common/attr.h"
#include "common/config.h"

#define PEEK_MOST 1000
#define LIMIT_DEFAULT 50

static const struct sentence {
	enum command_id command;
	const char *path, *is, *is_not;
} sentences[] = {
#define COLUMN(command, section, path, title, format)
#define SAY(command, path, is, is_not) {COMMAND_##command, path, is, is_not},
#define PEEK(command, peek, section, filter, sentence)
#define ONE_OF(command, set)
#define NEEDS(command, option)
#include "cli/answers.tbl"
#undef SAY
#undef PEEK
};

static const struct peek {
	enum command_id command, peek;
	const char *section;
	table_filter *keep;
	const char *sentence;
} peeks[] = {
#define SAY(command, path, is, is_not)
#define PEEK(command, peek, section, filter, sentence)                                   \
	{COMMAND_##command, COMMAND_##peek, section, filter, sentence},
#include "cli/answers.tbl"
#undef COLUMN
#undef SAY
#undef PEEK
#undef ONE_OF
#undef NEEDS
};

/* ---- the request */

static void put_param(struct json_out *o, const struct args *a, enum param_id id)
{
	const struct param *p = param_of(id);
	json_key(o, p->key);
	if (p->kind == PARAM_IS_FLAG)
		json_put_bool(o, true);
	else if (p->kind == PARAM_IS_NOTHING)
		json_put_null(o);
	else if (p->kind == PARAM_IS_NUMBER)
		json_put_i64(o, a->number[id]);
	else
		json_put_cstr(o, a->text[id]);
}

/* What a command's row takes. */
static param_set taken(const struct command *c)
{
	param_set set = c->options;
	for (int i = 0; i < c->words.count; i++)
		set |= (param_set)1 << c->words.id[i];
	return set;
}

void ask_compose(struct strbuf *out, const struct args *a, const struct command *cmd)
{
	char name[60];
	param_set set = a->given & taken(cmd);
	snprintf(name, sizeof name, "%s%s%s", cmd->noun, *cmd->verb ? "." : "",
		 cmd->verb);
	struct json_out o = admin_begin(out, name);
	for (int i = 0; i < PARAM__COUNT; i++)
		if ((set >> i & 1) && *param_of((enum param_id)i)->key)
			put_param(&o, a, (enum param_id)i);
	admin_end(&o);
}

/* ---- the answer */

/* One "{x}" of a sentence, by the answer, else by what was asked. */
static void put_named(struct strbuf *out, const struct args *a, json_t answer,
		      const char *key)
{
	json_t v = table_at(answer, key);
	for (int i = 0; !v && i < PARAM__COUNT; i++)
		if ((a->given >> i & 1) && a->text[i] &&
		    !strcmp(param_of((enum param_id)i)->key, key)) {
			strbuf_add_str(out, a->text[i]);
			return;
		}
	table_put(out, v, FORMAT_TEXT);
}

static void put_sentence(struct strbuf *out, const struct args *a, json_t answer,
			 const char *text)
{
	for (const char *p = text; *p;) {
		char key[40];
		size_t n = *p == '{' ? strcspn(p, "}") : 0;
		if (n < 2 || n > sizeof key) {
			strbuf_add_char(out, *p++);
			continue;
		}
		memcpy(key, p + 1, n - 1);
		key[n - 1] = 0;
		put_named(out, a, answer, key);
		p += n + 1;
	}
	strbuf_add_char(out, '\n');
}

static int is_so(json_t answer, const char *path)
{
	json_t v = table_at(answer, path);
	enum json_kind kind = json_kind(v);
	return kind == JSON_BOOL ? json_bool(v, false)
				 : kind != JSON_ABSENT && kind != JSON_NULL;
}

void ask_print(const struct args *a, struct slice line, json_t answer)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT, said = STRBUF_INIT;
	struct table_view view = {.command = command_id(a->command), .args = a};
	if (args_wants_json(a)) {
		printf("%.*s\n", SLICE_ARG(line));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(sentences); i++)
		if (sentences[i].command == view.command)
			put_sentence(&said, a, answer,
				     is_so(answer, sentences[i].path)
					     ? sentences[i].is
					     : sentences[i].is_not);
	table_print(&out, answer, &view);
	fputs(said.n ? said.p : "", stdout);
	fputs(out.n ? out.p : "", stdout);
}

/* ---- dry runs */

/* The queue's states of a run that has not started. */
int ask_is_waiting(const struct args *a, json_t run)
{
	static const char *const states[] = {"queued", "scheduled", "folded"};
	(void)a;
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (slice_is(json_str(json_get(run, "state")), states[i]))
			return 1;
	return 0;
}

int ask_is_dead(const struct args *a, json_t dead)
{
	const char *run = args_text(a, PARAM_run, NULL);
	const char *reason = args_text(a, PARAM_reason, NULL);
	return !is_so(dead, "redrivenAs") &&
	       (!run || slice_ieq(json_str(json_get(dead, "run")), slice_str(run))) &&
	       (!reason || slice_is(json_str(json_get(dead, "reason")), reason));
}

/* The items that the filter keeps, as {"<section>":[..]}. */
static void print_kept(const struct args *a, json_t answer, const struct peek *p,
		       long limit)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	struct json_iter it = json_iter(json_get(answer, p->section));
	long kept = 0;
	json_obj(&o);
	json_kv_bool(&o, "dryRun", true);
	json_key(&o, p->section);
	json_arr(&o);
	for (json_t item; (item = json_next(&it, NULL));)
		if (kept < limit && p->keep(a, item)) {
			json_put_value(&o, item);
			kept++;
		}
	json_arr_end(&o);
	json_obj_end(&o);
	printf("%s\n", b.p);
}

static void print_peek(const struct args *a, json_t answer, const struct peek *p)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	long limit = a->command->options & O(limit)
			     ? args_number(a, PARAM_limit, LIMIT_DEFAULT)
			     : PEEK_MOST;
	struct table_view view = {p->peek, p->section, p->keep, a, limit};
	if (args_wants_json(a)) {
		print_kept(a, answer, p, limit);
		return;
	}
	table_print(&out, answer, &view);
	printf("%s; nothing was changed:\n%s", p->sentence, out.n ? out.p : "");
}

static const struct peek *peek_of(const struct args *a)
{
	for (size_t i = 0; i < ARRAY_LEN(peeks); i++)
		if (peeks[i].command == command_id(a->command))
			return args_has(a, O(dry_run)) ? &peeks[i] : NULL;
	return NULL;
}

/* The filter looks at all there is before the limit counts. */
static void compose_peek(struct strbuf *out, const struct args *a, const struct peek *p)
{
	struct args wide = *a;
	const struct command *c = command_at(p->peek);
	if (c->options & O(limit)) {
		wide.given |= O(limit);
		wide.number[PARAM_limit] = PEEK_MOST;
	}
	ask_compose(out, &wide, c);
}

/* ---- the command */

int ask_command(const struct args *a)
{
	static struct config config;
	AUTO(strbuf_fini) struct strbuf request = STRBUF_INIT, line = STRBUF_INIT;
	const struct peek *p = peek_of(a);
	int status;
	config_load(&config);
	if (p)
		compose_peek(&request, a, p);
	else
		ask_compose(&request, a, a->command);
	AUTO(auto_json_free)
	struct json_doc *d =
		admin_ask(config.state_dir, strbuf_slice(&request), &line, &status);
	if (!d)
		return status;
	if (p)
		print_peek(a, json_root(d), p);
	else
		ask_print(a, strbuf_slice(&line), json_root(d));
	return EXIT_FINE;
}
