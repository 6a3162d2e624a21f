/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl session: conversations and their transcripts, by the node's HTTP door. What
 * changes one is a job of its lane: the command waits for its end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/follow.h"
#include "cli/node.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/json.h"

#define ANSWER_MOST ((size_t)64 << 20)
#define WAIT_MS "60000"
#define WAIT_US 90000000
/* Of an import: a part, if its lines allow. */
#define PART_BYTES ((size_t)512 << 10)

struct door {
	const struct args *args;
	struct node node;
	struct strbuf path, body; /* of the request; of the answer */
	int fd;                   /* where an export goes; -1: into body */
	int broken;               /* errno of that */
	char run[UUID_TEXT_LEN + 1];
};

/* ---- one request */

static int open_door(struct door *d, const struct args *a)
{
	static struct config config;
	*d = (struct door){.args = a, .fd = -1};
	config_load(&config);
	return node_open(&d->node, &config, NODE_TOKEN);
}

static int close_door(struct door *d, int status)
{
	node_close(&d->node);
	strbuf_fini(&d->path);
	strbuf_fini(&d->body);
	if (d->fd > STDERR_FILENO)
		close(d->fd);
	return status;
}

/* The path of the session that the command names, by id or, with an agent, by key. */
static void path_of(struct door *d, const char *tail)
{
	struct uuid id;
	const char *session = args_text(d->args, PARAM_session, "");
	strbuf_reset(&d->path);
	if (uuid_parse(slice_str(session), &id)) {
		strbuf_add_str(&d->path, "/v1/sessions/");
	} else {
		strbuf_add_str(&d->path, "/v1/agents/");
		follow_encode(&d->path, args_text(d->args, PARAM_agent, "main"));
		strbuf_add_str(&d->path, "/sessions/");
	}
	follow_encode(&d->path, session);
	strbuf_add_str(&d->path, tail);
}

static void add_query(struct door *d, const char *name, const char *value)
{
	if (!value)
		return;
	strbuf_add_char(&d->path, memchr(d->path.p, '?', d->path.n) ? '&' : '?');
	strbuf_add_str(&d->path, name);
	strbuf_add_char(&d->path, '=');
	follow_encode(&d->path, value);
}

static bool write_all(struct door *d, struct slice piece)
{
	while (piece.n) {
		ssize_t n = write(d->fd, piece.p, piece.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			d->broken = errno;
			return false;
		}
		piece = slice_of(piece.p + n, piece.n - (size_t)n);
	}
	return true;
}

static bool on_piece(void *arg, struct slice piece)
{
	struct door *d = arg;
	if (d->fd >= 0)
		return write_all(d, piece);
	strbuf_add_slice(&d->body, piece);
	return d->body.n <= ANSWER_MOST;
}

/* EXIT_FINE: the answer, if it is JSON, is in d->body. */
static int ask(struct door *d, const char *method, struct slice body)
{
	struct node_answer a;
	int status = EXIT_FINE;
	strbuf_reset(&d->body);
	node_call(&d->node,
		  &(struct node_request){.method = method,
					 .path = d->path.p,
					 .body = body,
					 .on_piece = on_piece,
					 .arg = d},
		  &a);
	snprintf(d->run, sizeof d->run, "%s", a.run);
	if (d->broken) {
		report("%s: %s", args_text(d->args, PARAM_local, "-"),
		       strerror(d->broken));
		status = EXIT_FAILED;
	} else if (a.err || a.status / 100 != 2) {
		node_report(&d->node, &a);
		status = a.err ? EXIT_AWAY : a.status == 404 ? EXIT_ABSENT : EXIT_FAILED;
	}
	if (!d->body.n)
		strbuf_add_slice(&d->body, strbuf_slice(&a.body));
	node_answer_fini(&a);
	return status;
}

static int print(struct door *d)
{
	AUTO(auto_json_free)
	struct json_doc *j = json_parse(strbuf_slice(&d->body), ANSWER_MOST, NULL, 0);
	ask_print(d->args, slice_trim(strbuf_slice(&d->body)), json_root(j));
	return EXIT_FINE;
}

static int get(const struct args *a, const char *tail, bool limited)
{
	struct door d;
	if (open_door(&d, a))
		return close_door(&d, EXIT_FAILED);
	path_of(&d, tail);
	if (limited)
		add_query(&d, "limit", args_text(a, PARAM_limit, NULL));
	int status = ask(&d, "GET", SLICE_NONE);
	return close_door(&d, status ? status : print(&d));
}

