/* SPDX-License-Identifier: Apache-2.0
 * The cache: least recently used goes first, never one in use. */
#include "worker/session.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "common/json.h"
#include "common/map.h"
#include "worker/context/skill_list.h"

#define MARK_MOST 4096

struct sessions {
	struct map *by_id;
	struct list lru; /* oldest first */
	size_t bytes, limit;
};

struct key {
	int64_t tenant;
	struct uuid id;
};

static struct slice key_of(struct key *k, int64_t tenant, struct uuid id)
{
	memset(k, 0, sizeof *k);
	k->tenant = tenant;
	k->id = id;
	return slice_of(k, sizeof *k);
}

struct sessions *sessions_new(size_t limit_bytes)
{
	struct sessions *s = xcalloc(1, sizeof *s);
	s->by_id = map_new();
	s->limit = limit_bytes;
	list_init(&s->lru);
	return s;
}

size_t sessions_bytes(const struct sessions *s)
{
	return s->bytes;
}

/* Twice the content: the provider's form of it comes with the first question. */
static size_t weight(const struct message *m)
{
	return sizeof *m + 2 * m->llm.content.n;
}

static void free_shorter(struct message *m)
{
	for (size_t i = 0; i < ARRAY_LEN(m->shorter); i++) {
		if (!m->shorter[i])
			continue;
		strbuf_fini(&m->shorter[i]->wire);
		free((char *)(uintptr_t)m->shorter[i]->content.p);
		free(m->shorter[i]);
	}
}

static void free_message(struct session *e, struct message *m)
{
	e->bytes -= weight(m);
	e->home->bytes -= weight(m);
	free_shorter(m);
	strbuf_fini(&m->llm.wire);
	free(m);
}

/* From that one on, but the one with seq `but`. */
static void free_newest(struct session *e, int64_t from, int64_t but)
{
	size_t n = 0;
	for (size_t i = 0; i < e->count; i++)
		if (e->messages[i]->seq < from || e->messages[i]->seq == but)
			e->messages[n++] = e->messages[i];
		else
			free_message(e, e->messages[i]);
	e->count = n;
}

/* The oldest of them. */
static void free_messages(struct session *e, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free_message(e, e->messages[i]);
	e->count -= count;
	if (e->count)
		memmove(e->messages, e->messages + count, e->count * sizeof *e->messages);
}

void session_put_skills(struct session *e, struct skill_list *l)
{
	e->home->bytes -= e->skills ? e->skills->bytes : 0;
	skill_list_give_back(e->skills);
	e->skills = l;
	e->home->bytes += l ? l->bytes : 0;
}

static void drop(struct session *e)
{
	struct key k;
	map_take(e->home->by_id, key_of(&k, e->tenant, e->id));
	list_remove(&e->lru);
	free_messages(e, e->count);
	e->home->bytes -= sizeof *e;
	free(e->messages);
	free(e->memory);
	session_put_skills(e, NULL);
	permit_give_back(e->permit);
	free(e);
}

void sessions_free(struct sessions *s)
{
	if (!s)
		return;
	while (!list_is_empty(&s->lru))
		drop(list_entry(s->lru.next, struct session, lru));
	map_free(s->by_id);
	free(s);
}

static void make_room(struct sessions *s)
{
	list_each (n, &s->lru) {
		struct session *e = list_entry(n, struct session, lru);
		if (s->bytes <= s->limit)
			return;
		if (!e->users)
			drop(e);
	}
}

struct session *session_take(struct sessions *s, int64_t tenant, struct uuid id)
{
	struct key k;
	struct slice key = key_of(&k, tenant, id);
	struct session *e = map_get(s->by_id, key);
	if (!e) {
		e = xcalloc(1, sizeof *e);
		e->home = s;
		e->tenant = tenant;
		e->id = id;
		e->head_seq = -1;
		s->bytes += sizeof *e;
		list_init(&e->lru);
		map_put(s->by_id, key, e);
	}
	list_remove(&e->lru);
	list_push(&s->lru, &e->lru);
	e->users++;
	return e;
}

void session_give_back(struct session *e)
{
	check(e->users > 0);
	if (--e->users == 0)
		make_room(e->home);
}

void session_clear(struct session *e)
{
	free_messages(e, e->count);
	e->summary_seq = e->context_set = e->flushed = 0;
	e->head_seq = -1;
}

void session_trim(struct session *e, size_t bytes, int64_t own_seq)
{
	size_t sum = 0, first = e->count;
	while (first > 0) {
		const struct message *m = e->messages[first - 1];
		sum += m->llm.content.n;
		if (sum > bytes && m->seq < own_seq)
			break;
		first--;
	}
	free_messages(e, first);
}

/* All older ones have lost theirs. */
#define SLIM_MOST 8

