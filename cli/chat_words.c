/* SPDX-License-Identifier: Apache-2.0
 * The commands inside of a talk. What they print is for people, or, with --json, the
 * node's answer as it is. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/chat.h"
#include "cli/plain.h"
#include "cli/report.h"
#include "cli/suggest.h"

#define LINE_MOST 2000
#define HISTORY_DEFAULT 20
#define HISTORY_MOST 200
#define SESSIONS_SHOWN 20

#define WORD(name, function, least, arguments, help)                                     \
	static int function(struct chat *c, struct slice text);
#include "cli/chat_words.tbl"
#undef WORD

static const struct word {
	const char *name;
	int (*run)(struct chat *c, struct slice text);
	bool needs;
	const char *arguments, *help;
} words[] = {
#define WORD(name, function, least, arguments, help)                                     \
	{#name, function, (least) != 0, arguments, help},
#include "cli/chat_words.tbl"
#undef WORD
};

bool chat_is_word(struct slice line)
{
	return line.n > 1 && line.p[0] == '/' && line.p[1] != '/';
}

static int no_such_word(struct slice name)
{
	const char *names[ARRAY_LEN(words)];
	char said[64];
	plain_copy(said, sizeof said, name);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		names[i] = words[i].name;
	const char *near = suggest(said, names, ARRAY_LEN(words));
	if (near)
		report("there is no command /%s. Did you mean /%s?", said, near);
	else
		report("there is no command /%s; /help lists them. A message that begins "
		       "with / is written with two",
		       said);
	return EXIT_USAGE;
}

int chat_word(struct chat *c, struct slice line)
{
	struct slice rest = slice_of(line.p + 1, line.n - 1);
	struct slice name = slice_cut(&rest, ' ');
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		const struct word *w = &words[i];
		if (!slice_is(name, w->name))
			continue;
		struct slice text = slice_trim(rest);
		if (text.n || !w->needs)
			return w->run(c, text);
		report("/%s what? It takes %s: %s", w->name, w->arguments, w->help);
		return EXIT_USAGE;
	}
	return no_such_word(name);
}

/* ---- printing */

static void put_line(struct chat *c, const char *label, struct slice text)
{
	fputs(label, c->out.out);
	plain_put_short(c->out.out, text, LINE_MOST);
	fputc('\n', c->out.out);
	fflush(c->out.out);
}

/* The answer as it is. */
static int print_json(struct chat *c, json_t answer)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	json_print(&b, answer);
	fprintf(c->out.out, "%s\n", b.p);
	fflush(c->out.out);
	return EXIT_FINE;
}

/* "a.b: value" of each member that is no list. */
static void put_members(struct chat *c, json_t object, const char *above)
{
	struct json_iter it = json_iter(object);
	struct slice key;
	for (json_t v; (v = json_next(&it, &key));) {
		AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
		char label[200];
		snprintf(label, sizeof label, "%s%.*s", above, SLICE_ARG(key));
		if (json_kind(v) == JSON_OBJECT) {
			strncat(label, ".", sizeof label - strlen(label) - 1);
			put_members(c, v, label);
			continue;
		}
		if (json_kind(v) == JSON_NULL)
			continue;
		if (json_str(v).p)
			strbuf_add_slice(&text, json_str(v));
		else
			json_print(&text, v);
		strncat(label, ": ", sizeof label - strlen(label) - 1);
		put_line(c, label, strbuf_slice(&text));
	}
}

static int say(struct chat *c, const char *text)
{
	render_note(&c->out, "%s", text);
	return EXIT_FINE;
}

/* ---- which session */

static int take_key(struct chat *c, struct slice key)
{
	if (key.n > CHAT_KEY_MOST) {
		report("a session's key has 512 bytes at most");
		return EXIT_USAGE;
	}
	snprintf(c->session, sizeof c->session, "%.*s", SLICE_ARG(key));
	c->run[0] = 0;
	render_note(&c->out, "session %s of agent %s", c->session, c->agent);
	return EXIT_FINE;
}

static int word_new(struct chat *c, struct slice text)
{
	char fresh[5 + UUID_TEXT_LEN + 1] = "chat-";
	uuid_format(uuid7_new(), fresh + 5);
	return take_key(c, text.n ? text : slice_str(fresh));
}

static int word_session(struct chat *c, struct slice text)
{
	return take_key(c, text);
}

static int word_agent(struct chat *c, struct slice text)
{
	if (text.n >= sizeof c->agent) {
		report("an agent's name has 63 bytes at most");
		return EXIT_USAGE;
	}
	snprintf(c->agent, sizeof c->agent, "%.*s", SLICE_ARG(text));
	return word_new(c, SLICE_NONE);
}

static int word_model(struct chat *c, struct slice text)
{
	if (text.n >= sizeof c->model) {
		report("a model's name has 250 bytes at most");
		return EXIT_USAGE;
	}
	snprintf(c->model, sizeof c->model, "%.*s", SLICE_ARG(text));
	return say(c, text.n ? "the next messages are answered by that model"
			     : "the agent's own model answers again");
}

