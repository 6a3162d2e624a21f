/* SPDX-License-Identifier: Apache-2.0
 * The message is posted under an idempotency key, so a connection that breaks before the
 * answer may be tried again; after that the run's events are asked for from the last id
 * seen. */
#include "cli/follow.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/plain.h"
#include "cli/report.h"
#include "common/http/sse.h"

#define TRIES_MOST 10
#define PAUSE_FIRST_US 250000
#define PAUSE_MOST_US 5000000
#define EVENT_MOST ((size_t)4 << 20)
#define READ_LIMIT_US 30000000
#define MERGES_MOST 32

struct follow {
	struct node *node;
	struct render *out;
	const struct message *message;
	struct follow_watch *watch; /* NULL: nobody looks on */
	struct strbuf body;
	char key[UUID_TEXT_LEN + 1];
	char run[UUID_TEXT_LEN + 1]; /* "": not known yet */
	char last_id[40];
	struct sse_reader sse;
	int tries, merges;
	bool paused; /* the stream was left because something is to be done first */
	enum follow_end end;
	char reason[512]; /* of a failure */
};

/* ---- events */

enum follow_end follow_end_of(json_t event)
{
	struct slice result = json_str(json_get(json_get(event, "metadata"), "result"));
	struct slice phase = json_str(json_get(event, "phase"));
	int is_end = slice_is(phase, "end"), is_error = slice_is(phase, "error");
	if (!slice_is(json_str(json_get(event, "type")), "lifecycle") ||
	    (!is_end && !is_error))
		return FOLLOW_ON;
	if (slice_is(result, "superseded"))
		return FOLLOW_MERGED;
	return is_end && (!result.p || slice_is(result, "completed")) ? FOLLOW_COMPLETED
								      : FOLLOW_FAILED;
}

static void keep_reason(struct follow *f, json_t event)
{
	struct slice error = json_str(json_get(event, "error"));
	struct slice result = json_str(json_get(json_get(event, "metadata"), "result"));
	if (error.n)
		plain_copy(f->reason, sizeof f->reason, error);
	else if (!f->reason[0] && f->end == FOLLOW_FAILED)
		plain_copy(f->reason, sizeof f->reason, result);
}

/* The run's id is in its events before the answer's head is looked at. */
static void tell_watch(struct follow *f, const struct render_event *e)
{
	struct follow_watch *w = f->watch;
	struct uuid run;
	if (!w)
		return;
	if (!w->run[0] && uuid_parse(json_str(json_get(e->body, "runId")), &run))
		uuid_format(run, w->run);
	f->paused = w->event(w->arg, e);
}

static enum err on_event(void *arg, const struct sse_event *e)
{
	struct follow *f = arg;
	struct json_doc *d = json_parse(e->data, EVENT_MOST, NULL, 0);
	struct render_event shown = {e->id, e->data, json_root(d)};
	f->tries = 0;
	if (e->id.n && e->id.n < sizeof f->last_id) {
		memcpy(f->last_id, e->id.p, e->id.n);
		f->last_id[e->id.n] = 0;
	}
	render_event(f->out, &shown);
	f->end = follow_end_of(shown.body);
	keep_reason(f, shown.body);
	tell_watch(f, &shown);
	json_free(d);
	return f->end == FOLLOW_ON && !f->paused ? ERR_OK : ERR_CANCELLED;
}

static bool on_piece(void *arg, struct slice piece)
{
	struct follow *f = arg;
	return sse_reader_feed(&f->sse, piece) == ERR_OK;
}

/* ---- requests */

void follow_encode(struct strbuf *out, const char *segment)
{
	for (const char *p = segment; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (isalnum(c) || (c && strchr("-._~", c)))
			strbuf_add_char(out, *p);
		else
			strbuf_printf(out, "%%%02X", c);
	}
}

void follow_compose(struct strbuf *out, const struct message *m)
{
	struct json_out o = json_out(out);
	json_obj(&o);
	if (m->session)
		json_kv_cstr(&o, "sessionKey", m->session);
	json_kv_str(&o, "message", m->text);
	if (m->model)
		json_kv_cstr(&o, "model", m->model);
	if (m->builder)
		json_kv_cstr(&o, "mode", "builder");
	json_kv_bool(&o, "stream", true);
	json_obj_end(&o);
}

/* One connection: the POST while the run is not known, its events after that. */
static void connect_once(struct follow *f, struct node_answer *a)
{
	struct strbuf path = STRBUF_INIT;
	struct node_request r = {.method = "GET",
				 .last_event_id = f->last_id,
				 .on_piece = on_piece,
				 .arg = f};
	if (f->run[0]) {
		strbuf_printf(&path, "/v1/runs/%s/events", f->run);
	} else {
		strbuf_add_str(&path, "/v1/agents/");
		follow_encode(&path, f->message->agent);
		strbuf_add_str(&path, "/runs");
		r.method = "POST";
		r.body = strbuf_slice(&f->body);
		r.idempotency_key = f->key;
	}
	r.path = path.p;
	sse_reader_init(&f->sse, EVENT_MOST, on_event, f);
	node_call(f->node, &r, a);
	sse_reader_fini(&f->sse);
	strbuf_fini(&path);
	if (a->status == 200 && a->run[0] && !f->run[0])
		memcpy(f->run, a->run, sizeof f->run);
	if (f->watch)
		memcpy(f->watch->run, f->run, sizeof f->run);
}