/* ---- reading */

int session_list_command(const struct args *a)
{
	struct door d;
	if (open_door(&d, a))
		return close_door(&d, EXIT_FAILED);
	strbuf_add_str(&d.path, "/v1/sessions");
	add_query(&d, "agent", args_text(a, PARAM_agent, NULL));
	add_query(&d, "status", args_text(a, PARAM_session_status, NULL));
	add_query(&d, "limit", args_text(a, PARAM_limit, NULL));
	int status = ask(&d, "GET", SLICE_NONE);
	return close_door(&d, status ? status : print(&d));
}

int session_show_command(const struct args *a)
{
	return get(a, "", false);
}

int session_history_command(const struct args *a)
{
	return get(a, "/messages", true);
}

int session_snapshots_command(const struct args *a)
{
	return get(a, "/snapshots", false);
}

int session_skills_command(const struct args *a)
{
	struct door d;
	if (!args_has(a, O(refresh)))
		return get(a, "/skills", false);
	if (open_door(&d, a))
		return close_door(&d, EXIT_FAILED);
	path_of(&d, "/skills");
	int status = ask(&d, "POST", SLICE_NONE);
	return close_door(&d, status ? status : print(&d));
}

static void join_words(struct strbuf *b, const struct args *a)
{
	for (int i = 0; i < a->rest_count; i++) {
		if (i)
			strbuf_add_char(b, ' ');
		strbuf_add_str(b, a->rest[i]);
	}
}

static bool is_complete(const struct door *d)
{
	AUTO(auto_json_free)
	struct json_doc *j = json_parse(strbuf_slice(&d->body), ANSWER_MOST, NULL, 0);
	return json_bool(json_get(json_root(j), "complete"), true);
}

/* A first search takes the words of what it searches in, piece by piece. */
int session_search_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf words = STRBUF_INIT;
	struct door d;
	int status;
	if (open_door(&d, a))
		return close_door(&d, EXIT_FAILED);
	join_words(&words, a);
	strbuf_add_char(&words, 0);
	if (args_has(a, O(session))) {
		path_of(&d, "/messages/search");
	} else {
		strbuf_add_str(&d.path, "/v1/agents/");
		follow_encode(&d.path, args_text(a, PARAM_agent, "main"));
		strbuf_add_str(&d.path, "/messages/search");
	}
	add_query(&d, "q", words.p);
	add_query(&d, "limit", args_text(a, PARAM_limit, NULL));
	do
		status = ask(&d, "GET", SLICE_NONE);
	while (!status && !is_complete(&d));
	return close_door(&d, status ? status : print(&d));
}

/* ---- jobs */

static int wait_for_job(struct door *d)
{
	char run[sizeof d->run];
	AUTO(strbuf_fini) struct strbuf accepted = STRBUF_INIT;
	snprintf(run, sizeof run, "%s", d->run);
	strbuf_add_slice(&accepted, strbuf_slice(&d->body));
	strbuf_reset(&d->path);
	strbuf_printf(&d->path, "/v1/runs/%s/wait?timeoutMs=" WAIT_MS, run);
	int status = ask(d, "GET", SLICE_NONE);
	if (status)
		return status;
	AUTO(auto_json_free)
	struct json_doc *j = json_parse(strbuf_slice(&d->body), ANSWER_MOST, NULL, 0);
	json_t end = json_root(j);
	struct slice word = json_str(json_get(end, "status"));
	strbuf_reset(&d->body);
	strbuf_add_slice(&d->body, strbuf_slice(&accepted));
	if (slice_is(word, "ok"))
		return EXIT_FINE;
	if (slice_is(word, "timeout")) {
		report("it has not been done yet: 'terabitsctl run wait %s'", run);
		return EXIT_TIMEOUT;
	}
	report("it was not done: %s",
	       json_cstr(json_get(json_get(end, "error"), "message"), "no reason given"));
	return EXIT_FAILED;
}

static int post(struct door *d, const char *method, struct slice body)
{
	int status = ask(d, method, body);
	return status ? status : wait_for_job(d);
}

static int do_job(const struct args *a, const char *method, const char *tail,
		  const struct strbuf *body)
{
	struct door d;
	if (open_door(&d, a))
		return close_door(&d, EXIT_FAILED);
	path_of(&d, tail);
	int status = post(&d, method, body ? strbuf_slice(body) : SLICE_NONE);
	return close_door(&d, status ? status : print(&d));
}

