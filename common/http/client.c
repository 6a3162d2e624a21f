/* SPDX-License-Identifier: Apache-2.0
 * curl's multi interface as sources of the loop.
 *
 * Curl's callbacks only store; a finished transfer completes its op from the same
 * callback (ops wake tasks, nothing more). Handles are never freed inside curl: a
 * cancelled call is taken out at the turn's end. New calls are sent by the turn's
 * CONNECTIONS hook, so a step's request leaves in the turn that made it. */
#include "common/http/client.h"

#include <curl/curl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/alloc.h"
#include "common/die.h"
#include "common/url_guard.h"
#include "common/list.h"
#include "common/loop.h"

#define CONNECT_US 10000000
#define FIRST_BYTE_US 60000000
#define IDLE_US 60000000
#define SPARE_HANDLES 256
#define BUFFER_BYTES 16384L

struct http_client {
	struct loop *loop;
	struct http_client
		*guarded; /* the one of guarded requests; NULL: none are taken */
	bool is_guarded;
	int max_connections;
	CURLM *multi;
	struct loop_timer *timer;
	struct list calls, spare, cancelled;
	struct list ended; /* finished in this turn, not reaped yet */
	int spare_count;
	int fresh; /* calls were added this turn */
};

struct http_call {
	struct list node;           /* in calls, spare, cancelled or ended */
	struct http_client *client; /* NULL: freed meanwhile */
	CURL *easy;
	struct curl_slist *headers;
	struct http_events ev;
	long (*on_read)(void *arg, char *to, size_t room);
	void *arg;
	struct op *op;
	struct loop_timer *silence;
	int64_t first_byte_us, idle_us, last_us;
	enum err why; /* set before the transfer is stopped */
	int head_seen, got_byte, paused;
	bool refused; /* an address of it, by the guard */
	char text[CURL_ERROR_SIZE];
};

/* ---- sockets and the timer of curl */

static void drain_messages(struct http_client *c);

struct source {
	struct http_client *client;
	struct loop_fd *watch;
	curl_socket_t fd;
};

static void on_ready(void *arg, int what)
{
	struct source *s = arg;
	struct http_client *c = s->client;
	int running, mask = (what & LOOP_READ ? CURL_CSELECT_IN : 0) |
			    (what & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
	curl_multi_socket_action(c->multi, s->fd, mask, &running);
	drain_messages(c);
}

static void free_source(void *p)
{
	free(p);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
			  void *socketp)
{
	struct http_client *c = arg;
	struct source *s = socketp;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (!s)
			return 0;
		curl_multi_assign(c->multi, fd, NULL);
		loop_fd_free(s->watch);
		loop_reap(c->loop, free_source, s);
		return 0;
	}
	int mask = (what & CURL_POLL_IN ? LOOP_READ : 0) |
		   (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
	if (s) {
		loop_fd_set(s->watch, mask);
		return 0;
	}
	s = xcalloc(1, sizeof *s);
	s->client = c;
	s->fd = fd;
	s->watch = loop_fd_new(c->loop, fd, mask, on_ready, s);
	curl_multi_assign(c->multi, fd, s);
	return 0;
}

static int on_curl_timer(CURLM *multi, long ms, void *arg)
{
	struct http_client *c = arg;
	(void)multi;
	if (ms < 0)
		loop_timer_stop(c->timer);
	else
		loop_timer_start(c->timer, ms * 1000);
	return 0;
}

static void act_on_time(void *arg)
{
	struct http_client *c = arg;
	int running;
	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	drain_messages(c);
}

/* ---- one call's life */

static void free_call(struct http_call *call)
{
	curl_easy_cleanup(call->easy);
	loop_timer_free(call->silence);
	free(call);
}

static void reap_call(void *p)
{
	struct http_call *call = p;
	struct http_client *c = call->client;
	list_remove(&call->node);
	if (!c || c->spare_count >= SPARE_HANDLES) {
		free_call(call);
		return;
	}
	list_push_front(&c->spare, &call->node);
	c->spare_count++;
}

/* Out of curl and of our lists; the op is told. */
static void conclude(struct http_call *call, enum err e)
{
	struct op *op = call->op;
	curl_multi_remove_handle(call->client->multi, call->easy);
	curl_slist_free_all(call->headers);
	call->headers = NULL;
	loop_timer_stop(call->silence);
	list_remove(&call->node);
	call->op = NULL;
	op_finish(op, e);
}

static void finish(struct http_call *call, enum err e)
{
	conclude(call, e);
	list_push(&call->client->ended, &call->node);
	loop_reap(call->client->loop, reap_call, call);
}

static void head_complete(struct http_call *call)
{
	long status = 0;
	if (call->head_seen)
		return;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	call->head_seen = 1;
	if (call->ev.on_head)
		call->ev.on_head(call->arg, (int)status);
}

static enum err error_of(const struct http_call *call, CURLcode rc)
{
	if (call->why)
		return call->why;
	if (rc == CURLE_OK)
		return ERR_OK;
	return rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_NETWORK;
}

static void drain_messages(struct http_client *c)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
		struct http_call *call = NULL;
		CURLcode rc = m->data.result;
		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
		if (rc != CURLE_OK && call->refused)
			snprintf(call->text, sizeof call->text,
				 "the address of that server is not one of the public "
				 "network");
		if (rc != CURLE_OK && !call->text[0])
			snprintf(call->text, sizeof call->text, "%s",
				 curl_easy_strerror(rc));
		if (rc == CURLE_OK)
			head_complete(call); /* an answer without a body */
		finish(call, error_of(call, rc));
	}
}

