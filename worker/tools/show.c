/* SPDX-License-Identifier: Apache-2.0
 * Pieces on a clock. */
#include "worker/tools/show.h"

#include <string.h>

#include "common/loop.h"

#define WAITING_MOST (16u << 10) /* of one stream */

static bool is_within(char c)
{
	return ((unsigned char)c & 0xC0) == 0x80;
}

/* A piece of at most SHOW_PIECE bytes, whole characters; `end`: nothing comes that could
 * complete the last one. */
static size_t piece_of(struct slice s, bool end)
{
	size_t n = s.n < SHOW_PIECE ? s.n : SHOW_PIECE, back = 0;
	if (end && n == s.n)
		return n;
	while (back < n && back < 3 && is_within(s.p[n - 1 - back]))
		back++;
	if (back == n)
		return n;
	unsigned char first = (unsigned char)s.p[n - 1 - back];
	size_t whole = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
	return whole > back + 1 ? n - back - 1 : n;
}

static bool tell(struct show *s, int stream, struct slice text, uint64_t offset)
{
	return s->call->show(s->call, stream, text, offset);
}

static bool tell_piece(struct show *s, int stream, bool end)
{
	struct show_stream *x = &s->streams[stream - 1];
	size_t n = piece_of(strbuf_slice(&x->waiting), end);
	if (!n || !tell(s, stream, slice_of(x->waiting.p, n), x->at))
		return false;
	strbuf_eat(&x->waiting, n);
	x->at += n;
	s->last = stream;
	s->told += n;
	if (s->told >= SHOW_MOST)
		tell(s, stream,
		     SLICE("\n[... the rest is not shown while it runs ...]\n"), x->at);
	return true;
}

static bool is_full(const struct show *s)
{
	return s->told >= SHOW_MOST;
}

static bool waits(const struct show *s)
{
	return !is_full(s) && (s->streams[0].waiting.n || s->streams[1].waiting.n);
}

/* The streams take turns. */
static void on_pause_over(void *arg)
{
	struct show *s = arg;
	if (!s->call)
		return;
	if (!is_full(s) && !tell_piece(s, 3 - s->last, false))
		tell_piece(s, s->last, false);
	if (waits(s))
		loop_timer_start(s->pause, SHOW_PAUSE_US);
}

void show_init(struct show *s, struct tool_call *c)
{
	*s = (struct show){.last = 2};
	if (!c->show)
		return;
	s->call = c;
	s->pause = loop_timer_new(c->env->loop, on_pause_over, s);
}

static void mark_binary(struct show_stream *x)
{
	x->is_binary = true;
	strbuf_add_str(&x->waiting, "[binary]");
}

static void keep(struct show_stream *x, struct slice bytes)
{
	size_t room = WAITING_MOST - x->waiting.n;
	if (x->hole && x->waiting.n)
		return;
	if (x->hole) { /* from where a character begins */
		while (bytes.n && is_within(*bytes.p)) {
			bytes.p++;
			bytes.n--;
		}
		x->at = x->printed - bytes.n;
		x->hole = false;
	}
	x->hole = bytes.n > room;
	strbuf_add(&x->waiting, bytes.p, x->hole ? room : bytes.n);
}

void show_add(struct show *s, int stream, struct slice bytes)
{
	struct show_stream *x = &s->streams[stream - 1];
	x->printed += bytes.n;
	if (!s->call || is_full(s) || x->is_binary || !bytes.n)
		return;
	if (memchr(bytes.p, 0, bytes.n))
		mark_binary(x);
	else
		keep(x, bytes);
	if (!loop_timer_is_running(s->pause))
		loop_timer_start(s->pause, SHOW_PAUSE_US);
}

void show_end(struct show *s)
{
	if (!s->call)
		return;
	for (int stream = 1; stream <= 2 && s->told; stream++)
		while (!is_full(s) && tell_piece(s, stream, true))
			;
	s->call = NULL;
	loop_timer_free(s->pause);
	s->pause = NULL;
}

void show_fini(struct show *s)
{
	s->call = NULL;
	loop_timer_free(s->pause);
	s->pause = NULL;
	strbuf_fini(&s->streams[0].waiting);
	strbuf_fini(&s->streams[1].waiting);
}
