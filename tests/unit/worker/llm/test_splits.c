/* SPDX-License-Identifier: Apache-2.0
 * Whole streams, from the bytes of a connection to the answer: the recordings below
 * tests/data/streams (NAME.sse, NAME beginning with its provider) give what NAME.txt
 * says, in one piece, byte by byte, and cut in two at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <glob.h>

#include "common/attr.h"
#include "common/http/sse.h"
#include "common/json.h"
#include "worker/llm/llm.h"

#define EVENT_MOST (4u << 20)
#define FILE_MOST (64u << 10)

static const struct {
	const char *prefix;
	const struct llm_provider *provider;
} providers[] = {
	{"anthropic-", &llm_anthropic},
	{"gemini-", &llm_gemini},
	{"openai-", &llm_openai},
	{"responses-", &llm_responses},
};

/* One reading of a recording. */
static struct reading {
	const struct llm_provider *provider;
	struct sse_reader sse;
	struct llm_answer a;
	enum err failed;
} g;

static enum err on_event(void *arg, const struct sse_event *e)
{
	struct reading *r = arg;
	return r->provider->read_event(&r->a, e->event, e->data);
}

/* As the call does it: the first error ends the reading. */
static void feed(struct slice piece)
{
	char *copy = malloc(piece.n + 1);
	memcpy(copy, piece.p, piece.n);
	if (!g.failed)
		g.failed = sse_reader_feed(&g.sse, slice_of(copy, piece.n));
	free(copy);
}

static void put(struct strbuf *out, const char *before, struct slice s)
{
	strbuf_printf(out, "%s\"", before);
	json_escape(out, s);
	strbuf_add_char(out, '"');
}

static void put_part(struct strbuf *out, const struct llm_part *p)
{
	if (p->kind == LLM_TEXT) {
		put(out, "text ", llm_part_text(&g.a, p));
	} else if (p->kind == LLM_CALL) {
		put(out, "call ", strbuf_slice(&p->id));
		put(out, " ", strbuf_slice(&p->name));
		put(out, " ", strbuf_slice(&p->arguments));
	} else {
		put(out, "reasoning ", strbuf_slice(&p->thought));
	}
	strbuf_add_char(out, '\n');
	if (p->opaque.n)
		strbuf_printf(out, "  opaque %s\n", p->opaque.p);
}

/* What was read, as the .txt files have it. */
static void show(struct strbuf *out)
{
	static const char *const stops[] = {"none", "end", "tools", "length", "filter"};
	const struct llm_usage *u = &g.a.usage;
	for (size_t i = 0; i < g.a.part_count; i++)
		put_part(out, &g.a.parts[i]);
	strbuf_printf(out, "usage in=%lld out=%lld cached=%lld written=%lld",
		      (long long)u->in, (long long)u->out, (long long)u->cached,
		      (long long)u->cache_write);
	strbuf_printf(out, " reasoning=%lld\nstop %s\n", (long long)u->reasoning,
		      stops[g.a.stop]);
	if (g.a.retry_after_us)
		strbuf_printf(out, "again in %lld us\n", (long long)g.a.retry_after_us);
	if (g.failed)
		strbuf_printf(out, "error %s\n", err_code(g.failed));
	if (g.a.error[0]) {
		put(out, "says ", slice_str(g.a.error));
		strbuf_add_char(out, '\n');
	}
}

/* Reads the stream in pieces: up to `cut` and the rest, or of `step` bytes each. */
static void read_stream(struct strbuf *out, struct slice all, size_t cut, size_t step)
{
	strbuf_reset(out);
	llm_answer_reset(&g.a);
	g.failed = ERR_OK;
	sse_reader_init(&g.sse, EVENT_MOST, on_event, &g);
	feed(slice_of(all.p, cut));
	for (size_t at = cut; at < all.n; at += step)
		feed(slice_of(all.p + at, all.n - at < step ? all.n - at : step));
	sse_reader_fini(&g.sse);
	show(out);
}

static void load(struct strbuf *out, const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("%s cannot be read", path);
	strbuf_reset(out);
	out->n += fread(strbuf_reserve(out, FILE_MOST), 1, FILE_MOST - 1, f);
	strbuf_add_str(out, "");
	fclose(f);
}

static const struct llm_provider *provider_of(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		if (!strncmp(name, providers[i].prefix, strlen(providers[i].prefix)))
			return providers[i].provider;
	fail_msg("%s is of no provider", path);
	return NULL;
}

static void each_recording(void (*look)(const char *path, struct slice all,
					const char *want))
{
	struct strbuf stream = STRBUF_INIT, want = STRBUF_INIT;
	size_t of[ARRAY_LEN(providers)] = {0};
	glob_t found;
	assert_int_equal(glob(TB_TEST_DATA "/streams/*.sse", 0, NULL, &found), 0);
	llm_answer_init(&g.a);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char text[4096];
		const char *path = found.gl_pathv[i];
		snprintf(text, sizeof text, "%.*s.txt", (int)strlen(path) - 4, path);
		load(&stream, path);
		load(&want, text);
		g.provider = provider_of(path);
		for (size_t p = 0; p < ARRAY_LEN(providers); p++)
			of[p] += providers[p].provider == g.provider;
		look(path, strbuf_slice(&stream), want.p);
	}
	for (size_t p = 0; p < ARRAY_LEN(providers); p++)
		if (!of[p])
			fail_msg("no recording of %s", providers[p].prefix);
	llm_answer_fini(&g.a);
	globfree(&found);
	strbuf_fini(&stream);
	strbuf_fini(&want);
}

static void look_at_whole(const char *path, struct slice all, const char *want)
{
	struct strbuf have = STRBUF_INIT;
	read_stream(&have, all, all.n, 1);
	if (strcmp(have.p, want))
		fail_msg("%s gives\n%s\nand not\n%s", path, have.p, want);
	strbuf_fini(&have);
}

static void look_at_splits(const char *path, struct slice all, const char *want)
{
	struct strbuf have = STRBUF_INIT;
	for (size_t cut = 1; cut < all.n; cut++) {
		read_stream(&have, all, cut, all.n);
		if (strcmp(have.p, want))
			fail_msg("%s cut at %zu gives\n%s", path, cut, have.p);
	}
	for (size_t step = 1; step <= 7; step += 2) {
		read_stream(&have, all, 0, step);
		if (strcmp(have.p, want))
			fail_msg("%s in pieces of %zu gives\n%s", path, step, have.p);
	}
	strbuf_fini(&have);
}

static void test_whole(void **state)
{
	(void)state;
	each_recording(look_at_whole);
}

static void test_splits(void **state)
{
	(void)state;
	each_recording(look_at_splits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_splits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
