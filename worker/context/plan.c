/* SPDX-License-Identifier: Apache-2.0
 * The walk over the items. */
#include "worker/context/plan.h"

#include <string.h>

#include "common/attr.h"
#include "common/json.h"
#include "common/strbuf.h"
#include "worker/context/prune.h"
#include "worker/context/tokens.h"
#include "worker/llm/blocks.h"

/* ---- reading */

uint64_t plan_hash(struct slice text)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < text.n; i++)
		h = (h ^ (unsigned char)text.p[i]) * 0x100000001b3u;
	return h;
}

static void read_result(struct plan_item *item, json_t block)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct slice text = json_str(json_get(block, "text"));
	int64_t whole = tokens_of_block(block), trimmed = whole;
	int64_t cleared = TOKENS_CALL + tokens_of_text(SLICE(PRUNE_CLEARED));
	if (prune_text(&b, text))
		trimmed = TOKENS_CALL + tokens_of_text(strbuf_slice(&b));
	item->whole += whole;
	item->trimmed += trimmed < whole ? trimmed : whole;
	item->cleared += cleared < whole ? cleared : whole;
}

void plan_read(struct plan_item *item, struct slice content)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(content, content.n, NULL, 0);
	struct json_iter it = json_iter(json_get(json_root(d), "blocks"));
	item->whole = item->trimmed = item->cleared = TOKENS_MESSAGE;
	item->ids = 0;
	item->id_sum = 0;
	item->used = 0;
	json_t note = json_get(json_root(d), "context");
	if (item->role == PLAN_ASSISTANT && json_i64(json_get(note, "used"), &item->used))
		item->model = plan_hash(json_str(json_get(note, "model")));
	for (json_t b; (b = json_next(&it, NULL));) {
		enum block_kind kind = block_kind(b);
		if (kind == BLOCK_CALL || kind == BLOCK_RESULT) {
			item->ids++;
			item->id_sum += plan_hash(json_str(json_get(b, "callId")));
		}
		if (kind == BLOCK_RESULT) {
			read_result(item, b);
			continue;
		}
		int64_t tokens = tokens_of_block(b);
		item->whole += tokens;
		if (item->role == PLAN_TOOL && kind == BLOCK_IMAGE)
			continue; /* shorter forms have none */
		item->trimmed += tokens;
		item->cleared += tokens;
	}
}

/* ---- pairs */

/* One past the results behind the message at i, which may have calls. */
static size_t group_end(const struct plan_item *const *items, size_t count, size_t i)
{
	for (i++; i < count && items[i]->role == PLAN_TOOL; i++)
		;
	return i;
}

/* An answer and the results behind it belong together; a group that is not complete, and
 * results without an answer, are left out whole. */
static void pair(const struct plan_item *const *items, size_t count, uint8_t *form)
{
	for (size_t i = 0, end; i < count; i = end) {
		const struct plan_item *m = items[i];
		unsigned ids = 0;
		uint64_t sum = 0;
		end = m->role == PLAN_ASSISTANT ? group_end(items, count, i) : i + 1;
		for (size_t k = i + 1; k < end; k++) {
			ids += items[k]->ids;
			sum += items[k]->id_sum;
		}
		bool fits = m->role == PLAN_ASSISTANT
				    ? m->ids == ids && (!ids || m->id_sum == sum)
				    : m->role == PLAN_USER;
		memset(form + i, fits ? PLAN_WHOLE : PLAN_OUT, end - i);
	}
}

/* ---- old results */

struct walk {
	const struct plan_item *const *items;
	size_t count;
	uint8_t *form;
	size_t fresh[PLAN_FRESH_ANSWERS]; /* the newest answers, a ring */
	size_t answers;
	size_t first;   /* behind the first message of a user */
	size_t cleared; /* results before this one are */
};

/* The first message that is not old, at this moment of the walk. */
static size_t fresh_from(const struct walk *w)
{
	return w->answers < PLAN_FRESH_ANSWERS
		       ? 0
		       : w->fresh[w->answers % PLAN_FRESH_ANSWERS];
}

static bool is_result(const struct walk *w, size_t i)
{
	return w->form[i] != PLAN_OUT && w->items[i]->role == PLAN_TOOL;
}

static int64_t clear_before(struct walk *w, size_t end)
{
	int64_t gained = 0;
	for (size_t i = w->cleared > w->first ? w->cleared : w->first; i < end; i++)
		if (is_result(w, i)) {
			w->form[i] = PLAN_CLEARED;
			gained += w->items[i]->trimmed - w->items[i]->cleared;
		}
	if (end > w->cleared)
		w->cleared = end;
	return gained;
}

/* The walk goes as the conversation went: a message is added, and where a model was asked
 * next, what had become old by then is cleared if half of the window was used. Results
 * count as trimmed from the start: that they are whole while they are fresh must not
 * clear others. */
static void shorten(struct walk *w, const struct plan_limits *limits, int64_t tokens)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct plan_item *m = w->items[i];
		if (w->form[i] == PLAN_OUT)
			continue;
		if (m->role == PLAN_USER && w->first == SIZE_MAX)
			w->first = i + 1;
		if (m->role == PLAN_ASSISTANT && tokens >= limits->window / 2)
			tokens -= clear_before(w, fresh_from(w));
		if (m->role == PLAN_ASSISTANT)
			w->fresh[w->answers++ % PLAN_FRESH_ANSWERS] = i;
		tokens += m->trimmed;
	}
	if (tokens >= limits->window / 2)
		clear_before(w, fresh_from(w));
	for (size_t i = w->first; i < fresh_from(w); i++)
		if (is_result(w, i) && w->form[i] == PLAN_WHOLE &&
		    w->items[i]->trimmed < w->items[i]->whole)
			w->form[i] = PLAN_TRIMMED;
}

