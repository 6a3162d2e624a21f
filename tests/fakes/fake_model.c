/* SPDX-License-Identifier: Apache-2.0
 * A scripted, OpenAI-compatible chat-completions server for tests and measurements.
 *
 *   fake-model [--port N]     prints "PORT <n>" when ready; ends on SIGTERM or SIGINT
 *
 * POST .../chat/completions answers as the last user message says. Its text may begin
 * with directives; what follows them is the payload, whose default answer is its echo:
 *
 *   [chunks K] [size N]       an echo in K chunks; N bytes of text instead
 *   [tool NAME ARGS]          calls tools until their results are there, then "done: ..."
 *   [loop NAME ARGS]          calls it whatever comes back
 *   [delay MS] [pause MS]     before the first byte; between chunks
 *   [status CODE [K]]         an HTTP error (the first K requests of this very text)
 *   [retry-after S]           a header of such an answer
 *   [cut K [N]]               closes after K chunks (the first N requests of this text)
 *   [garbage [N]] [hang [N]]  a data line that is no JSON; silence after the head
 *
 * FAKE_MODEL_KEY in the environment is the key a client must then present. GET /stats
 * (?reset=1), GET /last (body of the last chat request), GET .../models. */
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
#include "tests/fakes/fake_conn.h"
#include "tests/fakes/fake_context.h"
#include "tests/fakes/fake_scan.h"
#include "tests/fakes/fake_script.h"

#define BACKLOG 4096
#define KEEP_BYTES (64u << 10)

static bool has_suffix(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0;
}

static bool is_allowed(const struct server *s, struct slice authorization)
{
	struct slice bearer = SLICE("Bearer ");
	if (!s->key)
		return true;
	if (!slice_has_prefix(authorization, bearer))
		return false;
	return slice_is(slice_of(authorization.p + bearer.n, authorization.n - bearer.n),
			s->key);
}

static void serve_chat(struct server *s, const struct request *q, struct reply *r)
{
	static struct script script; /* one request at a time is read */
	struct chat chat;
	s->stats.requests++;
	s->stats.last_body = q->body.n;
	strbuf_reset(&s->last);
	strbuf_add_slice(&s->last, q->body);
	if (!chat_scan(&chat, q->body)) {
		reply_error(r, 400, "not a JSON object with messages");
		return;
	}
	strbuf_reset(&s->text);
	strbuf_shrink(&s->text, KEEP_BYTES);
	scan_text(chat.user, &s->text);
	stats_arrival(&s->stats, strbuf_slice(&s->text));
	script_read(&script, strbuf_slice(&s->text));
	context_script(&script, strbuf_slice(&s->text), q->body);
	reply_chat(r, &chat, &script);
}

static void serve_stats(struct server *s, struct slice query, struct reply *r)
{
	struct strbuf body = STRBUF_INIT;
	stats_print(&s->stats, &body);
	reply_json(r, 200, strbuf_slice(&body));
	strbuf_fini(&body);
	if (slice_is(query, "reset=1"))
		stats_clear(&s->stats);
}

static void serve_get(struct server *s, const struct request *q, struct reply *r)
{
	struct slice query = q->path, path = slice_cut(&query, '?');
	if (slice_is(path, "/stats"))
		serve_stats(s, query, r);
	else if (slice_is(path, "/last") && s->stats.requests + s->last.n > 0)
		reply_json(r, 200, strbuf_slice(&s->last));
	else if (!has_suffix(path, SLICE("/models")))
		reply_error(r, 404, "no such thing");
	else if (!is_allowed(s, q->authorization))
		reply_error(r, 401, "wrong key");
	else
		reply_json(r, 200,
			   SLICE("{\"object\":\"list\",\"data\":[{\"id\":\"fake\","
				 "\"object\":\"model\"}]}"));
}

bool serve(struct server *s, const struct request *q, struct reply *r)
{
	struct slice query = q->path, path = slice_cut(&query, '?');
	bool is_chat = slice_is(q->method, "POST") &&
		       has_suffix(path, SLICE("/chat/completions"));
	if (is_chat && !is_allowed(s, q->authorization))
		reply_error(r, 401, "wrong key");
	else if (is_chat)
		serve_chat(s, q, r);
	else if (slice_is(q->method, "GET"))
		serve_get(s, q, r);
	else
		reply_error(r, 404, "no such thing");
	return is_chat;
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
	s.key = key && *key ? key : NULL;
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
	strbuf_fini(&s.text);
	return 0;
}
