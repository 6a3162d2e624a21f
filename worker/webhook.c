/* SPDX-License-Identifier: Apache-2.0
 * One try to deliver a completion webhook (docs/webhooks.md): read by the capability of
 * the inquiry, signed as the Standard Webhooks say, sent, and what came of it written
 * down. A worker that dies before that leaves it to be tried again under the same id. */
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/http/client.h"
#include "common/log.h"
#include "common/pg/pool.h"
#include "worker/inquiry.h"
#include "worker/keys.h"
#include "worker/sql.h"

#define CONNECT_US 5000000
/* Of the 10.5 s that an inquiry has, so that the outcome can still be written. */
#define TOTAL_US 9000000
#define SECRETS_MOST 2
#define ANSWER_MOST (64u << 10)

struct webhook {
	struct inquiry *inquiry;
	char *url;
	struct strbuf body, signature;
	struct http_call *call;
	struct op op;
	int status, retry_after_s;
	size_t answered; /* bytes */
	char why[200];
};

static void free_webhook(void *p)
{
	struct webhook *x = p;
	free(x->url);
	strbuf_fini(&x->body);
	strbuf_fini(&x->signature);
	free(x);
}

/* ---- the end */

static void on_written(void *arg, const struct pg_answer *a)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct webhook *x = arg;
	struct inquiry *i = x->inquiry;
	if (a->err) {
		inquiry_fail(i, ERR_DATABASE, "what came of it was not written");
	} else {
		strbuf_add_str(&b, "{}");
		inquiry_finish(i, &b);
	}
	inquiry_release(i);
}

static void write_outcome(struct webhook *x)
{
	struct inquiry *i = x->inquiry;
	struct pg_request *q = pg_begin(i->worker->pool);
	struct pg_params *p = pg_add(q, SQL_WEBHOOK_DONE);
	pg_text(p, slice_str(i->cap));
	pg_i32(p, x->status);
	pg_text(p, slice_str(x->why));
	pg_i32(p, x->retry_after_s);
	inquiry_hold(i);
	pg_submit(q, CONN_READS, 0, on_written, x);
}

static void give_up(struct webhook *x, const char *why)
{
	snprintf(x->why, sizeof x->why, "%s", why);
	write_outcome(x);
}

/* ---- the call */

static void on_head(void *arg, int status)
{
	((struct webhook *)arg)->status = status;
}

/* Seconds alone: a date of another clock says little. */
static void on_header(void *arg, struct slice name, struct slice value)
{
	struct webhook *x = arg;
	long long s;
	if (slice_is(name, "retry-after") && slice_to_i64(slice_trim(value), &s) && s > 0)
		x->retry_after_s = s < 86400 ? (int)s : 86400;
}

/* The status says it all. */
static bool on_body(void *arg, struct slice piece)
{
	struct webhook *x = arg;
	x->answered += piece.n;
	return x->answered <= ANSWER_MOST;
}

static void on_done(struct op *op, enum err e, void *arg)
{
	struct webhook *x = arg;
	struct inquiry *i = x->inquiry;
	(void)op;
	if (!x->status &&
	    e == ERR_CANCELLED) { /* this worker ends, or its time is over */
		inquiry_release(i);
		return;
	}
	if (!x->status)
		snprintf(x->why, sizeof x->why, "%s",
			 x->call && *http_error(x->call) ? http_error(x->call)
							 : err_text(e));
	else if (x->status / 100 != 2)
		snprintf(x->why, sizeof x->why, "it answered %d%s", x->status,
			 x->status / 100 == 3 ? ": redirects are not followed" : "");
	write_outcome(x);
	inquiry_release(i);
}

