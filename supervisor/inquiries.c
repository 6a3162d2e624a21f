/* SPDX-License-Identifier: Apache-2.0
 * One list of what is under way, one count a tenant. */
#include "supervisor/inquiries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/list.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/map.h"
#include "common/pg/pool.h"
#include "supervisor/children.h"
#include "supervisor/journal.h"
#include "supervisor/sql.h"
#include "supervisor/sup.h"

#define QUEUE_MS 4000
#define STATEMENT_MS 4000
#define MINUTE_US 60000000ll
#define TENANTS_MOST 1024
/* The worker's own, so that it is the one who says what was slow. */
#define MARGIN_MS 1500

struct use { /* by a tenant */
	int64_t tenant;
	unsigned open, testing, embedding, delivering; /* open: but the last two */
	int64_t tests_us[INQUIRY_TESTS_A_MINUTE];      /* a ring of when they began */
	unsigned next;
};

struct inquiry {
	struct list node;
	struct sup *sup;
	uint64_t number;
	struct use *use;
	enum inquiry_kind kind;
	struct uuid object;
	unsigned step;
	char *model;
	struct strbuf body; /* until it is handed over */
	struct child *worker;
	struct uuid life; /* the worker's */
	char cap[32];
	uint8_t cap_sha256[32];
	bool sent; /* to the worker */
	size_t bytes;
	struct loop_timer *limit;
	inquiry_hear *hear;
	void *arg;
};

struct inquiries {
	struct sup *sup;
	char *conninfo; /* until the pool has it */
	struct pg_pool *pool;
	struct list open;
	unsigned count, embedding; /* count: but the latter */
	uint64_t last;
	struct map *uses;
};

/* ---- life of it all */

struct inquiries *inquiries_new(struct sup *s)
{
	struct inquiries *q = xcalloc(1, sizeof *q);
	q->sup = s;
	/* Now, when a missing file may still end the process. */
	q->conninfo = sup_conninfo(s, "tb_supervisor");
	q->uses = map_new();
	list_init(&q->open);
	return q;
}

static void drop_conninfo(struct inquiries *q)
{
	if (!q->conninfo)
		return;
	crypto_wipe(q->conninfo, strlen(q->conninfo));
	free(q->conninfo);
	q->conninfo = NULL;
}

static void forget_uses(struct inquiries *q, bool all)
{
	int64_t since_us = loop_now_us(q->sup->loop) - MINUTE_US;
	size_t it = 0;
	void *value;
	while (map_next(q->uses, &it, NULL, &value)) {
		struct use *u = value;
		unsigned newest =
			(u->next + INQUIRY_TESTS_A_MINUTE - 1) % INQUIRY_TESTS_A_MINUTE;
		if (!all && (u->open || u->embedding || u->delivering ||
			     u->tests_us[newest] > since_us))
			continue;
		map_take(q->uses, slice_of(&u->tenant, sizeof u->tenant));
		free(u);
	}
}

static struct pg_pool *pool_of(struct inquiries *q)
{
	if (q->pool)
		return q->pool;
	q->pool = pg_pool_new(
		q->sup->loop,
		&(struct pg_pool_config){.conninfo = q->conninfo,
					 .connections = 1,
					 .stmts = supervisor_sql,
					 .stmt_count = SQL__COUNT,
					 .application_name = "terabits inquiries",
					 .statement_timeout_ms = STATEMENT_MS});
	drop_conninfo(q);
	return q->pool;
}

struct pg_pool *inquiries_pool(struct inquiries *q)
{
	return pool_of(q);
}

/* ---- the end of one */

static void on_ended(void *arg, const struct pg_answer *a)
{
	(void)arg;
	if (a->err && a->err != ERR_CANCELLED)
		log_warn("inquiry-not-ended", "sqlstate=%s message=\"%s\"", a->sqlstate,
			 a->message ? a->message : "");
}

/* Not waited for: what it opened ends by itself, too. */
static void take_back(struct inquiries *q, const struct inquiry *i)
{
	struct pg_request *r = pg_begin(pool_of(q));
	pg_bytea(pg_add(r, SQL_INQUIRY_END),
		 slice_of(i->cap_sha256, sizeof i->cap_sha256));
	pg_submit(r, PG_ANY, QUEUE_MS, on_ended, NULL);
}

