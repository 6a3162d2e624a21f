/* SPDX-License-Identifier: Apache-2.0
 * A scripted model provider for tests and measurements, in four wire formats.
 *
 *   fake-model [--port N]     prints "PORT <n>" when ready; ends on SIGTERM or SIGINT
 *
 *   POST .../chat/completions                   OpenAI's chat completions
 *   POST .../v1/messages                        Anthropic's messages
 *   POST .../models/M:streamGenerateContent     Gemini
 *   POST .../responses                          OpenAI's responses
 *   POST .../embeddings, ...:batchEmbedContents vectors of texts (fake_embed.h)
 *
 * The last user message says what is answered. Its text may begin with directives; what
 * follows them is the payload, whose default answer is its echo:
 *
 *   [chunks K] [size N]       an echo in K chunks; N bytes of text instead
 *   [tool NAME ARGS]          calls tools until their results are there, then "done: ..."
 *   [loop NAME ARGS]          calls it whatever comes back
 *   [clock]                   each chunk is the time at which it was sent
 *   [plain]                   the payload itself instead of its echo, and of "done: ..."
 *   [say N] [think N]         N bytes of text before calls; of thoughts before all
 *   [delay MS] [pause MS]     before the first byte; between chunks
 *   [drip MS]                 between any two bytes
 *   [status CODE [K]]         an HTTP error (the first K requests of this very text)
 *   [retry-after S]           when to come again after such an answer
 *   [quota [K]]               nobody is served before somebody pays
 *   [window T]                a request of more than T tokens (4 bytes each) is refused
 *   [cut K [N]]               closes after K chunks (the first N requests of this text)
 *   [reset K [N]]             resets the connection there
 *   [stall K [N]]             says nothing more there, for ever
 *   [error K [N]]             an error in the stream's own words there
 *   [garbage [N]] [hang [N]]  a data line that is no JSON; silence after the head
 *   [half-head [N]]           closes in the middle of the head
 *   [late]                    all that goes wrong does so behind the tools' results alone
 *
 * What a real provider would refuse is refused in its words: calls without results,
 * roles out of turn, signatures that are not its own. Who says hello in TLS gets plain
 * bytes. FAKE_MODEL_KEY in the environment is the key a client must then present.
 *
 * GET /stats (?reset=1), /last (body of the last such request), /last-head (its path and
 * key), .../models. GET /control sets, for all requests, any of ?key=KEY (empty: any),
 * window=T (-1: none), storm=K (the next K get status=CODE, with retry-after=S). POST
 * /answers sets scripts in place of texts: {"what the user says": "[directives] ..."}. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/die.h"
#include "common/json.h"
#include "tests/fakes/fake_answer.h"
#include "tests/fakes/fake_conn.h"
#include "tests/fakes/fake_context.h"
#include "tests/fakes/fake_embed.h"
#include "tests/fakes/fake_scan.h"
#include "tests/fakes/fake_script.h"

#define BACKLOG 4096
#define KEEP_BYTES (64u << 10)

/* ---- requests for answers */

static bool is_allowed(const struct server *s, struct slice presented)
{
	return !s->key[0] || slice_is(presented, s->key);
}

static void keep_request(struct server *s, const struct request *q, struct slice key)
{
	s->stats.requests++;
	s->stats.last_body = q->body.n;
	strbuf_reset(&s->last);
	strbuf_add_slice(&s->last, q->body);
	strbuf_reset(&s->last_head);
	strbuf_add_str(&s->last_head, "{\"path\":\"");
	json_escape(&s->last_head, q->path);
	strbuf_add_str(&s->last_head, "\",\"key\":\"");
	json_escape(&s->last_head, key);
	strbuf_add_str(&s->last_head, "\"}");
}

