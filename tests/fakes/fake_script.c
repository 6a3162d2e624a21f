/* SPDX-License-Identifier: Apache-2.0
 * Directives: one table row each; what a row's function refuses is ordinary text. */
#include "tests/fakes/fake_script.h"

#include <stdint.h>

#include "common/attr.h"
#include "common/die.h"
#include "tests/fakes/fake_scan.h"

#define ARGS_MAX 2
#define BOOK_SIZE (1u << 16)
#define SIZE_LIMIT (64l << 20)
#define NUMBER_LIMIT 1000000000l
#define CHUNKS_LIMIT 1000000l

struct reading {
	struct script *s;
	struct slice text; /* all of it: what the book counts by */
	unsigned seen;     /* requests with this text, this one included; 0: not asked */
	struct slice arg[ARGS_MAX];
	int args;
};

/* ---- how often a text was seen */

static struct {
	uint64_t hash;
	unsigned count;
} book[BOOK_SIZE];

static uint64_t hash_of(struct slice text)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < text.n; i++)
		h = (h ^ (unsigned char)text.p[i]) * 0x100000001b3u;
	return h;
}

static unsigned count_text(struct slice text)
{
	uint64_t hash = hash_of(text);
	for (size_t probe = 0; probe < BOOK_SIZE; probe++) {
		size_t i = (hash + probe) % BOOK_SIZE;
		if (book[i].count && book[i].hash != hash)
			continue;
		book[i].hash = hash;
		return ++book[i].count;
	}
	fatal("more than %u different texts with a count", BOOK_SIZE);
}

/* Whether a directive whose argument i may be a count applies to this request. */
static bool applies(struct reading *r, int i)
{
	long long limit;
	if (i >= r->args)
		return true;
	if (!slice_to_i64(r->arg[i], &limit))
		return false;
	if (!r->seen)
		r->seen = count_text(r->text);
	return r->seen <= limit;
}

/* ---- directives */

static bool number(const struct reading *r, int i, long max, long *out)
{
	long long v;
	if (i >= r->args || !slice_to_i64(r->arg[i], &v) || v < 0 || v > max)
		return false;
	*out = (long)v;
	return true;
}

static bool do_plain(struct reading *r)
{
	r->s->plain = true;
	return r->args == 0;
}

static bool do_late(struct reading *r)
{
	r->s->late = true;
	return r->args == 0;
}

static bool do_say(struct reading *r)
{
	return number(r, 0, SIZE_LIMIT, &r->s->say);
}

static bool do_think(struct reading *r)
{
	return number(r, 0, SIZE_LIMIT, &r->s->think);
}

static bool do_window(struct reading *r)
{
	return number(r, 0, NUMBER_LIMIT, &r->s->window);
}

static bool milliseconds(const struct reading *r, int *out)
{
	long v;
	if (!number(r, 0, NUMBER_LIMIT, &v))
		return false;
	*out = (int)v;
	return true;
}

static bool do_chunks(struct reading *r)
{
	long v;
	if (!number(r, 0, CHUNKS_LIMIT, &v) || v == 0)
		return false;
	r->s->chunks = (int)v;
	return true;
}

static bool do_size(struct reading *r)
{
	return number(r, 0, SIZE_LIMIT, &r->s->size);
}

static bool do_tool(struct reading *r)
{
	struct script *s = r->s;
	if (r->args == 0 || s->tool_count == SCRIPT_TOOLS_MAX)
		return false;
	s->tools[s->tool_count++] =
		(struct script_tool){r->arg[0], r->args > 1 ? r->arg[1] : SLICE("{}")};
	return true;
}

static bool do_loop(struct reading *r)
{
	r->s->loops |= r->args > 0;
	return do_tool(r);
}

static bool do_delay(struct reading *r)
{
	return milliseconds(r, &r->s->delay_ms);
}

static bool do_pause(struct reading *r)
{
	return milliseconds(r, &r->s->pause_ms);
}

static bool do_drip(struct reading *r)
{
	return milliseconds(r, &r->s->drip_ms);
}

/* The first one that applies wins, so `[status 429 1][status 500 2]` is a sequence. */
static bool do_status(struct reading *r)
{
	long v;
	if (!number(r, 0, 999, &v) || v < 200)
		return false;
	if (!r->s->status && applies(r, 1))
		r->s->status = (int)v;
	return true;
}