static void lose_tools(struct session *e, struct message *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(m->llm.content, m->llm.content.n, NULL, 0);
	struct json_iter it = json_iter(json_root(d));
	struct slice key;
	for (json_t v; (v = json_next(&it, &key));) {
		if (slice_is(key, "clientTools"))
			continue;
		strbuf_add_str(&b, b.n ? ",\"" : "{\"");
		json_escape(&b, key);
		strbuf_add_str(&b, "\":");
		json_print(&b, v);
	}
	if (!b.n || b.n >= m->llm.content.n)
		return;
	strbuf_add_char(&b, '}');
	char *text = (char *)(m + 1);
	size_t before = weight(m);
	memcpy(text, b.p, b.n + 1);
	m->llm.content.n = b.n;
	e->bytes -= before - weight(m);
	e->home->bytes -= before - weight(m);
}

void session_slim(struct session *e)
{
	int seen = 0;
	for (size_t i = e->count; i-- > 0 && seen < SLIM_MOST;) {
		struct message *m = e->messages[i];
		if (m->llm.role != LLM_USER)
			continue;
		seen++;
		if (slice_find(m->llm.content, SLICE("\"clientTools\"")) >= 0)
			lose_tools(e, m);
	}
}

static enum llm_role role_of(struct slice word)
{
	if (slice_is(word, "assistant"))
		return LLM_ASSISTANT;
	if (slice_is(word, "tool"))
		return LLM_TOOL;
	if (slice_is(word, "summary"))
		return LLM_SUMMARY;
	check(slice_is(word, "user") || slice_is(word, "system") ||
	      slice_is(word, "input"));
	return LLM_USER;
}

static enum plan_role plan_role_of(struct slice word)
{
	if (slice_is(word, "input"))
		return PLAN_MARK;
	switch (role_of(word)) {
	case LLM_ASSISTANT:
		return PLAN_ASSISTANT;
	case LLM_TOOL:
		return PLAN_TOOL;
	case LLM_SUMMARY:
		return PLAN_SUMMARY;
	default:
		return PLAN_USER;
	}
}

/* What stands before a mark is not shown any more: all of it, or, when it says
 * branchFrom, what stands from there on. */
static void obey_mark(struct session *e, struct slice content)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(content, MARK_MOST, NULL, 0);
	int64_t from = 0, summary = 0; /* it may stand behind what it goes before */
	if (json_i64(json_get(json_root(d), "branchFrom"), &from))
		summary = e->summary_seq;
	free_newest(e, from, summary ? summary : -1);
}

/* A message that only brings results says nothing to models. What the edge writes and
 * what Postgres gives back begin with the blocks. */
static bool is_bare(const struct message *m)
{
	return m->item.role == PLAN_USER &&
	       (slice_has_prefix(m->llm.content, SLICE("{\"blocks\":[]")) ||
		slice_has_prefix(m->llm.content, SLICE("{\"blocks\": []")));
}

static bool is_open_answer(const struct message *m)
{
	return m->llm.role == LLM_ASSISTANT &&
	       slice_find(m->llm.content, SLICE("\"clientSide\"")) >= 0;
}

/* Where a message belongs. Results that came with a user's message are behind it in the
 * transcript; models are shown them behind the answer that asked for them. */
static size_t place_of(const struct session *e, const struct message *m)
{
	size_t i = e->count;
	if (m->llm.role != LLM_TOOL || !i || e->messages[i - 1]->llm.role == LLM_TOOL ||
	    e->messages[i - 1]->llm.role == LLM_ASSISTANT)
		return e->count;
	while (i > 0 && !is_open_answer(e->messages[i - 1]))
		i--;
	if (!i)
		return e->count;
	while (i < e->count && e->messages[i]->llm.role == LLM_TOOL)
		i++;
	return i;
}

void session_add(struct session *e, int64_t seq, struct slice role, int step,
		 struct uuid run, struct slice content)
{
	if (slice_is(role, "reset")) {
		obey_mark(e, content);
		e->head_seq = seq;
		return;
	}
	struct message *m = xcalloc(1, sizeof *m + content.n + 1);
	char *text = (char *)(m + 1);
	memcpy(text, content.p, content.n);
	m->llm.role = role_of(role);
	m->item.role = plan_role_of(role);
	m->llm.content = slice_of(text, content.n);
	m->seq = seq;
	m->step = step;
	m->run = run;
	if (e->count == e->cap) {
		e->cap = e->cap ? e->cap * 2 : 8;
		e->messages = xrealloc(e->messages, e->cap * sizeof(struct message *));
	}
	if (is_bare(m))
		m->item.role = PLAN_MARK;
	size_t at = place_of(e, m);
	memmove(e->messages + at + 1, e->messages + at,
		(e->count - at) * sizeof *e->messages);
	e->messages[at] = m;
	e->count++;
	e->bytes += weight(m);
	e->home->bytes += weight(m);
	e->head_seq = seq;
}