/* The server's own refusals come before what the text says. */
static bool is_refused(struct server *s, const struct format *f, const struct chat *c,
		       struct slice key, struct reply *r)
{
	struct refusal refusal = {.message = c->wrong,
				  .status = s->storm_status,
				  .retry_after = slice_str(s->storm_wait),
				  .tokens = c->body.n / 4,
				  .window = (size_t)s->window};
	if (!is_allowed(s, key)) {
		refusal.why = REFUSE_KEY;
	} else if (s->storm > 0) {
		s->storm--;
		refusal.why = REFUSE_STATUS;
		refusal.message = "storm";
	} else if (c->wrong[0]) {
		refusal.why = REFUSE_REQUEST;
	} else if (s->window >= 0 && refusal.tokens > refusal.window) {
		refusal.why = REFUSE_WINDOW;
	} else {
		return false;
	}
	answer_refuse(r, f, refusal);
	return true;
}

/* Puts the script that was set for the user's text into its place. */
static void find_answer(struct server *s)
{
	struct scan answers = scan_of(strbuf_slice(&s->answers));
	struct slice text, script;
	if (!s->answers.n || !s->text.n || !scan_open(&answers, '{'))
		return;
	while (scan_member(&answers, &text, &script)) {
		if (!scan_is(text, s->text.p))
			continue;
		strbuf_reset(&s->text);
		scan_text(script, &s->text);
		return;
	}
}

static void serve_chat(struct server *s, const struct format *f, const struct request *q,
		       struct reply *r)
{
	static struct script script; /* one request at a time is read */
	struct chat chat = {.body = q->body};
	struct slice key = f->key(q);
	keep_request(s, q, key);
	f->scan(&chat, q);
	if (is_refused(s, f, &chat, key, r))
		return;
	strbuf_reset(&s->text);
	strbuf_shrink(&s->text, KEEP_BYTES);
	scan_text(chat.user, &s->text);
	stats_arrival(&s->stats, strbuf_slice(&s->text));
	find_answer(s);
	script_read(&script, strbuf_slice(&s->text));
	context_script(&script, strbuf_slice(&s->text), q->body);
	answer_write(r, f, &chat, &script);
	s->stats.told_in += r->told_in;
	s->stats.told_out += r->told_out;
}

/* ---- what tests ask */

static void serve_stats(struct server *s, struct slice query, struct reply *r)
{
	struct strbuf body = STRBUF_INIT;
	stats_print(&s->stats, &body);
	reply_json(r, 200, strbuf_slice(&body));
	strbuf_fini(&body);
	if (slice_is(query, "reset=1"))
		stats_clear(&s->stats);
}

static bool set(struct server *s, struct slice name, struct slice value)
{
	long long n = 0;
	bool is_number = slice_to_i64(value, &n);
	if (slice_is(name, "key")) {
		snprintf(s->key, sizeof s->key, "%.*s", SLICE_ARG(value));
		return true;
	}
	if (slice_is(name, "retry-after")) {
		snprintf(s->storm_wait, sizeof s->storm_wait, "%.*s", SLICE_ARG(value));
		return true;
	}
	if (slice_is(name, "window"))
		s->window = (long)n;
	else if (slice_is(name, "storm"))
		s->storm = (long)n;
	else if (slice_is(name, "status"))
		s->storm_status = (int)n;
	else
		return false;
	return is_number;
}

static void serve_control(struct server *s, struct slice query, struct reply *r)
{
	while (query.n) {
		struct slice value = slice_cut(&query, '&');
		struct slice name = slice_cut(&value, '=');
		if (!set(s, name, value)) {
			reply_error(r, 400, "nothing that can be set, or no number");
			return;
		}
	}
	reply_json(r, 200, SLICE("{}"));
}

/* Whatever the format, its key and its list. */
static void serve_models(struct server *s, const struct request *q, struct reply *r)
{
	bool google = slice_find(q->path, SLICE("/v1beta/")) >= 0;
	bool anthropic = !google && q->header[HTTP_VERSION].n;
	const struct format *f = google      ? &fake_gemini
				 : anthropic ? &fake_anthropic
					     : &fake_openai;
	if (!is_allowed(s, f->key(q)))
		answer_refuse(r, f, (struct refusal){.why = REFUSE_KEY});
	else if (google)
		reply_json(r, 200, SLICE("{\"models\":[{\"name\":\"models/fake\"}]}"));
	else
		reply_json(r, 200,
			   SLICE("{\"object\":\"list\",\"data\":[{\"id\":\"fake\","
				 "\"object\":\"model\"}]}"));
}