int session_append_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT, text = STRBUF_INIT;
	struct json_out o = json_out(&b);
	join_words(&text, a);
	json_obj(&o);
	json_kv_cstr(&o, "role", args_text(a, PARAM_role, "user"));
	json_kv_str(&o, "message", strbuf_slice(&text));
	json_obj_end(&o);
	return do_job(a, "POST", "/append", &b);
}

int session_reset_command(const struct args *a)
{
	return do_job(a, "POST", "/reset", NULL);
}

int session_compact_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	if (args_has(a, O(focus)))
		json_kv_cstr(&o, "focus", a->text[PARAM_focus]);
	if (args_has(a, O(keep)))
		json_kv_i64(&o, "keepRecentMessages", a->number[PARAM_keep]);
	if (args_has(a, O(target)))
		json_kv_i64(&o, "targetTokenCount", a->number[PARAM_target]);
	json_obj_end(&o);
	return do_job(a, "POST", "/compact", &b);
}

int session_restore_command(const struct args *a)
{
	char tail[64];
	snprintf(tail, sizeof tail, "/snapshots/%lld/restore",
		 (long long)a->number[PARAM_version]);
	return do_job(a, "POST", tail, NULL);
}

int session_fork_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_kv_cstr(&o, "sessionKey", a->text[PARAM_new_key]);
	if (args_has(a, O(up_to)))
		json_kv_i64(&o, "upToSeq", a->number[PARAM_up_to]);
	json_obj_end(&o);
	return do_job(a, "POST", "/fork", &b);
}

int session_archive_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_str(&b, args_has(a, O(undo)) ? "{\"archived\":false}" : "{}");
	return do_job(a, "POST", "/archive", &b);
}

int session_regenerate_command(const struct args *a)
{
	return do_job(a, "POST", "/regenerate", NULL);
}

int session_delete_command(const struct args *a)
{
	return do_job(a, "DELETE", "", NULL);
}

/* ---- export and import */

static int open_local(struct door *d, int flags)
{
	const char *path = args_text(d->args, PARAM_local, "-");
	bool writes = flags != O_RDONLY;
	d->fd = strcmp(path, "-") ? open(path, flags | O_CLOEXEC, 0600)
		: writes          ? STDOUT_FILENO
				  : STDIN_FILENO;
	if (d->fd < 0)
		report("%s: %s", path, strerror(errno));
	return d->fd < 0;
}

int session_export_command(const struct args *a)
{
	struct door d;
	if (open_door(&d, a) || open_local(&d, O_WRONLY | O_CREAT | O_TRUNC))
		return close_door(&d, EXIT_FAILED);
	path_of(&d, "/export");
	return close_door(&d, ask(&d, "GET", SLICE_NONE));
}

static int read_local(struct door *d, struct strbuf *out)
{
	ssize_t n;
	do {
		char *to = strbuf_reserve(out, 1 << 16);
		n = read(d->fd, to, 1 << 16);
		out->n += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		report("%s: %s", args_text(d->args, PARAM_local, "-"), strerror(errno));
	return n < 0;
}

/* Where the next part ends: behind PART_BYTES, in front of a message that is no result.
 * A long line is a part of its own. */
static size_t part_end(struct slice text)
{
	static const char result[] = "\"role\":\"tool\"";
	size_t end = 0;
	while (end < text.n) {
		const char *at = memchr(text.p + end, '\n', text.n - end);
		size_t line = at ? (size_t)(at - text.p) + 1 - end : text.n - end;
		size_t look = line < 80 ? line : 80;
		bool is_result =
			memmem(text.p + end, look, result, sizeof result - 1) != NULL;
		if (end && end + line > PART_BYTES && !is_result)
			break;
		end += line;
	}
	return end;
}

int session_import_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	struct door d;
	int status = EXIT_FINE;
	size_t done = 0;
	if (open_door(&d, a) || open_local(&d, O_RDONLY) || read_local(&d, &text))
		return close_door(&d, EXIT_FAILED);
	if (d.fd > STDERR_FILENO)
		close(d.fd);
	d.fd = -1;
	do {
		struct slice rest = slice_of(text.p + done, text.n - done);
		size_t n = part_end(rest);
		path_of(&d, "/import");
		status = post(&d, "POST", slice_of(rest.p, n));
		if (status && done)
			report("what stands in the file's first %zu bytes was imported",
			       done);
		done += n;
	} while (!status && done < text.n);
	return close_door(&d, status ? status : print(&d));
}
