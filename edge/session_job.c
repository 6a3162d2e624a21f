/* SPDX-License-Identifier: Apache-2.0
 * What changes a session's transcript: posted as a job into its lane, answered 202 when
 * that is durable. The job is a run: it can be waited for, followed and cancelled. */
#include "edge/session_job.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "edge/blocks.h"
#include "edge/body.h"
#include "edge/link.h"
#include "edge/lookup.h"
#include "edge/order.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "edge/session_import.h"
#include "edge/session_look.h"
#include "edge/slot.h"

#define FOCUS_MAX 4000
#define KEEP_MAX 10000
#define TARGET_MAX 10000000

enum stage { JOB_START, JOB_LOOK, JOB_SENT, JOB_FIRST };

struct job {
	struct session_look look;
	unsigned mode; /* enum run_mode */
	struct slice idem_key;
	/* what the body says */
	struct slice role, content, focus, key;
	int64_t keep, target, up_to, version; /* -1: not given */
	bool archived;
	struct slice asked; /* what makes two requests the same, JSON members */
	struct uuid run, fork;
	bool known, repeated;
	struct wire_enqueued answer; /* its texts are copies */
	struct run_row first;        /* of a repeated key: its run */
};

static struct job *job_of(const struct call *c)
{
	return c->state;
}

/* ---- the body */

static bool take_role(struct call *c, json_t v)
{
	struct slice role = json_str(v);
	job_of(c)->role = role.p ? arena_slice(c->request->arena, role) : SLICE_NONE;
	return slice_is(role, "user") || slice_is(role, "assistant") ||
	       slice_is(role, "system") ||
	       reply_wrong(c->request, "role", "role must be user, assistant or system");
}

static bool take_message(struct call *c, json_t v)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct blocks_fault fault;
	strbuf_add_str(&b, "{\"blocks\":");
	if (!blocks_read(v, &b, &fault))
		return reply_wrong(c->request,
				   arena_strdup(c->request->arena, fault.member),
				   arena_strdup(c->request->arena, fault.message));
	strbuf_add_char(&b, '}');
	job_of(c)->content = arena_slice(c->request->arena, strbuf_slice(&b));
	return true;
}

static bool take_focus(struct call *c, json_t v)
{
	return body_text(c, "focus", v, 1, FOCUS_MAX, true, &job_of(c)->focus);
}

static bool take_keep(struct call *c, json_t v)
{
	return body_number(c, "keepRecentMessages", v, 0, KEEP_MAX, &job_of(c)->keep);
}

static bool take_target(struct call *c, json_t v)
{
	return body_number(c, "targetTokenCount", v, 1, TARGET_MAX, &job_of(c)->target);
}

static bool take_archived(struct call *c, json_t v)
{
	job_of(c)->archived = json_bool(v, true);
	return json_kind(v) == JSON_BOOL ||
	       reply_wrong(c->request, "archived", "archived must be true or false");
}

static bool take_key(struct call *c, json_t v)
{
	struct job *j = job_of(c);
	struct order_fault fault;
	return body_text(c, "sessionKey", v, 1, LIMIT_SESSION_KEY, false, &j->key) &&
	       (order_check_session(j->key, &fault) ||
		reply_wrong(c->request, "sessionKey",
			    arena_strdup(c->request->arena, fault.message)));
}

static bool take_up_to(struct call *c, json_t v)
{
	return body_number(c, "upToSeq", v, 1, INT64_MAX, &job_of(c)->up_to);
}

static bool is_there(struct call *c, struct slice v, const char *name)
{
	return v.p || reply_wrong(c->request, name,
				  arena_printf(c->request->arena, "%s is missing", name));
}

/* A body that is no JSON: lines. */
static bool read_lines(struct call *c)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct import_fault fault;
	if (!import_read(strbuf_slice(&c->request->body), &b, &fault))
		return reply_wrong(c->request, NULL,
				   arena_printf(c->request->arena, "line %zu: %s",
						fault.line, fault.message));
	job_of(c)->content = arena_slice(c->request->arena, strbuf_slice(&b));
	return true;
}

