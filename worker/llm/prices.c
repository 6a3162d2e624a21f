/* SPDX-License-Identifier: Apache-2.0
 * Patterns, longest first, and integer arithmetic. */
#include "worker/llm/prices.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/json.h"

#define LIST_BYTES_MOST (4u << 20)
#define MILLION 1000000

struct row {
	struct slice provider, model;
	struct price price;
	bool of_tenant;
};

struct price_list {
	struct json_doc *doc; /* the rows borrow from it */
	size_t count;
	struct row rows[];
};

static const struct row built_in[] = {
#define PRICE(vendor, name, in, out, cached, cache_write)                                \
	{{#vendor, sizeof #vendor - 1},                                                  \
	 {name, sizeof(name) - 1},                                                       \
	 {in, out, cached, cache_write},                                                 \
	 false},
#include "worker/llm/prices.tbl"
#undef PRICE
};

/* ---- lists */

static bool read_row(json_t v, struct row *r)
{
	struct price *p = &r->price;
	r->provider = json_str(json_get(v, "provider"));
	r->model = json_str(json_get(v, "model"));
	r->of_tenant = slice_is(json_str(json_get(v, "of")), "tenant");
	return r->provider.n && r->model.n && json_i64(json_get(v, "input"), &p->in) &&
	       json_i64(json_get(v, "output"), &p->out) &&
	       json_i64(json_get(v, "cached"), &p->cached) &&
	       json_i64(json_get(v, "cacheWrite"), &p->cache_write) && p->in >= 0 &&
	       p->out >= 0 && p->cached >= 0 && p->cache_write >= 0;
}

struct price_list *price_list_new(struct slice json)
{
	struct json_doc *d = json.p ? json_parse(json, LIST_BYTES_MOST, NULL, 0) : NULL;
	size_t n = json_len(json_root(d));
	if (!n) {
		json_free(d);
		return NULL;
	}
	struct price_list *l = xcalloc(1, sizeof *l + n * sizeof *l->rows);
	struct json_iter it = json_iter(json_root(d));
	l->doc = d;
	for (json_t v; (v = json_next(&it, NULL));)
		l->count += read_row(v, &l->rows[l->count]);
	return l;
}

void price_list_free(struct price_list *l)
{
	if (!l)
		return;
	json_free(l->doc);
	free(l);
}

/* ---- looking up */

static bool fits(struct slice pattern, struct slice model)
{
	if (pattern.p[pattern.n - 1] != '*')
		return slice_eq(pattern, model);
	return slice_has_prefix(model, slice_of(pattern.p, pattern.n - 1));
}

static const struct row *longest(const struct row *rows, size_t count, bool of_tenant,
				 struct slice provider, struct slice model)
{
	const struct row *best = NULL;
	for (size_t i = 0; i < count; i++) {
		const struct row *r = &rows[i];
		if (r->of_tenant == of_tenant && slice_eq(r->provider, provider) &&
		    fits(r->model, model) && (!best || r->model.n > best->model.n))
			best = r;
	}
	return best;
}

bool price_find(const struct price_list *l, struct slice provider, struct slice model,
		struct price *out)
{
	const struct row *r = NULL;
	if (l)
		r = longest(l->rows, l->count, true, provider, model);
	if (l && !r)
		r = longest(l->rows, l->count, false, provider, model);
	if (!r)
		r = longest(built_in, ARRAY_LEN(built_in), false, provider, model);
	if (r)
		*out = r->price;
	return r;
}

/* ---- the sum */

__extension__ typedef __int128 wide;

static wide part(int64_t tokens, int64_t price)
{
	return tokens > 0 ? (wide)tokens * price : 0;
}

int64_t price_cost(const struct price *p, const struct llm_usage *u)
{
	int64_t plain = u->in;
	plain -= u->cached < plain ? u->cached : plain;
	plain -= u->cache_write < plain ? u->cache_write : plain;
	wide sum = part(plain, p->in) + part(u->cached, p->cached) +
		   part(u->cache_write, p->cache_write) + part(u->out, p->out);
	sum = (sum + MILLION - 1) / MILLION;
	return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}