static bool do_retry_after(struct reading *r)
{
	r->s->retry_after = r->arg[0];
	return r->args == 1;
}

/* The first one that applies wins. */
static bool ends(struct reading *r, enum ending how)
{
	long v;
	if (!number(r, 0, NUMBER_LIMIT, &v))
		return false;
	if (r->s->ending == ENDS_WELL && applies(r, 1)) {
		r->s->ending = how;
		r->s->after = v;
	}
	return true;
}

static bool do_cut(struct reading *r)
{
	return ends(r, ENDS_CUT);
}

static bool do_reset(struct reading *r)
{
	return ends(r, ENDS_RESET);
}

static bool do_stall(struct reading *r)
{
	return ends(r, ENDS_STALLED);
}

static bool do_error(struct reading *r)
{
	return ends(r, ENDS_IN_ERROR);
}

static bool do_half_head(struct reading *r)
{
	r->s->half_head |= applies(r, 0);
	return true;
}

static bool do_quota(struct reading *r)
{
	r->s->quota |= applies(r, 0);
	return true;
}

static bool do_clock(struct reading *r)
{
	r->s->clock = true;
	return r->args == 0;
}

static bool do_garbage(struct reading *r)
{
	r->s->garbage |= applies(r, 0);
	return true;
}

static bool do_hang(struct reading *r)
{
	r->s->hang |= applies(r, 0);
	return true;
}

static const struct {
	const char *name;
	bool (*fn)(struct reading *r);
} directives[] = {
	{"chunks", do_chunks}, {"size", do_size},
	{"tool", do_tool},     {"loop", do_loop},
	{"delay", do_delay},   {"pause", do_pause},
	{"status", do_status}, {"retry-after", do_retry_after},
	{"cut", do_cut},       {"garbage", do_garbage},
	{"hang", do_hang},     {"say", do_say},
	{"think", do_think},   {"window", do_window},
	{"drip", do_drip},     {"reset", do_reset},
	{"stall", do_stall},   {"error", do_error},
	{"quota", do_quota},   {"half-head", do_half_head},
	{"plain", do_plain},   {"late", do_late},
	{"clock", do_clock},
};

static bool perform(struct reading *r, struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(directives); i++)
		if (slice_is(name, directives[i].name))
			return directives[i].fn(r);
	return false;
}

/* ---- reading */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct scan *s)
{
	while (s->p < s->end && is_space(*s->p))
		s->p++;
}

/* Up to a space or the closing bracket. */
static struct slice word(struct scan *s)
{
	const char *start = s->p;
	while (s->p < s->end && *s->p != ']' && !is_space(*s->p))
		s->p++;
	return slice_of(start, (size_t)(s->p - start));
}

/* At '['. On success steps behind the directive; else it is no directive. */
static bool directive(struct reading *r, struct scan *at)
{
	struct scan s = *at;
	s.p++;
	struct slice name = word(&s);
	for (r->args = 0;; r->args++) {
		skip_space(&s);
		if (s.p >= s.end)
			return false;
		if (*s.p == ']')
			break;
		if (r->args == ARGS_MAX)
			return false;
		struct slice *arg = &r->arg[r->args];
		if (*s.p != '{' && *s.p != '[')
			*arg = word(&s);
		else if (!scan_value(&s, arg))
			return false;
	}
	s.p++;
	at->p = perform(r, name) ? s.p : at->p;
	return at->p == s.p;
}

void script_read(struct script *s, struct slice text)
{
	struct reading r = {.s = s, .text = text};
	struct scan at;
	s->payload = text;
	s->chunks = 4;
	s->size = s->window = -1;
	s->say = s->think = s->after = 0;
	s->tool_count = s->delay_ms = s->pause_ms = s->drip_ms = s->status = 0;
	s->clock = s->late = s->plain = s->loops = s->garbage = s->hang = s->half_head =
		s->quota = false;
	s->ending = ENDS_WELL;
	s->retry_after = SLICE_NONE;
	if (text.n == 0)
		return;
	at = scan_of(text);
	for (;;) {
		skip_space(&at);
		if (at.p >= at.end || *at.p != '[' || !directive(&r, &at))
			break;
		s->payload = SLICE_NONE;
	}
	if (!s->payload.p)
		s->payload = slice_of(at.p, (size_t)(at.end - at.p));
}