static struct json_doc *read_sessions(struct chat *c, int *status)
{
	AUTO(strbuf_fini) struct strbuf agent = STRBUF_INIT;
	follow_encode(&agent, c->agent);
	return chat_ask(c, "GET", SLICE_NONE, status, "/v1/sessions?limit=%d&agent=%s",
			SESSIONS_SHOWN, agent.p);
}

static void put_sessions(struct chat *c, json_t sessions)
{
	struct json_iter it = json_iter(sessions);
	int n = 0;
	for (json_t s; (s = json_next(&it, NULL));) {
		AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
		char label[16];
		int64_t messages = 0;
		snprintf(label, sizeof label, "%3d  ", ++n);
		json_i64(json_get(s, "messages"), &messages);
		strbuf_printf(&text, "%s  %lld messages, %s",
			      json_cstr(json_get(s, "sessionKey"), "?"),
			      (long long)messages,
			      json_cstr(json_get(s, "lastActiveAt"), "never active"));
		if (json_get(s, "title"))
			strbuf_printf(&text, "  %s", json_cstr(json_get(s, "title"), ""));
		put_line(c, label, strbuf_slice(&text));
	}
	if (!n)
		say(c, "the agent has no sessions yet");
}

static int word_sessions(struct chat *c, struct slice text)
{
	int status;
	(void)text;
	AUTO(auto_json_free) struct json_doc *d = read_sessions(c, &status);
	if (!d)
		return status;
	if (c->json)
		return print_json(c, json_root(d));
	put_sessions(c, json_get(json_root(d), "sessions"));
	return EXIT_FINE;
}

int chat_pick(struct chat *c)
{
	int status;
	bool interrupted;
	long long n;
	struct slice said;
	AUTO(auto_json_free) struct json_doc *d = read_sessions(c, &status);
	json_t sessions = json_get(json_root(d), "sessions");
	if (!d)
		return status;
	put_sessions(c, sessions);
	while (json_len(sessions)) {
		fputs("which one? its number, or nothing for a new one: ", stdout);
		fflush(stdout);
		ssize_t got = getline(&c->line, &c->line_room, stdin);
		interrupted = got < 0;
		said = interrupted ? SLICE("")
				   : slice_trim(slice_of(c->line, (size_t)got));
		if (!said.n)
			break;
		if (!slice_to_i64(said, &n) || n < 1 || n > (long long)json_len(sessions))
			continue;
		snprintf(c->session, sizeof c->session, "%s",
			 json_cstr(
				 json_get(json_at(sessions, (size_t)n - 1), "sessionKey"),
				 c->session));
		break;
	}
	return EXIT_FINE;
}

/* ---- what stands in it */

/* The texts of a message; of what is no text, what it is. */
static void put_message(struct chat *c, json_t message)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	json_t blocks = json_get(json_get(message, "content"), "blocks");
	struct json_iter it = json_iter(blocks);
	char label[32];
	for (json_t b; (b = json_next(&it, NULL));) {
		struct slice type = json_str(json_get(b, "type"));
		if (text.n)
			strbuf_add_char(&text, '\n');
		if (slice_is(type, "text")) {
			strbuf_add_slice(&text, json_str(json_get(b, "text")));
			continue;
		}
		strbuf_printf(&text, "[%.*s %s]", SLICE_ARG(type),
			      json_cstr(json_get(b, "name"), ""));
	}
	snprintf(label, sizeof label, "%s: ", json_cstr(json_get(message, "role"), "?"));
	fputs(label, c->out.out);
	plain_put(c->out.out, strbuf_slice(&text), true);
	fputc('\n', c->out.out);
}

static int word_history(struct chat *c, struct slice text)
{
	int status;
	long long n = HISTORY_DEFAULT;
	if (text.n && (!slice_to_i64(text, &n) || n < 1 || n > HISTORY_MOST)) {
		report("/history takes a number from 1 to %d", HISTORY_MOST);
		return EXIT_USAGE;
	}
	AUTO(auto_json_free)
	struct json_doc *d = chat_ask(c, "GET", SLICE_NONE, &status,
				      "%s/messages?limit=%lld", chat_path(c), n);
	json_t messages = json_get(json_root(d), "messages");
	if (!d)
		return status;
	if (c->json)
		return print_json(c, json_root(d));
	for (size_t i = json_len(messages); i-- > 0;)
		put_message(c, json_at(messages, i));
	fflush(c->out.out);
	return EXIT_FINE;
}

static int show(struct chat *c, const char *path)
{
	int status;
	AUTO(auto_json_free)
	struct json_doc *d = chat_ask(c, "GET", SLICE_NONE, &status, "%s", path);
	if (!d)
		return status;
	if (c->json)
		return print_json(c, json_root(d));
	put_members(c, json_root(d), "");
	return EXIT_FINE;
}

static int word_context(struct chat *c, struct slice text)
{
	AUTO(strbuf_fini) struct strbuf path = STRBUF_INIT;
	(void)text;
	strbuf_printf(&path, "%s/context", chat_path(c));
	return show(c, path.p);
}