/* It is out of the list before who asked hears of it: he may ask for more. */
static void end(struct inquiry *i, const struct inquiry_heard *h)
{
	struct inquiries *q = i->sup->inquiries;
	inquiry_hear *hear = i->hear;
	void *arg = i->arg;
	list_remove(&i->node);
	if (i->kind == INQUIRY_EMBED) {
		q->embedding--;
		i->use->embedding--;
	} else if (i->kind == INQUIRY_WEBHOOK) {
		i->use->delivering--;
	} else {
		q->count--;
		i->use->open--;
		i->use->testing -= i->kind == INQUIRY_KEY;
	}
	take_back(q, i);
	loop_timer_free(i->limit);
	free(i->model);
	strbuf_fini(&i->body);
	crypto_wipe(i, sizeof *i);
	free(i);
	hear(arg, h);
}

static void refuse(struct inquiry *i, enum err e, const char *message)
{
	end(i, &(struct inquiry_heard){.err = e, .message = message});
}

void inquiries_free(struct inquiries *q)
{
	if (!q)
		return;
	while (!list_is_empty(&q->open))
		refuse(list_entry(q->open.next, struct inquiry, node), ERR_DRAINING,
		       "this node is shutting down");
	if (q->pool)
		pg_pool_free(q->pool);
	drop_conninfo(q);
	forget_uses(q, true);
	map_free(q->uses);
	free(q);
}

static struct inquiry *find(const struct inquiries *q, uint64_t number)
{
	list_each (n, &q->open) {
		struct inquiry *i = list_entry(n, struct inquiry, node);
		if (i->number == number)
			return i;
	}
	return NULL;
}

static uint32_t within_ms(const struct inquiry *i)
{
	return i->kind == INQUIRY_EMBED ? EMBEDDING_MS : INQUIRY_MS;
}

static void on_limit(void *arg)
{
	const struct inquiry *i = arg;
	refuse(arg, ERR_UNAVAILABLE,
	       i->kind == INQUIRY_EMBED ? "no answer within 60 s; try again"
					: "no answer within 12 s; try again");
}

void inquiries_lost(struct child *worker)
{
	struct inquiries *q = worker->sup->inquiries;
	if (!q)
		return;
	list_each (n, &q->open) {
		struct inquiry *i = list_entry(n, struct inquiry, node);
		if (i->worker == worker)
			refuse(i, ERR_PEER_GONE,
			       "the worker that was to answer this ended; try again");
	}
}

/* ---- who may ask */

static struct use *use_of(struct inquiries *q, int64_t tenant)
{
	struct slice key = slice_of(&tenant, sizeof tenant);
	struct use *u = map_get(q->uses, key);
	if (u)
		return u;
	if (map_count(q->uses) >= TENANTS_MOST)
		forget_uses(q, false);
	u = xcalloc(1, sizeof *u);
	u->tenant = tenant;
	for (unsigned i = 0; i < INQUIRY_TESTS_A_MINUTE; i++)
		u->tests_us[i] = INT64_MIN / 2;
	map_put(q->uses, key, u);
	return u;
}

/* Microseconds until one more test call may begin; 0: now. */
static int64_t test_wait_us(const struct use *u, int64_t now_us)
{
	int64_t left = u->tests_us[u->next] + MINUTE_US - now_us;
	return left > 0 ? left : 0;
}

static bool may_embed(const struct inquiries *q, const struct use *u,
		      struct inquiry_heard *no)
{
	if (u->embedding >= EMBEDDINGS_OF_TENANT) {
		no->message = "16 requests for embeddings of this tenant are under way; "
			      "try again when one is answered";
	} else if (q->embedding >= EMBEDDINGS_OF_NODE) {
		no->err = ERR_NODE_FULL;
		no->message = "this node answers 32 requests for embeddings at a time; "
			      "try again";
	} else {
		no->err = ERR_OK;
	}
	return !no->err;
}