/* Takes effect at the turn's end: this may be running inside curl. */
static void stop(struct http_call *call, enum err why)
{
	if (!call->op || call->why)
		return;
	call->why = why;
	list_remove(&call->node);
	list_push(&call->client->cancelled, &call->node);
	loop_again(call->client->loop);
}

static void on_cancel(struct op *op, enum err why, void *provider)
{
	struct http_call *call = provider;
	(void)op;
	if (!call->text[0])
		snprintf(call->text, sizeof call->text, "%s", err_text(why));
	stop(call, why);
}

static void on_silence(void *arg)
{
	struct http_call *call = arg;
	int64_t limit = call->got_byte ? call->idle_us : call->first_byte_us;
	int64_t left = call->last_us + limit - loop_now_us(call->client->loop);
	if (call->paused)
		left = limit;
	if (left > 0) {
		loop_timer_start(call->silence, left);
		return;
	}
	snprintf(call->text, sizeof call->text, "no %s for %lld s",
		 call->got_byte ? "data" : "answer", (long long)(limit / 1000000));
	stop(call, ERR_MODEL_TIMEOUT);
}

static void on_turn_end(void *arg)
{
	struct http_client *c = arg;
	if (c->fresh) {
		c->fresh = 0;
		act_on_time(c);
	}
	for (struct list *n; (n = list_pop(&c->cancelled));) {
		struct http_call *call = list_entry(n, struct http_call, node);
		finish(call, call->why);
	}
}

/* ---- what curl hands us */

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;
	struct slice line = slice_trim(slice_of(p, size * n));
	char *colon = line.n ? memchr(p, ':', size * n) : NULL;
	if (!colon || !call->ev.on_header || slice_has_prefix(line, SLICE("HTTP/")))
		return size * n;
	for (char *q = p; q < colon; q++)
		if (*q >= 'A' && *q <= 'Z')
			*q = (char)(*q - 'A' + 'a');
	call->ev.on_header(
		call->arg, slice_of(p, (size_t)(colon - p)),
		slice_trim(slice_of(colon + 1, (size_t)(p + size * n - colon - 1))));
	return size * n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;
	call->last_us = loop_now_us(call->client->loop);
	if (!call->got_byte) /* from here on the other limit holds */
		loop_timer_start(call->silence, call->idle_us);
	call->got_byte = 1;
	head_complete(call);
	if (call->why)
		return CURL_WRITEFUNC_ERROR;
	if (call->ev.on_body && !call->ev.on_body(call->arg, slice_of(p, size * n))) {
		call->why = ERR_CANCELLED;
		return CURL_WRITEFUNC_ERROR;
	}
	return size * n;
}

static size_t on_curl_read(char *to, size_t size, size_t n, void *arg)
{
	struct http_call *call = arg;
	long got = call->why ? -1 : call->on_read(call->arg, to, size * n);
	call->last_us = loop_now_us(call->client->loop);
	if (got >= 0)
		return (size_t)got;
	if (!call->why)
		call->why = ERR_CANCELLED;
	return CURL_READFUNC_ABORT;
}

/* A name is judged by what it was resolved to, at each connection. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose,
				    struct curl_sockaddr *a)
{
	struct http_call *call = arg;
	(void)purpose;
	if (!url_guard_address(&a->addr)) {
		call->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- starting */

/* What no call changes. */
static struct http_call *call_new(struct http_client *c)
{
	struct http_call *call = xcalloc(1, sizeof *call);
	CURL *e = call->easy = curl_easy_init();
	if (!e)
		fatal("libcurl has no memory");
	call->client = c;
	list_init(&call->node);
	call->silence = loop_timer_new(c->loop, on_silence, call);
	curl_easy_setopt(e, CURLOPT_PRIVATE, call);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->text);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, NULL);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "terabits/" TB_VERSION);
	if (c->is_guarded) {
		curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
		curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
		curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, call);
	}
	return call;
}