static int word_usage(struct chat *c, struct slice text)
{
	char path[80];
	int status;
	(void)text;
	if (!*c->run)
		return say(c, "there was no run yet");
	snprintf(path, sizeof path, "/v1/runs/%s", c->run);
	AUTO(auto_json_free)
	struct json_doc *d = chat_ask(c, "GET", SLICE_NONE, &status, "%s", path);
	json_t usage = json_get(json_root(d), "usage");
	if (!d)
		return status;
	if (c->json)
		return print_json(c, usage ? usage : json_root(d));
	put_members(c, usage, "");
	return EXIT_FINE;
}

static bool write_piece(void *arg, struct slice piece)
{
	const int *fd = arg;
	while (piece.n) {
		ssize_t n = write(*fd, piece.p, piece.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		piece = slice_of(piece.p + n, piece.n - (size_t)n);
	}
	return true;
}

/* Into a new file: a talk overwrites nothing. */
static int word_export(struct chat *c, struct slice text)
{
	AUTO(strbuf_fini) struct strbuf path = STRBUF_INIT, file = STRBUF_INIT;
	struct node_answer a;
	int status = EXIT_FINE;
	strbuf_add_slice(&file, text);
	int fd = open(file.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		report("%s: %s", file.p, strerror(errno));
		return EXIT_FAILED;
	}
	strbuf_printf(&path, "%s/export", chat_path(c));
	node_call(&c->node,
		  &(struct node_request){.method = "GET",
					 .path = path.p,
					 .on_piece = write_piece,
					 .arg = &fd},
		  &a);
	if (a.err || a.status != 200) {
		node_report(&c->node, &a);
		status = a.err ? EXIT_AWAY : EXIT_FAILED;
		unlink(file.p);
	}
	node_answer_fini(&a);
	close(fd);
	return status;
}

/* ---- jobs of the session */

/* The answer of the acceptance, once the job is done. */
static struct json_doc *do_job(struct chat *c, const char *tail,
			       const struct strbuf *body, int *status)
{
	struct json_doc *d = chat_ask(c, "POST", body ? strbuf_slice(body) : SLICE_NONE,
				      status, "%s%s", chat_path(c), tail);
	if (d)
		*status = chat_wait(c, json_root(d));
	return d;
}

static int word_compact(struct chat *c, struct slice text)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	int status;
	json_obj(&o);
	if (text.n)
		json_kv_str(&o, "focus", text);
	json_obj_end(&o);
	json_free(do_job(c, "/compact", &b, &status));
	return status ? status : say(c, "compacted");
}

static int word_reset(struct chat *c, struct slice text)
{
	int status;
	(void)text;
	json_free(do_job(c, "/reset", NULL, &status));
	return status ? status : say(c, "models see nothing of what stands before this");
}

static int word_fork(struct chat *c, struct slice text)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	int status;
	json_obj(&o);
	json_kv_str(&o, "sessionKey", text);
	json_obj_end(&o);
	json_free(do_job(c, "/fork", &b, &status));
	return status ? status : take_key(c, text);
}

static int word_retry(struct chat *c, struct slice text)
{
	int status;
	struct uuid run;
	(void)text;
	AUTO(auto_json_free)
	struct json_doc *d =
		chat_ask(c, "POST", SLICE_NONE, &status, "%s/regenerate", chat_path(c));
	if (!d)
		return status;
	if (!uuid_parse(json_str(json_get(json_root(d), "runId")), &run)) {
		report("%s named no run: is this a Terabits node?", c->node.url);
		return EXIT_FAILED;
	}
	return chat_follow(c, run);
}

static int word_cancel(struct chat *c, struct slice text)
{
	AUTO(strbuf_fini) struct strbuf run = STRBUF_INIT;
	struct uuid id;
	int status;
	strbuf_add_slice(&run, text.n ? text : slice_str(c->run));
	if (!uuid_parse(strbuf_slice(&run), &id))
		return say(c, text.n ? "a run is named by its uuid"
				     : "there was no run yet");
	AUTO(auto_json_free)
	struct json_doc *d =
		chat_ask(c, "POST", SLICE_NONE, &status, "/v1/runs/%s/cancel", run.p);
	if (!d)
		return status;
	return say(c, json_cstr(json_get(json_root(d), "status"), "?"));
}

/* ---- the rest */

static int word_help(struct chat *c, struct slice text)
{
	(void)text;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		char usage[40];
		snprintf(usage, sizeof usage, "/%s %s", words[i].name,
			 words[i].arguments);
		fprintf(c->out.out, "%-18s %s\n", usage, words[i].help);
	}
	fputs("A line that ends in \\ goes on in the next one; // begins a message with "
	      "/.\n",
	      c->out.out);
	fflush(c->out.out);
	return EXIT_FINE;
}

static int word_quit(struct chat *c, struct slice text)
{
	(void)text;
	c->leave = true;
	return EXIT_FINE;
}