static bool read_body(struct call *c, struct job *j)
{
	static const struct body_member append[] = {{"role", take_role},
						    {"message", take_message}};
	static const struct body_member compact[] = {{"focus", take_focus},
						     {"keepRecentMessages", take_keep},
						     {"targetTokenCount", take_target}};
	static const struct body_member archive[] = {{"archived", take_archived}};
	static const struct body_member fork[] = {{"sessionKey", take_key},
						  {"upToSeq", take_up_to}};
	static const struct body_member edit[] = {{"message", take_message}};
	switch (j->mode) {
	case MODE_APPEND:
		return body_read(c, append, ARRAY_LEN(append)) &&
		       is_there(c, j->content, "message");
	case MODE_COMPACT:
		return body_read(c, compact, ARRAY_LEN(compact));
	case MODE_ARCHIVE:
		return body_read(c, archive, ARRAY_LEN(archive));
	case MODE_FORK:
		return body_read(c, fork, ARRAY_LEN(fork)) &&
		       is_there(c, j->key, "sessionKey");
	case MODE_EDIT:
		return body_read(c, edit, ARRAY_LEN(edit)) &&
		       is_there(c, j->content, "message");
	case MODE_IMPORT:
		return read_lines(c);
	default:
		return body_read(c, NULL, 0);
	}
}

/* The job's parameters but for those that are made here. */
static void put_asked(struct json_out *o, const struct job *j)
{
	if (j->role.p)
		json_kv_str(o, "role", j->role);
	if (j->content.p)
		json_kv_raw(o, j->mode == MODE_IMPORT ? "messages" : "content",
			    j->content);
	if (j->focus.p)
		json_kv_str(o, "focus", j->focus);
	if (j->keep >= 0)
		json_kv_i64(o, "keepRecentMessages", j->keep);
	if (j->target >= 0)
		json_kv_i64(o, "targetTokenCount", j->target);
	if (j->mode == MODE_ARCHIVE)
		json_kv_bool(o, "archived", j->archived);
	if (j->key.p)
		json_kv_str(o, "sessionKey", j->key);
	if (j->up_to >= 0)
		json_kv_i64(o, "upToSeq", j->up_to);
	if (j->version >= 0)
		json_kv_i64(o, "version", j->version);
}

/* What a path says beside its session. */
static bool read_path(struct call *c, struct job *j)
{
	int version;
	if (j->mode != MODE_RESTORE)
		return true;
	if (!session_version(c, &version)) {
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such snapshot",
			  0);
		return false;
	}
	j->version = version;
	return true;
}

static bool begin(struct call *c, unsigned mode)
{
	struct job *j = arena_zalloc(c->request->arena, sizeof *j);
	struct order_fault fault;
	c->state = j;
	j->mode = mode;
	j->role = mode == MODE_APPEND ? SLICE("user") : SLICE_NONE;
	j->keep = j->target = j->up_to = j->version = -1;
	j->archived = true;
	j->idem_key = http_field(&c->request->head, "idempotency-key");
	if (j->idem_key.p && !order_check_key(j->idem_key, &fault))
		return reply_wrong(c->request, "Idempotency-Key",
				   arena_strdup(c->request->arena, fault.message));
	if (!read_path(c, j) || !read_body(c, j))
		return false;
	strbuf_fini(&c->request->body);
	c->stage = JOB_LOOK;
	return true;
}

/* ---- to the supervisor */

static void hash(const struct job *j, struct slice asked, uint8_t out[32])
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "job %u ", j->mode);
	strbuf_add_slice(&b, uuid_slice(&j->look.info.id));
	strbuf_add_slice(&b, asked);
	crypto_sha256(strbuf_slice(&b), out);
}

static void put_fork(const struct call *c, struct json_out *o, const struct job *j)
{
	run_put_id(o, "sessionId", j->fork);
	json_kv_i64(o, "slot", slot_of(c->caller.tenant, j->look.info.agent, j->key));
}

static void enqueued(struct call *c, const struct wire_enqueued *m)
{
	struct job *j = c->state;
	if (c->stage != JOB_SENT || !c->at_supervisor)
		return;
	c->at_supervisor = false;
	j->known = true;
	j->repeated = m->repeated;
	j->answer = *m;
	j->answer.error = arena_slice(c->request->arena, m->error);
	j->answer.message = arena_slice(c->request->arena, m->message);
	call_wake(c);
}