/* The run that took the message of f->run. -1: reported. */
static int find_merged(struct follow *f)
{
	char path[80];
	struct node_answer a;
	struct uuid into;
	snprintf(path, sizeof path, "/v1/runs/%s", f->run);
	node_call(f->node,
		  &(struct node_request){
			  .method = "GET", .path = path, .total_us = READ_LIMIT_US},
		  &a);
	struct json_doc *d = json_parse(strbuf_slice(&a.body), EVENT_MOST, NULL, 0);
	int rv =
		a.status == 200 &&
				uuid_parse(json_str(json_get(json_root(d), "mergedInto")),
					   &into) &&
				f->merges++ < MERGES_MOST
			? 0
			: -1;
	if (rv)
		report("the message of run %s went into another run, which cannot be "
		       "found",
		       f->run);
	else
		uuid_format(into, f->run);
	json_free(d);
	node_answer_fini(&a);
	return rv;
}

/* ---- the course of it */

static int is_temporary(const struct node_answer *a)
{
	return a->err || a->status == 200 || a->status == 502 || a->status == 503;
}

static int give_up(struct follow *f, const struct node_answer *a)
{
	if (!f->run[0])
		node_report(f->node, a);
	else
		report("the connection to %s was lost and did not come back in %d tries "
		       "(%s). Run %s goes on without this program: ask for "
		       "/v1/runs/%s",
		       f->node->url, TRIES_MOST, a->err ? a->why : "it answers, but ends",
		       f->run, f->run);
	return a->err ? EXIT_AWAY : EXIT_FAILED;
}

/* A pause that doubles. 0: try again. */
static int pause_before_retry(struct follow *f, const struct node_answer *a)
{
	if (f->tries >= TRIES_MOST)
		return -1;
	if (f->tries == 0)
		render_note(f->out,
			    "the connection ended before the run (%s); trying again",
			    a->err ? a->why : "the node closed it");
	int64_t pause = (int64_t)PAUSE_FIRST_US << f->tries++;
	usleep((useconds_t)(pause < PAUSE_MOST_US ? pause : PAUSE_MOST_US));
	return 0;
}

/* What the end of a run means; -1: there is another run to follow. */
static int conclude(struct follow *f)
{
	render_break(f->out);
	if (f->end == FOLLOW_COMPLETED)
		return EXIT_FINE;
	if (f->end == FOLLOW_FAILED) {
		report("run %s failed: %s", f->run,
		       f->reason[0] ? f->reason : "no reason was given");
		return EXIT_FAILED;
	}
	if (find_merged(f))
		return EXIT_FAILED;
	render_note(f->out, "the message was taken into run %s, which is at work",
		    f->run);
	f->end = FOLLOW_ON;
	f->last_id[0] = f->reason[0] = 0;
	return -1;
}

static int course(struct follow *f)
{
	for (;;) {
		struct node_answer a;
		int status = -1;
		f->paused = false;
		connect_once(f, &a);
		if (f->end != FOLLOW_ON) {
			status = conclude(f);
		} else if (f->watch && f->watch->leave) {
			status = EXIT_FAILED;
		} else if (f->paused) {
			f->watch->between(f->watch->arg);
		} else if (!is_temporary(&a)) {
			node_report(f->node, &a);
			status = a.status == 404 ? EXIT_ABSENT : EXIT_FAILED;
		} else if (pause_before_retry(f, &a)) {
			status = give_up(f, &a);
		}
		node_answer_fini(&a);
		if (status >= 0)
			return status;
	}
}

int follow_run(struct node *n, struct render *out, struct uuid run,
	       struct follow_watch *watch)
{
	struct follow f = {.node = n, .out = out, .watch = watch};
	uuid_format(run, f.run);
	int status = course(&f);
	render_break(out);
	return status;
}

int follow_message(struct node *n, struct render *out, const struct message *m)
{
	char why[256];
	struct follow f = {.node = n, .out = out, .message = m, .watch = m->watch};
	if (node_await(n, m->wait_s, why, sizeof why) < 0) {
		report("no node answers at %s (%s). Is it running? Start it with ./run "
		       "serve",
		       n->url, why);
		return EXIT_AWAY;
	}
	uuid_format(uuid7_new(), f.key);
	follow_compose(&f.body, m);
	int status = course(&f);
	render_break(out);
	strbuf_fini(&f.body);
	return status;
}