static void serve_get(struct server *s, const struct request *q, struct reply *r)
{
	bool asked = s->stats.requests + s->last.n > 0;
	if (slice_is(q->path, "/stats"))
		serve_stats(s, q->query, r);
	else if (slice_is(q->path, "/last") && asked)
		reply_json(r, 200, strbuf_slice(&s->last));
	else if (slice_is(q->path, "/last-head") && asked)
		reply_json(r, 200, strbuf_slice(&s->last_head));
	else if (slice_is(q->path, "/control"))
		serve_control(s, q->query, r);
	else if (path_ends(q->path, SLICE("/models")))
		serve_models(s, q, r);
	else
		reply_error(r, 404, "no such thing");
}

static void serve_embed(struct server *s, const struct request *q, struct reply *r)
{
	bool google = path_ends(q->path, SLICE(":batchEmbedContents"));
	const struct format *f = google ? &fake_gemini : &fake_openai;
	keep_request(s, q, f->key(q));
	if (is_allowed(s, f->key(q)))
		embed_serve(q->path, q->body, r);
	else
		answer_refuse(r, f, (struct refusal){.why = REFUSE_KEY});
}

bool serve(struct server *s, const struct request *q, struct reply *r)
{
	const struct format *f = slice_is(q->method, "POST") ? format_of(q->path) : NULL;
	if (f) {
		serve_chat(s, f, q, r);
	} else if (slice_is(q->method, "POST") && embed_takes(q->path)) {
		serve_embed(s, q, r);
	} else if (slice_is(q->method, "POST") && slice_is(q->path, "/answers")) {
		strbuf_reset(&s->answers);
		strbuf_add_slice(&s->answers, q->body);
		reply_json(r, 200, SLICE("{}"));
	} else if (slice_is(q->method, "GET")) {
		serve_get(s, q, r);
	} else {
		reply_error(r, 404, "no such thing");
	}
	return f != NULL;
}

/* ---- the process */

static void on_connection(void *arg, int what)
{
	struct server *s = arg;
	(void)what;
	for (;;) {
		int one = 1;
		int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			fatal("no descriptor left for a connection: raise ulimit -n");
		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		conn_new(s, fd);
	}
}

static void on_signal(void *arg, int signo)
{
	struct server *s = arg;
	(void)signo;
	loop_stop(s->loop);
}

/* Returns the port. */
static int start_listening(struct server *s, int port)
{
	int one = 1;
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr *generic = (struct sockaddr *)&a;
	socklen_t n = sizeof a;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
	    bind(s->fd, generic, sizeof a) || listen(s->fd, BACKLOG) ||
	    getsockname(s->fd, generic, &n))
		fatal("port %d of 127.0.0.1 cannot be had: %s", port, strerror(errno));
	s->watch = loop_fd_new(s->loop, s->fd, LOOP_READ, on_connection, s);
	return ntohs(a.sin_port);
}

static int parse_port(int argc, char **argv)
{
	long long port = 0;
	if (argc == 1)
		return 0;
	if (argc != 3 || strcmp(argv[1], "--port") ||
	    !slice_to_i64(slice_str(argv[2]), &port) || port < 0 || port > 65535)
		fatal_usage("usage: fake-model [--port N]");
	return (int)port;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	static struct server s;
	int port = parse_port(argc, argv);
	const char *key = getenv("FAKE_MODEL_KEY");
	snprintf(s.key, sizeof s.key, "%s", key ? key : "");
	s.window = -1;
	s.storm_status = 429;
	list_init(&s.conns);
	raise_descriptor_limit();
	s.loop = loop_new();
	loop_signal(s.loop, SIGTERM, on_signal, &s);
	loop_signal(s.loop, SIGINT, on_signal, &s);
	port = start_listening(&s, port);
	printf("PORT %d\n", port);
	fflush(stdout);
	loop_run(s.loop);
	conn_close_all(&s);
	loop_fd_free(s.watch);
	close(s.fd);
	loop_free(s.loop);
	strbuf_fini(&s.last);
	strbuf_fini(&s.last_head);
	strbuf_fini(&s.answers);
	strbuf_fini(&s.text);
	return 0;
}
