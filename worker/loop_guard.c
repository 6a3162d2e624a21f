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

/* Of a value's kind, so that 1 and "1" differ. */
enum salt { SALT_NULL = 1, SALT_FALSE, SALT_TRUE, SALT_TEXT, SALT_ARRAY, SALT_OBJECT };

static uint64_t mixed(uint64_t a, uint64_t b)
{
	uint64_t both[2] = {a, b};
	return crypto_siphash(seed, slice_of(both, sizeof both));
}

/* 1.0 and 1e0 are 1. */
static uint64_t number_hash(json_t v)
{
	int64_t whole;
	double d = json_double(v, 0);
	if (json_i64(v, &whole))
		return crypto_siphash(seed, slice_of(&whole, sizeof whole));
	if (d > -9e18 && d < 9e18 && (double)(int64_t)d == d) {
		whole = (int64_t)d;
		return crypto_siphash(seed, slice_of(&whole, sizeof whole));
	}
	return crypto_siphash(seed, slice_of(&d, sizeof d));
}

static bool is_volatile(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(volatile_members); i++)
		if (slice_is(name, volatile_members[i]))
			return true;
	return false;
}

static uint64_t value_hash(json_t v, bool is_result);

/* Whatever the order of its members. */
static uint64_t object_hash(json_t v, bool is_result)
{
	struct json_iter it = json_iter(v);
	struct slice name;
	uint64_t sum = SALT_OBJECT;
	for (json_t m; (m = json_next(&it, &name));)
		if (!is_result || !is_volatile(name))
			sum += mixed(crypto_siphash(seed, name), value_hash(m, false));
	return sum;
}

static uint64_t array_hash(json_t v)
{
	struct json_iter it = json_iter(v);
	uint64_t hash = SALT_ARRAY;
	for (json_t m; (m = json_next(&it, NULL));)
		hash = mixed(hash, value_hash(m, false));
	return hash;
}

/* As deep as JSON is read at most. */
static uint64_t value_hash(json_t v, bool is_result)
{
	switch (json_kind(v)) {
	case JSON_BOOL:
		return json_bool(v, false) ? SALT_TRUE : SALT_FALSE;
	case JSON_NUMBER:
		return number_hash(v);
	case JSON_STRING:
		return mixed(SALT_TEXT, crypto_siphash(seed, json_str(v)));
	case JSON_ARRAY:
		return array_hash(v);
	case JSON_OBJECT:
		return object_hash(v, is_result);
	default:
		return SALT_NULL;
	}
}

/* What is no JSON counts by its bytes. */
static uint64_t text_hash(struct slice text, bool is_result)
{
	AUTO(auto_json_free) struct json_doc *d = json_parse(text, text.n, NULL, 0);
	return d ? value_hash(json_root(d), is_result) : crypto_siphash(seed, text);
}

uint64_t loop_call_hash(struct slice name, struct slice input)
{
	return mixed(crypto_siphash(seed, name), text_hash(input, false));
}

uint64_t loop_result_hash(struct slice output)
{
	return text_hash(output, true);
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

void loop_guard_add(struct loop_guard *g, uint64_t call, uint64_t result)
{
	g->last[g->made++ % LOOP_HISTORY] = (struct loop_pair){call, result};
}

void loop_guard_add_blocked(struct loop_guard *g, uint64_t call)
{
	const struct loop_pair *p = newest(g, call);
	loop_guard_add(g, call, p ? p->result : 0);
}
