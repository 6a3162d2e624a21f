/* SPDX-License-Identifier: Apache-2.0
 * The offline model: no language model but a table of phrases, so that a fresh machine
 * shows the whole way of a run, with real tools, before any key is configured. It answers
 * from the transcript alone and always the same. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/json.h"
#include "worker/context/fence.h"
#include "worker/llm/llm.h"

#define CONTENT_MOST (4u << 20)
#define WORDS_MOST 16

enum rule_name {
#define RULE(NAME, phrase, tool, arguments, example) RULE_##NAME,
#include "worker/llm/offline_rules.tbl"
#undef RULE
};

static const struct rule {
	const char *phrase, *tool, *arguments, *example;
} rules[] = {
#define RULE(NAME, phrase, tool, arguments, example) {phrase, tool, arguments, example},
#include "worker/llm/offline_rules.tbl"
#undef RULE
};

/* ---- reading the transcript */

/* Without the lines that tell a model where words from outside begin and end. */
static struct slice unfenced(struct slice text)
{
	struct slice first;
	if (!slice_has_prefix(text, SLICE(TOOL_FENCE)))
		return text;
	first = slice_cut(&text, '\n');
	while (first.p && text.n && text.p[text.n - 1] != '\n')
		text.n--;
	return text.n ? slice_of(text.p, text.n - 1) : text;
}

static void add_text_of(struct strbuf *out, struct slice content, const char *type)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(content, CONTENT_MOST, NULL, 0);
	struct json_iter it = json_iter(json_get(json_root(d), "blocks"));
	for (json_t b; (b = json_next(&it, NULL));)
		if (slice_is(json_str(json_get(b, "type")), type))
			strbuf_add_slice(out, unfenced(json_str(json_get(b, "text"))));
}

static bool is_error_of(struct slice content)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(content, CONTENT_MOST, NULL, 0);
	json_t b = json_at(json_get(json_root(d), "blocks"), 0);
	return json_bool(json_get(b, "isError"), false);
}

static const struct llm_message *last_of(const struct llm_question *q, enum llm_role role)
{
	for (size_t i = q->message_count; i-- > 0;)
		if (q->messages[i]->role == role)
			return q->messages[i];
	return NULL;
}

static bool has_tool(const struct llm_question *q, const char *name)
{
	for (size_t i = 0; i < q->tool_count; i++)
		if (!strcmp(q->tools[i]->name, name))
			return true;
	return false;
}

/* ---- matching */

struct match {
	const struct rule *rule;
	struct slice first, second; /* %1 and %2 */
};

