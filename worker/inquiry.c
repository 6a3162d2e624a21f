/* SPDX-License-Identifier: Apache-2.0
 * Life of an inquiry, and its answer on the link: never so much at once that model
 * streams would have to wait. */
#include "worker/inquiry.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/log.h"
#include "proto/chan.h"

#define PAUSE_US 2000

static void send_part(const struct inquiry *i, const struct wire_inquiry_part *m)
{
	enum err e = chan_send(i->worker->chan, WIRE_INQUIRY_PART, m);
	if (e)
		log_warn("link-send-failed", "message=INQUIRY_PART error=%s",
			 err_code(e));
}

static void send_error(const struct inquiry *i, enum err e, const char *message)
{
	struct wire_inquiry_part m = {.number = i->number,
				      .error = slice_str(err_code(e)),
				      .message = slice_str(message),
				      .body = SLICE("")};
	send_part(i, &m);
}

/* ---- life */

/* Those of its kind. */
static unsigned *count_of(struct worker *w, enum inquiry_kind kind)
{
	return kind == INQUIRY_EMBED     ? &w->embedding_count
	       : kind == INQUIRY_WEBHOOK ? &w->webhook_count
					 : &w->inquiry_count;
}

void inquiry_hold(struct inquiry *i)
{
	i->holds++;
}

void inquiry_release(struct inquiry *i)
{
	if (--i->holds)
		return;
	list_remove(&i->node);
	--*count_of(i->worker, i->kind);
	if (i->free_work)
		i->free_work(i->work);
	loop_timer_free(i->deadline);
	loop_timer_free(i->pause);
	strbuf_fini(&i->answer);
	strbuf_fini(&i->body);
	crypto_wipe(i->cap, sizeof i->cap);
	free(i);
}

static void be_over(struct inquiry *i)
{
	i->over = true;
	loop_timer_stop(i->deadline);
	if (i->on_end)
		i->on_end(i);
}

void inquiry_fail(struct inquiry *i, enum err e, const char *fmt, ...)
{
	char message[512];
	va_list ap;
	if (i->over)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	send_error(i, e, message);
	be_over(i);
	inquiry_release(i);
}

static void tell(void *arg)
{
	struct inquiry *i = arg;
	struct chan *c = i->worker->chan;
	size_t left = i->answer.n - i->told;
	while (chan_outbox(c) + LIMIT_FINDING_PART < LIMIT_OUTBOX_SOFT) {
		size_t n = left < LIMIT_FINDING_PART ? left : LIMIT_FINDING_PART;
		struct wire_inquiry_part m = {.number = i->number,
					      .error = SLICE(""),
					      .message = SLICE(""),
					      .last = n == left,
					      .body = slice_of(i->answer.p + i->told, n)};
		send_part(i, &m);
		i->told += n;
		left -= n;
		if (m.last) {
			inquiry_release(i);
			return;
		}
	}
	loop_timer_start(i->pause, PAUSE_US);
}

void inquiry_finish(struct inquiry *i, struct strbuf *json)
{
	if (i->over)
		return;
	if (json->n > LIMIT_FINDING_BYTES) {
		inquiry_fail(i, ERR_TOO_LARGE, "the answer is larger than %u MiB",
			     LIMIT_FINDING_BYTES >> 20);
		return;
	}
	i->answer = *json;
	*json = STRBUF_INIT;
	be_over(i);
	loop_timer_start(i->pause, 0);
}

static void on_deadline(void *arg)
{
	struct inquiry *i = arg;
	if (i->on_time)
		i->on_time(i);
	else
		inquiry_fail(i, ERR_UNAVAILABLE,
			     "it could not be found out in time; try again");
}

/* ---- all of them */

void inquiries_drain(struct worker *w)
{
	list_each (n, &w->inquiries) {
		struct inquiry *i = list_entry(n, struct inquiry, node);
		inquiry_fail(i, ERR_DRAINING,
			     "the worker that was to answer this ends; "
			     "try again");
	}
}

static void copy(char *to, size_t size, struct slice s)
{
	snprintf(to, size, "%.*s", SLICE_ARG(s));
}

static void (*const begins[])(struct inquiry *i) = {
	[INQUIRY_KEY] = key_test_begin,
	[INQUIRY_REQUEST] = step_request_begin,
	[INQUIRY_EMBED] = embed_begin,
	[INQUIRY_WEBHOOK] = webhook_begin,
};

static bool is_full(struct worker *w, enum inquiry_kind kind)
{
	unsigned most = kind == INQUIRY_EMBED     ? EMBEDDINGS_OF_WORKER
			: kind == INQUIRY_WEBHOOK ? WEBHOOKS_OF_WORKER
						  : INQUIRIES_OF_WORKER;
	return *count_of(w, kind) >= most;
}

static const char *refusal(struct worker *w, const struct wire_inquiry *m)
{
	if (w->draining)
		return "the worker that was to answer this ends; try again";
	if (m->kind >= ARRAY_LEN(begins) || !begins[m->kind])
		return "nothing is asked";
	if (w->congested || is_full(w, (enum inquiry_kind)m->kind))
		return "the worker that was to answer this is busy; try again";
	return NULL;
}

void inquiry_begin(struct worker *w, const struct wire_inquiry *m)
{
	const char *no = refusal(w, m);
	struct inquiry *i = xcalloc(1, sizeof *i);
	i->worker = w;
	i->number = m->number;
	if (no) {
		send_error(i, w->draining ? ERR_DRAINING : ERR_UNAVAILABLE, no);
		free(i);
		return;
	}
	i->tenant = m->tenant;
	i->kind = (enum inquiry_kind)m->kind;
	i->object = m->object;
	i->step = m->step;
	i->holds = 1;
	copy(i->model, sizeof i->model, m->model);
	copy(i->cap, sizeof i->cap, m->cap);
	strbuf_add_slice(&i->body, m->body);
	i->deadline = loop_timer_new(w->loop, on_deadline, i);
	i->pause = loop_timer_new(w->loop, tell, i);
	loop_timer_start(i->deadline, m->within_ms * 1000ll);
	list_push(&w->inquiries, &i->node);
	++*count_of(w, i->kind);
	inquiry_hold(i);
	begins[i->kind](i);
	inquiry_release(i);
}