/* ---- limits */

static int64_t cost(const struct plan_item *m, uint8_t form)
{
	return form == PLAN_OUT       ? 0
	       : form == PLAN_WHOLE   ? m->whole
	       : form == PLAN_TRIMMED ? m->trimmed
				      : m->cleared;
}

/* The newest answer, or without one the newest message. */
static size_t last_group(const struct plan_item *const *items, size_t count)
{
	for (size_t i = count; i-- > 0;)
		if (items[i]->role == PLAN_ASSISTANT)
			return i;
	return count ? count - 1 : 0;
}

/* Whether what is shown may begin there. */
static bool may_begin(const struct plan_item *m)
{
	return m->role == PLAN_USER;
}

/* More than the model can read: no result is too fresh to be trimmed. */
static int64_t trim_all(struct walk *w)
{
	int64_t gained = 0;
	for (size_t i = 0; i < w->count; i++)
		if (is_result(w, i) && w->form[i] == PLAN_WHOLE &&
		    w->items[i]->trimmed < w->items[i]->whole) {
			w->form[i] = PLAN_TRIMMED;
			gained += w->items[i]->whole - w->items[i]->trimmed;
		}
	return gained;
}

/* The newest message that what is shown may begin with, before the last group; w->count:
 * there is none. */
static size_t newest_beginning(const struct walk *w, size_t last)
{
	for (size_t i = last + 1; i-- > 0;)
		if (may_begin(w->items[i]) && w->form[i] != PLAN_OUT)
			return i;
	return w->count;
}

/* What does not fit goes, the oldest first: turns, and of the newest turn, which may be
 * long, its steps. What it is about stays. */
static void leave_out(struct walk *w, int64_t tokens, const struct plan_limits *limits,
		      struct plan_sum *sum)
{
	size_t last = last_group(w->items, w->count), i = 0;
	size_t kept = newest_beginning(w, last);
	while (i < last && tokens > limits->most) {
		if (i == kept) {
			i++;
			continue;
		}
		do {
			tokens -= cost(w->items[i], w->form[i]);
			sum->left_out += w->form[i] != PLAN_OUT;
			w->form[i++] = PLAN_OUT;
		} while (i < last && w->items[i]->role == PLAN_TOOL);
	}
	if (sum->summary != SIZE_MAX || (kept < w->count && i > kept))
		return; /* it stands before them */
	for (size_t k = i; i && k < last && !may_begin(w->items[k]); k++) {
		sum->left_out += w->form[k] != PLAN_OUT;
		w->form[k] = PLAN_OUT;
	}
}

/* Answers at the beginning lost their question to the limit of what was read, or greet:
 * there are providers that take none without a user's message before it. */
static void begin_well(struct walk *w)
{
	size_t i = 0;
	while (i < w->count && !(w->form[i] != PLAN_OUT && may_begin(w->items[i])))
		i++;
	if (i < w->count)
		memset(w->form, PLAN_OUT, i);
}

static void find_summary(struct walk *w, int64_t seq, struct plan_sum *sum)
{
	for (size_t i = 0; seq && i < w->count; i++)
		if (w->items[i]->role == PLAN_SUMMARY && w->items[i]->seq == seq) {
			sum->summary = i;
			sum->summary_tokens = w->items[i]->whole;
			w->first = 0;
		}
}

void plan_make(const struct plan_item *const *items, size_t count,
	       const struct plan_limits *limits, uint8_t *form, struct plan_sum *sum)
{
	struct walk w = {.items = items, .count = count, .form = form, .first = SIZE_MAX};
	*sum = (struct plan_sum){.summary = SIZE_MAX};
	pair(items, count, form);
	find_summary(&w, limits->summary_seq, sum);
	if (sum->summary == SIZE_MAX)
		begin_well(&w);
	shorten(&w, limits, sum->summary_tokens);
	for (int pass = 0; pass < 2; pass++) {
		sum->tokens = sum->summary_tokens;
		sum->pruned = 0;
		for (size_t i = 0; i < count; i++) {
			sum->tokens += cost(items[i], form[i]);
			if (form[i] != PLAN_OUT)
				sum->pruned += items[i]->whole - cost(items[i], form[i]);
		}
		if (pass || !limits->most || sum->tokens <= limits->most)
			break;
		leave_out(&w, sum->tokens - trim_all(&w), limits, sum);
	}
	if (sum->summary != SIZE_MAX)
		form[sum->summary] = PLAN_WHOLE;
}

/* ---- where to cut */

size_t plan_cut(const struct plan_item *const *items, size_t count, int64_t tokens,
		int keep_messages)
{
	size_t last = last_group(items, count), cut = count, messages = 0;
	int64_t sum = 0;
	for (size_t i = count; i-- > 0;) {
		if (items[i]->role == PLAN_SUMMARY || items[i]->role == PLAN_MARK)
			continue;
		sum += items[i]->whole;
		messages++;
		if (i < last &&
		    (keep_messages < 0 ? sum > tokens : messages > (size_t)keep_messages))
			break;
		if (items[i]->role != PLAN_TOOL)
			cut = i;
	}
	/* Nothing to summarise stands before it. */
	for (size_t i = 0; i < cut; i++)
		if (items[i]->role != PLAN_SUMMARY && items[i]->role != PLAN_MARK)
			return cut;
	return 0;
}
