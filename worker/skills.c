/* SPDX-License-Identifier: Apache-2.0
 * The pin from the database, from a jail, and into the database. */
#include "worker/skills.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/pg/row.h"
#include "sandbox/client/jails.h"
#include "worker/context/skill_list.h"
#include "worker/run.h"
#include "worker/tools/registry.h"

#define FOUND_MOST (4u << 20) /* of what a jail says */
#define PIN_MOST (1u << 20)
#define TIMEOUT_MS 8000
#define DEADLINE_US 10000000

struct skills_search {
	struct jail_work work;
	struct strbuf line;
};

/* ---- the session's */

void skills_forget(struct session *s)
{
	session_put_skills(s, NULL);
	s->skills_sought = s->skills_unsaved = false;
}

int skills_known(const struct session *s)
{
	return s->skills && !s->skills_unsaved ? s->skills_version : -1;
}

void skills_take(struct run *r, const struct pg_result *rows)
{
	struct session *s = r->session;
	int version = (int)pg_get_i64(rows, 0, 7);
	if (pg_is_null(rows, 0, 7)) /* it is being deleted */
		return;
	if (version != s->skills_version)
		skills_forget(s);
	s->skills_version = version;
	if (pg_is_null(rows, 0, 8))
		return;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(pg_get_text(rows, 0, 8), PIN_MOST, NULL, 0);
	skills_forget(s);
	session_put_skills(s, skill_list_read(json_root(d)));
	if (!s->skills)
		log_error("skills-unreadable", "tenant=%lld", (long long)r->tenant);
}

/* ---- the run's */

static bool may_read(const struct run *r)
{
	const struct tool_spec *t = tool_find(SLICE("read"));
	return t && permit_judge(r, tool_index(t), NULL) != POLICY_DENY;
}

static json_t allowed(const struct run *r)
{
	return json_root(r->agent->config.skills);
}

void skills_settle(struct run *r)
{
	if (r->skills || !r->session->skills || r->job)
		return;
	r->skills = skill_list_share(r->session->skills);
	r->env.skills = r->skills;
	skill_list_text(&r->skills_text, r->skills, allowed(r));
}

bool skills_are_due(struct run *r)
{
	bool none = r->agent->config.skills && !json_len(allowed(r));
	if (r->skills_settled)
		return false;
	r->skills_settled = true;
	skills_settle(r);
	return !r->skills && r->skill_sources && !none && !r->session->skills_sought &&
	       may_read(r);
}

struct slice skills_text(const struct run *r)
{
	return r->skills_text.n && may_read(r) ? strbuf_slice(&r->skills_text)
					       : SLICE_NONE;
}

/* ---- the search */

static void end_search(struct run *r)
{
	struct skills_search *s = r->skills_search;
	if (!s)
		return;
	output_fini(&s->work.out);
	output_fini(&s->work.err);
	strbuf_fini(&s->line);
	free(s);
	r->skills_search = NULL;
}

static void begin_search(struct run *r)
{
	struct skills_search *s = xcalloc(1, sizeof *s);
	struct json_out o = json_out(&s->line);
	json_obj(&o);
	json_kv_cstr(&o, "op", "skills");
	if (r->agent->config.skills) {
		json_key(&o, "allowed");
		json_put_value(&o, allowed(r));
	}
	json_obj_end(&o);
	strbuf_add_char(&s->line, '\n');
	s->work.open = (struct wire_jail_open){.handle = r->env.workspace,
					       .kind = JAIL_KIND_OUT,
					       .argv = SLICE(""),
					       .env = SLICE(""),
					       .cwd = SLICE(""),
					       .timeout_ms = TIMEOUT_MS};
	s->work.input = strbuf_slice(&s->line);
	output_init(&s->work.out, 2 * FOUND_MOST);
	output_init(&s->work.err, 4096);
	r->skills_search = s;
	op_init(&r->op, r->worker->loop, run_op_done, r);
	jails_start(r->worker->jails, &s->work, &r->op, DEADLINE_US);
}

/* What it wrote: a line, then one object. NULL: it came to no end. */
static struct json_doc *read_found(const struct skills_search *s, enum err result)
{
	struct slice rest = strbuf_slice(&s->work.out.head);
	if (result || s->work.closed.end != JAIL_END_EXITED || !rest.n)
		return NULL;
	slice_cut(&rest, '\n');
	return rest.p ? json_parse(rest, FOUND_MOST, NULL, 0) : NULL;
}

static void pin(struct run *r, json_t found)
{
	struct session *s = r->session;
	uint8_t dice[SKILL_LIST_MARK / 2];
	char mark[SKILL_LIST_MARK + 1];
	if (!json_len(json_get(found, "sources"))) {
		s->skills_sought = true; /* there is nothing to pin */
		log_info("skills-absent", "tenant=%lld", (long long)r->tenant);
		return;
	}
	crypto_random(dice, sizeof dice);
	crypto_hex(dice, sizeof dice, mark);
	skills_forget(s);
	session_put_skills(s, skill_list_found(found, mark));
	s->skills_unsaved = true;
	skills_settle(r);
	log_info("skills-pinned", "tenant=%lld skills=%zu refused=%zu",
		 (long long)r->tenant, s->skills->count,
		 json_len(json_get(found, "refused")));
}

enum step_verdict step_skills(struct run *r)
{
	if (op_is_active(&r->op))
		return STEP_WAIT;
	if (!r->skills_search && run_waits_for_workspace(r))
		return STEP_WAIT;
	if (!r->skills_search && r->env.workspace) {
		begin_search(r);
		return STEP_WAIT;
	}
	AUTO(auto_json_free) struct json_doc *d = NULL;
	const char *why = r->workspace_error;
	if (r->skills_search) {
		d = read_found(r->skills_search, r->op_result);
		why = err_text(r->op_result ? r->op_result : ERR_INTERNAL);
	}
	if (d)
		pin(r, json_root(d));
	else
		log_warn("skills-not-sought", "tenant=%lld message=\"%s\"",
			 (long long)r->tenant, why);
	end_search(r);
	r->step = STEP_ASK;
	return STEP_MORE;
}

/* ---- the commit */

void skills_put(struct run *r)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	const struct session *s = r->session;
	struct json_out o = json_out(&b);
	r->skills_committing = s->skills_unsaved && r->skills && s->skills == r->skills;
	if (!r->skills_committing)
		return;
	json_obj(&o);
	json_kv_i64(&o, "version", s->skills_version);
	json_key(&o, "pin");
	skill_list_put(&o, r->skills);
	json_obj_end(&o);
	commit_act(r, "skills", strbuf_slice(&b));
}

void skills_landed(struct run *r)
{
	if (r->skills_committing && r->session->skills == r->skills)
		r->session->skills_unsaved = false;
}

void skills_free(struct run *r)
{
	end_search(r);
	strbuf_fini(&r->skills_text);
	skill_list_give_back(r->skills);
}
