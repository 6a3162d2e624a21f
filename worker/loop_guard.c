/* SPDX-License-Identifier: Apache-2.0
 * A ring of hashes. */
#include "worker/loop_guard.h"

#include "common/attr.h"
#include "common/crypto.h"
#include "common/json.h"

/* What a program's end says of the machine and not of its work. */
static const char *const volatile_members[] = {"wall_ms", "cpu_ms", "max_rss_kib"};

/* Which texts collide is nobody's gain: the worst is a warning too early. */
static const uint8_t seed[16] = {1};

uint64_t loop_call_hash(struct slice name, struct slice input)
{
	return crypto_siphash(seed, name) * 31 + crypto_siphash(seed, input);
}

static bool is_volatile(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(volatile_members); i++)
		if (slice_is(name, volatile_members[i]))
			return true;
	return false;
}

static uint64_t result_hash(struct slice output)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	AUTO(auto_json_free) struct json_doc *d = json_parse(output, output.n, NULL, 0);
	struct json_iter it = json_iter(json_root(d));
	struct slice name;
	if (json_kind(json_root(d)) != JSON_OBJECT)
		return crypto_siphash(seed, output);
	for (json_t v; (v = json_next(&it, &name));) {
		if (is_volatile(name))
			continue;
		strbuf_add_slice(&b, name);
		strbuf_add_char(&b, 0);
		json_print(&b, v);
	}
	return crypto_siphash(seed, strbuf_slice(&b));
}

static unsigned held(const struct loop_guard *g)
{
	return g->made < LOOP_HISTORY ? g->made : LOOP_HISTORY;
}

/* The newest entry of that call; NULL: none. */
static const struct loop_pair *newest(const struct loop_guard *g, uint64_t call)
{
	for (unsigned i = 0; i < held(g); i++) {
		const struct loop_pair *p = &g->last[(g->made - 1 - i) % LOOP_HISTORY];
		if (p->call == call)
			return p;
	}
	return NULL;
}

unsigned loop_guard_repeats(const struct loop_guard *g, uint64_t call)
{
	const struct loop_pair *p = newest(g, call);
	unsigned n = 0;
	for (unsigned i = 0; p && i < held(g); i++)
		n += g->last[i].call == call && g->last[i].result == p->result;
	return n;
}

static void put(struct loop_guard *g, uint64_t call, uint64_t result)
{
	g->last[g->made++ % LOOP_HISTORY] = (struct loop_pair){call, result};
}

void loop_guard_add(struct loop_guard *g, uint64_t call, struct slice output)
{
	put(g, call, result_hash(output));
}

void loop_guard_add_blocked(struct loop_guard *g, uint64_t call)
{
	const struct loop_pair *p = newest(g, call);
	put(g, call, p ? p->result : 0);
}