static struct slice without_end(struct slice s)
{
	s = slice_trim(s);
	while (s.n && strchr(".?!", s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool matches(const struct rule *r, struct slice text, struct match *m)
{
	struct slice phrase = slice_str(r->phrase);
	bool split = phrase.p[phrase.n - 1] == ':';
	phrase.n -= split;
	if (text.n < phrase.n || !slice_ieq(slice_of(text.p, phrase.n), phrase))
		return false;
	struct slice rest = slice_of(text.p + phrase.n, text.n - phrase.n);
	*m = (struct match){.rule = r, .first = slice_trim(rest)};
	if (split) {
		m->first = slice_trim(slice_cut(&rest, ':'));
		m->second = slice_trim(rest);
		return m->first.n && rest.p;
	}
	return true;
}

static bool find_rule(struct slice text, struct match *m)
{
	text = slice_trim(text);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (matches(&rules[i], text, m))
			return true;
	return false;
}

static void put_arguments(struct strbuf *out, const struct match *m)
{
	for (const char *p = m->rule->arguments; *p; p++) {
		if (*p == '%' && p[1] == '1')
			json_escape(out, m->first);
		else if (*p == '%' && p[1] == '2')
			json_escape(out, m->second);
		else {
			strbuf_add_char(out, *p);
			continue;
		}
		p++;
	}
}

/* ---- answers */

static void say_help(struct llm_answer *a, const struct llm_question *q)
{
	strbuf_add_str(&a->text,
		       "I am the offline model: a few rules, no language model. I "
		       "understand messages like:\n");
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (has_tool(q, rules[i].tool))
			strbuf_printf(&a->text, "- %s\n", rules[i].example);
	strbuf_add_str(&a->text,
		       "For a real model set OPENAI_API_KEY, or OPENAI_BASE_URL of "
		       "a compatible server.");
}

static void call_tool(struct llm_answer *a, const struct match *m, size_t messages)
{
	struct llm_part *c = llm_part_new(a, LLM_CALL, 0);
	strbuf_printf(&c->id, "call_%zu", messages);
	strbuf_add_str(&c->name, m->rule->tool);
	put_arguments(&c->arguments, m);
	a->stop = LLM_STOP_TOOLS;
}

/* Whether the line holds one of the question's longer words. */
static bool is_about(struct slice line, struct slice topic)
{
	struct slice rest = topic;
	char have[512], word[64];
	size_t n = line.n < sizeof have - 1 ? line.n : sizeof have - 1;
	for (size_t i = 0; i < n; i++)
		have[i] = (char)tolower((unsigned char)line.p[i]);
	have[n] = 0;
	for (int i = 0; i < WORDS_MOST && rest.n; i++) {
		struct slice w = slice_cut(&rest, ' ');
		if (w.n < 4 || w.n >= sizeof word)
			continue;
		for (size_t k = 0; k < w.n; k++)
			word[k] = (char)tolower((unsigned char)w.p[k]);
		word[w.n] = 0;
		if (strstr(have, word))
			return true;
	}
	return false;
}

/* The document's lines that have to do with the topic; all of them without a topic. */
static void say_memory(struct llm_answer *a, struct slice result, struct slice topic)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(result, CONTENT_MOST, NULL, 0);
	struct slice text = json_str(json_get(json_root(d), "text"));
	topic = without_end(topic);
	size_t found = 0;
	while (text.n) {
		struct slice line = slice_trim(slice_cut(&text, '\n'));
		if (!line.n || (topic.n && !is_about(line, topic)))
			continue;
		strbuf_add_str(&a->text, found++ ? "\n" : "This is what I remember:\n");
		strbuf_add_slice(&a->text, line);
	}
	if (!found)
		strbuf_add_str(&a->text, "I remember nothing about that yet.");
}

static void answer_with_result(struct llm_answer *a, const struct match *m,
			       const struct llm_message *tool)
{
	AUTO(strbuf_fini) struct strbuf result = STRBUF_INIT;
	struct slice said = without_end(m->first);
	size_t rule = (size_t)(m->rule - rules);
	add_text_of(&result, tool->content, "tool_result");
	if (is_error_of(tool->content)) {
		if (!strcmp(m->rule->tool, "memory_get"))
			strbuf_add_str(&a->text, "I remember nothing yet.");
		else
			strbuf_printf(&a->text, "That did not work: %.*s",
				      SLICE_ARG(strbuf_slice(&result)));
	} else if (rule <= RULE_NOTE_THAT) {
		strbuf_printf(&a->text, "I will remember: %.*s.", SLICE_ARG(said));
	} else if (rule <= RULE_KNOW) {
		say_memory(a, strbuf_slice(&result),
			   rule == RULE_KNOW ? SLICE_NONE : m->first);
	} else {
		strbuf_printf(&a->text, "%s says:\n", m->rule->tool);
		strbuf_add_slice(&a->text, strbuf_slice(&result));
	}
}

/* What was said is a part of the answer. */
static void end_text(struct llm_answer *a)
{
	struct strbuf said = a->text;
	a->text = STRBUF_INIT;
	llm_add_text(a, -1, strbuf_slice(&said));
	strbuf_fini(&said);
}

static enum err answer(struct llm_answer *a, const struct llm_question *q)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	const struct llm_message *user = last_of(q, LLM_USER);
	const struct llm_message *last =
		q->message_count ? q->messages[q->message_count - 1] : NULL;
	struct match m;
	a->stop = LLM_STOP_END;
	if (user)
		add_text_of(&text, user->content, "text");
	if (!find_rule(strbuf_slice(&text), &m))
		say_help(a, q);
	else if (last && last->role == LLM_TOOL)
		answer_with_result(a, &m, last);
	else if (has_tool(q, m.rule->tool))
		call_tool(a, &m, q->message_count);
	else
		strbuf_printf(&a->text,
			      "For that I would need the tool %s, which this agent does "
			      "not have.",
			      m.rule->tool);
	end_text(a);
	a->usage.in = (int64_t)text.n / 4 + 1;
	a->usage.out = (int64_t)a->text.n / 4 + 1;
	return ERR_OK;
}

static void write_message(struct strbuf *out, enum llm_role role, json_t blocks)
{
	(void)role;
	json_print(out, blocks);
}

static void write_request(struct strbuf *out, const struct llm_question *q)
{
	(void)q;
	strbuf_add_str(out, "{}"); /* nothing travels */
}

const struct llm_provider llm_offline = {
	.name = "offline",
	.write_message = write_message,
	.write_request = write_request,
	.answer = answer,
};