static struct http_call *take_call(struct http_client *c)
{
	struct list *n = list_pop(&c->spare);
	if (!n)
		return call_new(c);
	c->spare_count--;
	return list_entry(n, struct http_call, node);
}

static void set_request(struct http_call *call, const struct http_request *r)
{
	CURL *e = call->easy;
	int has_body = r->body.p != NULL;
	const char *usual = r->on_read ? "PUT" : has_body ? "POST" : "GET";
	/* Calls that begin together share the connection that the first of them makes, if
	 * the server multiplexes. In the clear it is not asked whether it does, so that
	 * nobody waits to find out. */
	bool tls = slice_has_prefix(slice_str(r->url), SLICE("https:"));
	curl_easy_setopt(e, CURLOPT_PIPEWAIT, tls ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
			 (long)(tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
	curl_easy_setopt(e, CURLOPT_URL, r->url);
	if (r->on_read) {
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, on_curl_read);
		curl_easy_setopt(e, CURLOPT_READDATA, call);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_bytes);
	} else if (has_body) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body.p);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
	} else {
		curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST,
			 strcmp(r->method, usual) ? r->method : NULL);
	for (const char *const *h = r->headers; h && *h; h++)
		call->headers = curl_slist_append(call->headers, *h);
	/* A file waits for the word that it is wanted. */
	call->headers = curl_slist_append(
		call->headers, r->on_read ? "Expect: 100-continue" : "Expect:");
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
	curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)((r->connect_us ? r->connect_us : CONNECT_US) / 1000));
}

struct http_call *http_start(struct http_client *c, const struct http_request *r,
			     const struct http_events *ev, void *arg, struct op *op)
{
	if (r->guarded) {
		check(c->guarded && !r->unix_socket);
		c = c->guarded;
	}
	struct http_call *call = take_call(c);
	call->ev = *ev;
	call->on_read = r->on_read;
	call->arg = arg;
	call->op = op;
	call->why = ERR_OK;
	call->head_seen = call->got_byte = call->paused = 0;
	call->refused = false;
	call->text[0] = 0;
	call->last_us = loop_now_us(c->loop);
	call->first_byte_us = r->first_byte_us ? r->first_byte_us : FIRST_BYTE_US;
	call->idle_us = r->idle_us ? r->idle_us : IDLE_US;
	set_request(call, r);
	op_start(op, on_cancel, call, r->total_us);
	loop_timer_start(call->silence, call->first_byte_us);
	list_push(&c->calls, &call->node);
	check(curl_multi_add_handle(c->multi, call->easy) == CURLM_OK);
	c->fresh = 1;
	loop_again(c->loop);
	return call;
}

const char *http_error(const struct http_call *call)
{
	return call->text;
}

void http_pause(struct http_call *call, int paused)
{
	if (!call->op || call->paused == paused)
		return;
	call->paused = paused;
	call->last_us = loop_now_us(call->client->loop);
	curl_easy_pause(call->easy, paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
}

/* ---- the client */

/* The first look-up loads the resolver's plugins, which a filter would forbid later. */
static void warm_resolver(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	if (getaddrinfo("localhost", "80", &hints, &found) == 0)
		freeaddrinfo(found);
}

static struct http_client *client_new(struct loop *l, int max_connections)
{
	struct http_client *c = xcalloc(1, sizeof *c);
	c->max_connections = max_connections;
	c->loop = l;
	c->multi = curl_multi_init();
	check(c->multi);
	list_init(&c->calls);
	list_init(&c->spare);
	list_init(&c->cancelled);
	list_init(&c->ended);
	c->timer = loop_timer_new(l, act_on_time, c);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)max_connections);
	loop_hook(l, LOOP_CONNECTIONS, on_turn_end, c);
	return c;
}

struct http_client *http_client_new(struct loop *l, int max_connections)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		fatal("libcurl cannot start");
	warm_resolver();
	return client_new(l, max_connections);
}

void http_client_guard(struct http_client *c)
{
	c->guarded = client_new(c->loop, c->max_connections);
	c->guarded->is_guarded = true;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	http_client_free(c->guarded);
	list_each (open, &c->calls)
		stop(list_entry(open, struct http_call, node), ERR_CANCELLED);
	for (struct list *n; (n = list_pop(&c->cancelled));) {
		struct http_call *call = list_entry(n, struct http_call, node);
		conclude(call, call->why);
		free_call(call);
	}
	for (struct list *n; (n = list_pop(&c->ended));)
		list_entry(n, struct http_call, node)->client = NULL;
	loop_unhook(c->loop, on_turn_end, c);
	for (struct list *n; (n = list_pop(&c->spare));)
		free_call(list_entry(n, struct http_call, node));
	curl_multi_cleanup(c->multi);
	loop_timer_free(c->timer);
	free(c);
}