static void send_job(struct call *c, struct job *j)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	const struct agent_row *agent = &j->look.agent;
	uint8_t sum[32];
	json_obj(&o);
	put_asked(&o, j);
	hash(j, strbuf_slice(&b), sum);
	j->run = uuid7_new();
	j->fork = uuid7_new();
	if (j->mode == MODE_FORK)
		put_fork(c, &o, j);
	json_obj_end(&o);
	struct wire_enqueue m = {
		.req = c->handle,
		.tenant = c->caller.tenant,
		.run = j->run,
		.session = j->look.info.id,
		.agent = j->look.info.agent,
		.slot = j->look.info.slot,
		.mode = j->mode,
		.tenant_max_running = c->caller.max_running,
		.tenant_max_queued = c->caller.max_queued,
		.tenant_weight = c->caller.weight,
		.agent_max_running = agent->max_running,
		/* a full lane can be deleted */
		.lane_cap = j->mode == MODE_DELETE ? UINT32_MAX : agent->lane_cap,
		.drop = DROP_REJECT,
		.user = c->caller.user,
		.idem_key = j->idem_key,
		.body_hash = j->idem_key.n ? slice_of(sum, sizeof sum) : SLICE_NONE,
		.body = strbuf_slice(&b)};
	c->stage = JOB_SENT;
	c->on_enqueued = enqueued;
	if (!link_enqueue(c->edge, &m))
		reply_err(c->request, ERR_UNAVAILABLE, NULL, NULL, 1);
	else
		c->at_supervisor = true;
}

/* ---- the answer */

static void reply_accepted(struct call *c, const struct job *j)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	const struct run_row *first = &j->first;
	bool ended = j->repeated && first->found && first->ended;
	char location[9 + UUID_TEXT_LEN + 1] = "/v1/runs/";
	uuid_format(j->answer.run, location + 9);
	json_obj(&o);
	run_put_id(&o, "runId", j->answer.run);
	run_put_time(&o, "acceptedAt",
		     j->repeated && first->found ? first->accepted_us
						 : j->answer.accepted_us);
	json_kv_i64(&o, "position", ended ? 0 : j->answer.position);
	json_kv_str(&o, "status",
		    j->repeated && first->found
			    ? first->state
			    : slice_str(run_state_word(j->answer.state)));
	json_kv_cstr(&o, "job", mode_word(j->mode));
	run_put_id(&o, "sessionId", j->look.info.id);
	if (j->mode == MODE_FORK && !j->repeated)
		run_put_id(&o, "newSessionId", j->fork);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, 202);
	reply_field(c->request, "location", slice_str(location));
	reply_field(c->request, "x-run-id", slice_str(location + 9));
	if (j->repeated)
		reply_field(c->request, "idempotent-replayed", SLICE("true"));
	reply_body(c->request, "application/json", strbuf_slice(&b));
}

static void take_answer(struct call *c, struct job *j)
{
	const struct wire_enqueued *a = &j->answer;
	if (a->error.n) {
		reply_err(c->request, err_from_code(a->error.p), NULL,
			  a->message.n ? a->message.p : NULL, a->retry_after_s);
		return;
	}
	if (j->mode == MODE_DELETE) /* its key may begin another */
		lookup_invalidate_session(c->edge, j->look.info.id);
	if (!j->repeated) {
		reply_accepted(c, j);
		return;
	}
	c->stage = JOB_FIRST;
	store_get_run(c, a->run, &j->first);
}

static void step(struct call *c, unsigned mode)
{
	struct job *j;
	if (c->asking)
		return;
	if (c->edge->draining && c->stage < JOB_SENT) {
		reply_err(c->request, ERR_DRAINING, NULL, NULL, 1);
		return;
	}
	if (c->stage == JOB_START && !begin(c, mode))
		return;
	j = job_of(c);
	if (c->stage == JOB_LOOK) {
		if (session_look(c, &j->look, true))
			send_job(c, j);
	} else if (c->stage == JOB_SENT) {
		if (j->known)
			take_answer(c, j);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else {
		reply_accepted(c, j);
	}
}

void session_append(struct call *c)
{
	step(c, MODE_APPEND);
}

void session_compact(struct call *c)
{
	step(c, MODE_COMPACT);
}

void session_reset(struct call *c)
{
	step(c, MODE_RESET);
}

void session_import(struct call *c)
{
	step(c, MODE_IMPORT);
}

void session_archive(struct call *c)
{
	step(c, MODE_ARCHIVE);
}

void session_fork(struct call *c)
{
	step(c, MODE_FORK);
}

void session_regenerate(struct call *c)
{
	step(c, MODE_REGENERATE);
}

void session_edit(struct call *c)
{
	step(c, MODE_EDIT);
}

void session_delete(struct call *c)
{
	step(c, MODE_DELETE);
}

void session_restore(struct call *c)
{
	step(c, MODE_RESTORE);
}