static void send_it(struct webhook *x, const char *stamp)
{
	static const struct http_events events = {on_head, on_header, on_body};
	struct inquiry *i = x->inquiry;
	struct worker *w = i->worker;
	char id[12 + UUID_TEXT_LEN + 1] = "webhook-id: ", at[64];
	AUTO(strbuf_fini) struct strbuf signature = STRBUF_INIT;
	uuid_format(i->object, id + 12);
	snprintf(at, sizeof at, "webhook-timestamp: %s", stamp);
	strbuf_printf(&signature, "webhook-signature: %s", x->signature.p);
	op_init(&x->op, w->loop, on_done, x);
	inquiry_hold(i);
	x->call = http_start(
		w->http,
		&(struct http_request){
			.method = "POST",
			.url = x->url,
			.headers = (const char *const[]){"Content-Type: application/json",
							 id, at, signature.p, NULL},
			.body = strbuf_slice(&x->body),
			.connect_us = CONNECT_US,
			.first_byte_us = TOTAL_US,
			.total_us = TOTAL_US,
			.guarded = !w->webhook_private},
		&events, x, &x->op);
}

/* ---- the signature */

static void add_signature(struct strbuf *out, struct slice secret, struct slice text)
{
	uint8_t mac[32];
	char base64[48];
	crypto_hmac_sha256(secret, text, mac);
	crypto_base64(mac, sizeof mac, base64, sizeof base64);
	strbuf_printf(out, "%sv1,%s", out->n ? " " : "", base64);
}

/* False: no secret could be opened. */
static bool sign(struct webhook *x, const struct pg_result *rows, const char *stamp)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	char id[UUID_TEXT_LEN + 1];
	uuid_format(x->inquiry->object, id);
	strbuf_printf(&text, "%s.%s.", id, stamp);
	strbuf_add_slice(&text, strbuf_slice(&x->body));
	for (int n = 0; n < pg_rows(rows) && n < SECRETS_MOST; n++) {
		struct provider_key *k = keys_open_row(x->inquiry->worker, rows, n);
		if (k)
			add_signature(&x->signature, key_secret(k), strbuf_slice(&text));
		key_give_back(k);
	}
	return x->signature.n;
}

static void begin(struct webhook *x, const struct pg_result *row,
		  const struct pg_result *secrets)
{
	struct slice url = pg_get_text(row, 0, 0);
	char stamp[24];
	x->url = xstrndup(url.p, url.n);
	strbuf_add_slice(&x->body, pg_get_text(row, 0, 1));
	snprintf(stamp, sizeof stamp, "%lld", (long long)(clock_real_us() / 1000000));
	if (!pg_rows(secrets))
		give_up(x, "there is no secret to sign it with: POST "
			   "/v1/webhooks/secret makes one");
	else if (!sign(x, secrets, stamp))
		give_up(x, "the secret cannot be opened by this node: rotate it");
	else
		send_it(x, stamp);
}

static void on_read(void *arg, const struct pg_answer *a)
{
	struct webhook *x = arg;
	struct inquiry *i = x->inquiry;
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (a->err) {
		inquiry_fail(i, ERR_DATABASE, "the delivery cannot be read");
	} else if (!pg_rows(a->results[0])) {
		strbuf_add_str(&b, "{}");
		inquiry_finish(i, &b); /* it is done */
	} else if (!i->over) {
		begin(x, a->results[0], a->results[1]);
	}
	inquiry_release(i);
}

static void on_end(struct inquiry *i)
{
	struct webhook *x = i->work;
	op_cancel(&x->op, ERR_CANCELLED);
}

void webhook_begin(struct inquiry *i)
{
	struct webhook *x = xcalloc(1, sizeof *x);
	struct pg_request *q = pg_begin(i->worker->pool);
	x->inquiry = i;
	i->work = x;
	i->on_end = on_end;
	i->free_work = free_webhook;
	pg_text(pg_add(q, SQL_WEBHOOK), slice_str(i->cap));
	pg_text(pg_add(q, SQL_WEBHOOK_SECRETS), slice_str(i->cap));
	inquiry_hold(i);
	pg_submit(q, CONN_READS, 0, on_read, x);
}
