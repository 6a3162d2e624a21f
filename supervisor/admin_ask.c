/* SPDX-License-Identifier: Apache-2.0
 * The life of an ask, and how answers are written. */
#include "supervisor/admin_ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/admin_db.h"
#include "supervisor/sup.h"

#define LIMIT_DEFAULT 50

/* ---- life */

static void ask_free(struct ask *a)
{
	loop_timer_free(a->limit);
	json_free(a->doc);
	strbuf_fini(&a->out);
	strbuf_fini(&a->names.key);
	free(a->work);
	free(a);
}

void ask_hold(struct ask *a)
{
	a->holds++;
}

void ask_release(struct ask *a)
{
	if (--a->holds == 0)
		ask_free(a);
}

bool ask_is_over(const struct ask *a)
{
	return a->over;
}

void ask_forget(struct ask *a)
{
	a->asker = NULL;
}

const char *ask_command(const struct ask *a)
{
	return a->command->name;
}

static int64_t limit_of(const struct ask *a)
{
	return a->limit_us ? a->limit_us : ASK_LIMIT_US;
}

static void on_limit(void *arg)
{
	struct ask *a = arg;
	ask_hold(a);
	if (a->on_limit)
		a->on_limit(a);
	if (!a->over)
		ask_fail(a, ERR_UNAVAILABLE,
			 "no answer within %d s; what was asked may still happen",
			 (int)(limit_of(a) / 1000000));
	ask_release(a);
}

static struct ask *make(const struct ask_world *w, ask_answered *answered, void *asker)
{
	struct ask *a = xcalloc(1, sizeof *a);
	a->world = w;
	a->sup = w->sup;
	a->answered = answered;
	a->asker = asker;
	a->holds = 2; /* until it is over, and begin() */
	a->limit = loop_timer_new(a->sup->loop, on_limit, a);
	return a;
}

/* Whether what was read may be asked by a door for that tenant. */
static bool is_for_door(const struct ask *a, int64_t tenant)
{
	const struct arg *given = &a->args[ARG_TENANT];
	if (!a->command->door)
		return false;
	if (!tenant)
		return !given->given && !a->args[ARG_RUN].given;
	return given->given && given->is_number && given->number == tenant;
}

/* tenant -1: an operator's. */
static struct ask *begin(struct ask *a, int64_t tenant, struct slice line)
{
	char err[400];
	a->doc = json_parse_unique(line, ASK_LINE_MOST, err, sizeof err);
	if (a->doc)
		a->command = command_read(json_root(a->doc), a->args, err, sizeof err);
	if (a->command && tenant >= 0 && !is_for_door(a, tenant))
		ask_fail(a, ERR_FORBIDDEN, "an edge does not ask this");
	else if (a->command)
		a->command->run(a);
	else
		ask_fail(a, ERR_BAD_REQUEST, "%s", err);
	bool over = a->over;
	if (!over)
		loop_timer_start(a->limit, limit_of(a));
	ask_release(a);
	return over ? NULL : a;
}

struct ask *ask_new(const struct ask_world *w, uid_t uid, struct slice line,
		    ask_answered *answered, void *asker)
{
	struct ask *a = make(w, answered, asker);
	snprintf(a->by, sizeof a->by, "uid:%u", (unsigned)uid);
	return begin(a, -1, line);
}

struct ask *ask_new_of_door(const struct ask_world *w, int64_t tenant, struct slice by,
			    struct slice line, ask_answered *answered, void *asker)
{
	struct ask *a = make(w, answered, asker);
	snprintf(a->by, sizeof a->by, "%.*s", SLICE_ARG(by));
	return begin(a, tenant, line);
}

/* ---- answers */

struct json_out *ask_reply(struct ask *a)
{
	strbuf_reset(&a->out);
	a->json = json_out(&a->out);
	json_obj(&a->json);
	return &a->json;
}

static void end(struct ask *a)
{
	strbuf_add_char(&a->out, '\n');
	a->over = true;
	loop_timer_stop(a->limit);
	if (a->asker)
		a->answered(a->asker, strbuf_slice(&a->out));
	a->asker = NULL;
	ask_release(a);
}

void ask_end(struct ask *a)
{
	json_obj_end(&a->json);
	end(a);
}

void ask_end_with(struct ask *a, struct slice json)
{
	strbuf_reset(&a->out);
	strbuf_add_slice(&a->out, json);
	end(a);
}

/* The codes that this socket's clients know. */
static enum err public_err(enum err e)
{
	switch (e) {
	case ERR_NOT_FOUND:
	case ERR_BAD_REQUEST:
	case ERR_CONFLICT:
	case ERR_IDEMPOTENCY:
	case ERR_UNAVAILABLE:
		return e;
	default:
		return err_is_retryable(e) ? ERR_UNAVAILABLE : ERR_INTERNAL;
	}
}

void ask_fail_with(struct ask *a, enum err e, const char *message, const char *key,
		   const char *value)
{
	struct json_out *o = ask_reply(a);
	json_kv_cstr(o, "error", message ? message : err_text(e));
	json_kv_cstr(o, "code", err_code(public_err(e)));
	if (key)
		json_kv_cstr(o, key, value);
	ask_end(a);
}

void ask_fail(struct ask *a, enum err e, const char *fmt, ...)
{
	char message[600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	ask_fail_with(a, e, message, NULL, NULL);
}

unsigned ask_limit(const struct ask *a)
{
	const struct arg *limit = &a->args[ARG_LIMIT];
	return limit->given ? (unsigned)limit->number : LIMIT_DEFAULT;
}

void ask_audit(struct ask *a, int64_t tenant, const char *fmt, ...)
{
	char object[600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(object, sizeof object, fmt, ap);
	va_end(ap);
	log_info("audit", "actor=%s action=%s tenant=%lld object=\"%s\"", a->by,
		 ask_command(a), (long long)tenant, object);
	admin_db_audit(a->world->db,
		       &(struct audit){.tenant = tenant,
				       .actor = a->by,
				       .action = ask_command(a),
				       .object = object,
				       .detail = json_get(json_root(a->doc), "args")});
}

void put_uuid(struct json_out *o, const char *key, struct uuid u)
{
	char text[UUID_TEXT_LEN + 1];
	uuid_format(u, text);
	json_kv_cstr(o, key, uuid_is_nil(u) ? NULL : text);
}

void put_time(struct json_out *o, const char *key, int64_t real_us)
{
	char text[CLOCK_TEXT_LEN + 1] = "";
	if (real_us)
		clock_format(real_us, text);
	json_kv_cstr(o, key, real_us ? text : NULL);
}

void put_ordinal(struct json_out *o, const char *key, int worker)
{
	if (worker >= 0) {
		json_kv_i64(o, key, worker);
		return;
	}
	json_key(o, key);
	json_put_null(o);
}