static bool may(struct inquiries *q, const struct use *u, const struct inquiry_ask *ask,
		struct inquiry_heard *no)
{
	int64_t now_us = loop_now_us(q->sup->loop);
	bool tests = ask->kind == INQUIRY_KEY;
	*no = (struct inquiry_heard){.err = ERR_TENANT_FULL, .retry_after_s = 1};
	if (q->sup->state != SUP_SERVING) {
		no->err = ERR_DRAINING;
		no->message = "this node starts or shuts down";
	} else if (ask->kind == INQUIRY_EMBED) {
		return may_embed(q, u, no);
	} else if (ask->kind == INQUIRY_WEBHOOK) { /* webhooks.c counts them */
		no->err = ERR_OK;
	} else if (tests && u->testing) {
		no->message = "a key of this tenant is being tested: one at a time";
	} else if (tests && test_wait_us(u, now_us)) {
		no->message = "10 keys of this tenant were tested within a minute";
		no->retry_after_s = (unsigned)(test_wait_us(u, now_us) / 1000000) + 1;
	} else if (u->open >= INQUIRIES_OF_TENANT) {
		no->message = "4 questions of this tenant are being answered; try again "
			      "when one is";
	} else if (q->count >= INQUIRIES_OF_NODE) {
		no->err = ERR_NODE_FULL;
		no->message = "this node answers 16 such questions at a time; try again";
	} else {
		no->err = ERR_OK;
	}
	return !no->err;
}

/* ---- which worker */

static unsigned asked_of(const struct inquiries *q, const struct child *worker)
{
	unsigned count = 0;
	list_each (n, &q->open)
		count += list_entry(n, struct inquiry, node)->worker == worker;
	return count;
}

static bool is_idler(const struct inquiries *q, const struct child *a,
		     const struct child *b)
{
	unsigned of_a = asked_of(q, a), of_b = asked_of(q, b);
	return of_a < of_b || (of_a == of_b && a->runs < b->runs);
}

/* Who runs it has the request of the step under way. */
static struct child *holder(struct sup *s, const struct inquiry_ask *ask)
{
	const struct lq_run *r =
		ask->kind == INQUIRY_REQUEST ? lq_find(s->lq, ask->object) : NULL;
	if (!r || lq_run_tenant(r) != ask->tenant || lq_run_state(r) != LQ_S_RUNNING)
		return NULL;
	struct child *c = child_worker(s, lq_run_worker(r));
	return c && c->state == LIFE_READY ? c : NULL;
}

static struct child *choose(struct sup *s, const struct inquiry_ask *ask)
{
	struct child *best = holder(s, ask);
	if (best)
		return best;
	list_each (n, &s->children) {
		struct child *c = list_entry(n, struct child, node);
		if (c->role == ROLE_WORKER && c->state == LIFE_READY && !c->leave &&
		    child_has_room(c) && (!best || is_idler(s->inquiries, c, best)))
			best = c;
	}
	return best;
}

/* ---- the grant */

static void hand_over(struct inquiry *i)
{
	struct wire_inquiry m = {.number = i->number,
				 .tenant = i->use->tenant,
				 .kind = i->kind,
				 .object = i->object,
				 .step = i->step,
				 .model = slice_str(i->model),
				 .cap = slice_str(i->cap),
				 .within_ms = within_ms(i) - MARGIN_MS,
				 .body = i->body.n ? strbuf_slice(&i->body) : SLICE("")};
	i->sent = true;
	child_send(i->worker, WIRE_INQUIRY, &m);
	strbuf_fini(&i->body);
}

struct granting {
	struct sup *sup;
	uint64_t number;
};

static void on_granted(void *arg, const struct pg_answer *a)
{
	struct granting g = *(struct granting *)arg;
	struct inquiry *i = g.sup->inquiries ? find(g.sup->inquiries, g.number) : NULL;
	free(arg);
	if (!i)
		return;
	if (!a->err) {
		hand_over(i);
		return;
	}
	log_warn("inquiry-not-granted", "sqlstate=%s message=\"%s\"", a->sqlstate,
		 a->message ? a->message : "");
	refuse(i, ERR_DATABASE, "the database is away, or refused this; try again");
}

static const char *const kinds[] = {[INQUIRY_KEY] = "key",
				    [INQUIRY_REQUEST] = "request",
				    [INQUIRY_EMBED] = "embed",
				    [INQUIRY_WEBHOOK] = "webhook"};

