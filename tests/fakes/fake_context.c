/* SPDX-License-Identifier: Apache-2.0
 * Facts, found by a walk over the request's bytes. */
#include "tests/fakes/fake_context.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/strbuf.h"

#define FACTS_MOST 4096
#define SLOW_MS 3000
#define LONG_BYTES 200000

static bool in_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static bool has(struct slice body, const char *word)
{
	return slice_find(body, slice_str(word)) >= 0;
}

/* Each once, in the order in which they stand there first. */
static void add_facts(struct strbuf *out, struct slice body)
{
	static struct slice seen[FACTS_MOST];
	size_t count = 0;
	ptrdiff_t at;
	while ((at = slice_find(body, SLICE("fact-"))) >= 0) {
		size_t n = 0, i = 0;
		body = slice_of(body.p + at, body.n - (size_t)at);
		while (n < body.n && in_word(body.p[n]))
			n++;
		struct slice fact = slice_of(body.p, n);
		body = slice_of(body.p + n, body.n - n);
		while (i < count && !slice_eq(seen[i], fact))
			i++;
		if (i < count || count == FACTS_MOST)
			continue;
		seen[count++] = fact;
		strbuf_add_char(out, ' ');
		strbuf_add_slice(out, fact);
	}
}

static void summarise(struct script *s, struct slice body, struct strbuf *text)
{
	strbuf_add_str(text, "The facts are:");
	add_facts(text, body);
	s->payload = strbuf_slice(text);
	if (has(body, "summary-fails"))
		s->status = 500;
	if (has(body, "summary-is-empty"))
		s->size = 0;
	if (has(body, "summary-is-long"))
		s->size = LONG_BYTES;
	if (has(body, "summary-is-slow"))
		s->delay_ms = SLOW_MS;
}

static void flush(struct script *s, struct slice body, struct strbuf *text)
{
	s->payload = SLICE("NO_REPLY");
	if (!has(body, "saves-memory"))
		return;
	struct json_out o = json_out(text);
	struct strbuf facts = STRBUF_INIT;
	add_facts(&facts, body);
	json_obj(&o);
	json_kv_cstr(&o, "path", "notes/flushed.md");
	json_kv_str(&o, "text", strbuf_slice(&facts));
	json_obj_end(&o);
	strbuf_fini(&facts);
	s->tools[0] = (struct script_tool){SLICE("memory_store"), strbuf_slice(text)};
	s->tool_count = 1;
}

static bool is_too_long(struct slice body)
{
	ptrdiff_t at = slice_find(body, SLICE("window-"));
	return at >= 0 &&
	       body.n / 4 > strtoul(body.p + at + sizeof "window-" - 1, NULL, 10);
}

void context_script(struct script *s, struct slice text, struct slice body)
{
	static struct strbuf kept;
	strbuf_reset(&kept);
	if (slice_has_prefix(text, SLICE("Summarise the conversation below"))) {
		summarise(s, body, &kept);
	} else if (slice_has_prefix(text, SLICE("[system notice] The older part"))) {
		flush(s, body, &kept);
	} else if (slice_has_prefix(text, SLICE("[recall]"))) {
		strbuf_add_str(&kept, "known:");
		add_facts(&kept, body);
		s->payload = strbuf_slice(&kept);
	}
	if (is_too_long(body))
		s->status = 413;
}