static void put_words(struct pg_params *p, const struct inquiry *i, struct slice by)
{
	pg_uuid(p, i->life);
	pg_i64(p, i->use->tenant);
	pg_text(p, slice_str(kinds[i->kind]));
	pg_uuid(p, i->object);
	pg_i32(p, (int32_t)i->step);
	pg_bytea(p, slice_of(i->cap_sha256, sizeof i->cap_sha256));
	pg_i32(p, (int32_t)within_ms(i) / 1000 + 1);
	pg_text(p, by);
	pg_text(p, slice_str(i->model));
}

static void grant(struct inquiries *q, const struct inquiry *i, struct slice by)
{
	struct granting *g = xcalloc(1, sizeof *g);
	struct pg_request *r = pg_begin(pool_of(q));
	*g = (struct granting){q->sup, i->number};
	put_words(pg_add(r, SQL_INQUIRY_BEGIN), i, by);
	pg_submit(r, PG_ANY, QUEUE_MS, on_granted, g);
}

static void make_capability(struct inquiry *i)
{
	uint8_t bits[16];
	crypto_random(bits, sizeof bits);
	crypto_base64url(bits, sizeof bits, i->cap, sizeof i->cap);
	crypto_wipe(bits, sizeof bits);
	crypto_sha256(slice_str(i->cap), i->cap_sha256);
}

static void count(struct inquiries *q, struct inquiry *i)
{
	struct use *u = i->use;
	list_push(&q->open, &i->node);
	if (i->kind == INQUIRY_EMBED) {
		q->embedding++;
		u->embedding++;
		return;
	}
	if (i->kind == INQUIRY_WEBHOOK) {
		u->delivering++;
		return;
	}
	q->count++;
	u->open++;
	if (i->kind != INQUIRY_KEY)
		return;
	u->testing++;
	u->tests_us[u->next] = loop_now_us(q->sup->loop);
	u->next = (u->next + 1) % INQUIRY_TESTS_A_MINUTE;
}

void inquiries_ask(struct sup *s, const struct inquiry_ask *ask, inquiry_hear *hear,
		   void *arg)
{
	struct inquiries *q = s->inquiries;
	struct inquiry_heard no;
	struct use *u = use_of(q, ask->tenant);
	struct child *w = may(q, u, ask, &no) ? choose(s, ask) : NULL;
	if (!w) {
		if (!no.err)
			no = (struct inquiry_heard){
				.err = ERR_UNAVAILABLE,
				.message = "no worker can answer now; try again",
				.retry_after_s = 1};
		hear(arg, &no);
		return;
	}
	struct inquiry *i = xcalloc(1, sizeof *i);
	*i = (struct inquiry){
		.sup = s,
		.number = ++q->last,
		.use = u,
		.kind = ask->kind,
		.object = ask->object,
		.step = ask->step,
		.model = xstrndup(ask->model.n ? ask->model.p : "", ask->model.n),
		.worker = w,
		.life = w->incarnation,
		.hear = hear,
		.arg = arg};
	strbuf_add_slice(&i->body, ask->body);
	make_capability(i);
	i->limit = loop_timer_new(s->loop, on_limit, i);
	loop_timer_start(i->limit, within_ms(i) * 1000ll);
	count(q, i);
	grant(q, i, ask->by);
}

/* ---- the answer */

void inquiries_part(struct child *worker, const struct wire_inquiry_part *m)
{
	struct inquiries *q = worker->sup->inquiries;
	struct inquiry *i = q ? find(q, m->number) : NULL;
	char message[513];
	if (!i) /* it was too late */
		return;
	if (i->worker != worker || !i->sent) {
		child_punish(worker, "it answered what it was not asked");
		return;
	}
	if (m->error.n) {
		char code[33];
		snprintf(code, sizeof code, "%.*s", SLICE_ARG(m->error));
		snprintf(message, sizeof message, "%.*s", SLICE_ARG(m->message));
		refuse(i, err_from_code(code), message);
		return;
	}
	struct inquiry_heard h = {.last = m->last, .body = m->body};
	i->bytes += m->body.n;
	if (i->bytes > LIMIT_FINDING_BYTES)
		refuse(i, ERR_TOO_LARGE, "the answer is larger than 20 MiB");
	else if (m->last)
		end(i, &h);
	else
		i->hear(i->arg, &h);
}
