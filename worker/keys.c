/* SPDX-License-Identifier: Apache-2.0
 * Rows, opened ones among them, and the choice. */
#include "worker/keys.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/map.h"
#include "common/pg/pool.h"
#include "proto/keys/key_seal.h"
#include "proto/keys/master_key.h"
#include "worker/cooldowns.h"
#include "worker/llm/endpoints.h"
#include "worker/run.h"
#include "worker/sql.h"

#define TENANTS_MOST 256
#define IDLE_US (600 * 1000000ll) /* of a tenant: then its keys are closed */
#define SWEEP_US (60 * 1000000ll)

/* One row. Its texts and the sealed bytes stand behind it. */
struct provider_key {
	int users;
	int64_t tenant;
	struct uuid id;
	int64_t revision;
	bool bearer;
	struct slice provider, base_url, version, master, sealed;
	bool open, broken; /* broken: tried in vain, and said so */
	size_t secret_n;
	uint8_t secret[PROVIDER_KEY_MOST];
};

struct ring { /* of one tenant: its own, then the platform's */
	int64_t tenant, read_us;
	struct provider_key **rows;
	size_t count;
};

struct keys {
	struct map *by_tenant;
	uint8_t masters[MASTER_KEYS_BYTES];
	size_t masters_n;
	int64_t swept_us;
};

/* ---- one row */

void key_give_back(struct provider_key *k)
{
	if (!k || --k->users)
		return;
	crypto_wipe(k->secret, sizeof k->secret);
	free(k);
}

static struct slice put(char **at, struct slice s)
{
	struct slice copy = slice_of(*at, s.n);
	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

static struct provider_key *key_new(const struct pg_result *g, int row)
{
	struct slice texts[] = {pg_get_text(g, row, 2), pg_get_text(g, row, 3),
				pg_get_text(g, row, 4), pg_get_bytea(g, row, 7),
				pg_get_bytea(g, row, 8)};
	size_t bytes = 0;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bytes += texts[i].n;
	struct provider_key *k = xcalloc(1, sizeof *k + bytes);
	char *at = (char *)(k + 1);
	k->users = 1;
	k->tenant = pg_get_i64(g, row, 0);
	k->id = pg_get_uuid(g, row, 1);
	k->bearer = pg_get_bool(g, row, 5);
	k->revision = pg_get_i64(g, row, 6);
	k->provider = put(&at, texts[0]);
	k->base_url = put(&at, texts[1]);
	k->version = put(&at, texts[2]);
	k->master = put(&at, texts[3]);
	k->sealed = put(&at, texts[4]);
	return k;
}

static bool open_key(const struct keys *ks, struct provider_key *k)
{
	struct seal_bound b = {k->tenant, k->id, k->provider, k->base_url};
	char id[UUID_TEXT_LEN + 1];
	if (k->open || k->broken)
		return k->open;
	enum seal_result e = seal_open(slice_of(ks->masters, ks->masters_n), k->master,
				       &b, k->sealed, k->secret, &k->secret_n);
	k->open = e == SEAL_OPEN;
	k->broken = !k->open;
	if (k->open)
		return true;
	uuid_format(k->id, id);
	log_error("provider-key-sealed", "key=%s tenant=%lld message=\"%s\"", id,
		  (long long)k->tenant,
		  e == SEAL_NO_MASTER
			  ? "it is sealed to a master key that this node does not have"
			  : "what is sealed in it is not of this row");
	return false;
}

/* ---- a tenant's rows */

static struct slice key_of(const int64_t *tenant)
{
	return slice_of(tenant, sizeof *tenant);
}

static void empty(struct ring *g)
{
	for (size_t i = 0; i < g->count; i++)
		key_give_back(g->rows[i]);
	free(g->rows);
	g->rows = NULL;
	g->count = 0;
}

static void drop(struct keys *ks, struct ring *g)
{
	map_take(ks->by_tenant, key_of(&g->tenant));
	empty(g);
	free(g);
}

static void drop_where(struct keys *ks, bool (*is_old)(const struct ring *g))
{
	struct ring *old[TENANTS_MOST];
	size_t n;
	do {
		size_t it = 0;
		void *value;
		n = 0;
		while (n < TENANTS_MOST && map_next(ks->by_tenant, &it, NULL, &value))
			if (is_old(value))
				old[n++] = value;
		for (size_t i = 0; i < n; i++)
			drop(ks, old[i]);
	} while (n == TENANTS_MOST);
}

static bool is_any(const struct ring *g)
{
	(void)g;
	return true;
}

static bool is_stale(const struct ring *g)
{
	return clock_mono_us() - g->read_us > KEYS_FRESH_US;
}

struct keys *keys_new(struct slice masters)
{
	struct keys *ks = xcalloc(1, sizeof *ks);
	ks->by_tenant = map_new();
	ks->masters_n = masters.n < sizeof ks->masters ? masters.n : sizeof ks->masters;
	if (ks->masters_n)
		memcpy(ks->masters, masters.p, ks->masters_n);
	return ks;
}

void keys_free(struct keys *ks)
{
	if (!ks)
		return;
	drop_where(ks, is_any);
	map_free(ks->by_tenant);
	crypto_wipe(ks, sizeof *ks);
	free(ks);
}

/* What no run holds; it is opened again when it is chosen. */
static void close_unused(struct ring *g)
{
	for (size_t i = 0; i < g->count; i++) {
		struct provider_key *k = g->rows[i];
		if (!k->open || k->users > 1)
			continue;
		crypto_wipe(k->secret, sizeof k->secret);
		k->open = false;
	}
}

static void sweep(struct keys *ks)
{
	int64_t now_us = clock_mono_us();
	size_t it = 0;
	void *value;
	if (now_us - ks->swept_us < SWEEP_US)
		return;
	ks->swept_us = now_us;
	while (map_next(ks->by_tenant, &it, NULL, &value)) {
		struct ring *g = value;
		if (now_us - g->read_us > IDLE_US)
			close_unused(g);
	}
}

void keys_forget(struct keys *ks, int64_t tenant)
{
	size_t it = 0;
	void *value;
	while (map_next(ks->by_tenant, &it, NULL, &value)) {
		struct ring *g = value;
		if (tenant && g->tenant != tenant)
			continue;
		g->read_us = INT64_MIN / 2;
		close_unused(g);
	}
}

static struct ring *find(const struct run *r)
{
	const struct keys *ks = r->worker->keys;
	return ks ? map_get(ks->by_tenant, key_of(&r->tenant)) : NULL;
}

static struct ring *take(const struct run *r)
{
	struct keys *ks = r->worker->keys;
	struct ring *g = find(r);
	if (g)
		return g;
	if (map_count(ks->by_tenant) >= TENANTS_MOST)
		drop_where(ks, is_stale);
	g = xcalloc(1, sizeof *g);
	g->tenant = r->tenant;
	map_put(ks->by_tenant, key_of(&g->tenant), g);
	return g;
}

/* ---- reading */

bool keys_are_fresh(const struct run *r)
{
	const struct ring *g = find(r);
	return !r->worker->keys || (g && !is_stale(g));
}

void keys_ask(struct pg_request *q, const struct run *r)
{
	pg_i64(pg_add(q, SQL_KEYS), r->tenant);
}

/* The same row as before stays open. */
static struct provider_key *kept(const struct ring *g, struct uuid id, int64_t revision)
{
	for (size_t i = 0; i < g->count; i++)
		if (uuid_eq(g->rows[i]->id, id) && g->rows[i]->revision == revision) {
			g->rows[i]->users++;
			return g->rows[i];
		}
	return NULL;
}

void keys_take(struct run *r, const struct pg_result *rows)
{
	if (!r->worker->keys)
		return;
	sweep(r->worker->keys);
	struct ring *g = take(r);
	size_t n = (size_t)pg_rows(rows);
	struct provider_key **fresh = xcalloc(n + 1, sizeof *fresh);
	for (size_t i = 0; i < n; i++) {
		fresh[i] = kept(g, pg_get_uuid(rows, (int)i, 1),
				pg_get_i64(rows, (int)i, 6));
		if (!fresh[i])
			fresh[i] = key_new(rows, (int)i);
	}
	empty(g);
	g->rows = fresh;
	g->count = n;
	g->read_us = clock_mono_us();
}

/* ---- the choice */

static bool is_for(const struct provider_key *k, const struct llm_provider *p,
		   int64_t tenant)
{
	return k->tenant == tenant && slice_is(k->provider, p->name);
}

/* Of those of one owner: the first that may be asked now; while none may, the first. What
 * cannot be opened is as if it were not there, as long as another can. */
static struct provider_key *choose_of(const struct run *r, const struct llm_provider *p,
				      struct slice model, int64_t tenant, bool *has)
{
	const struct ring *g = find(r);
	struct provider_key *first = NULL;
	for (size_t i = 0; g && i < g->count; i++) {
		struct provider_key *k = g->rows[i];
		if (!is_for(k, p, tenant))
			continue;
		*has = true;
		if (!open_key(r->worker->keys, k))
			continue;
		first = first ? first : k;
		if (!cooldowns_left_us(r, slice_str(p->name), model, k->id, NULL))
			return k;
	}
	return first;
}

static void hold(struct run *r, struct provider_key *k)
{
	if (k)
		k->users++;
	key_give_back(r->key);
	r->key = k;
}

/* An address of the key's own comes with the key alone: a place that a tenant chose never
 * gets what is not the tenant's. */
void key_aim(const struct worker *w, const struct provider_key *k,
	     const struct llm_provider *p, struct llm_target *t)
{
	endpoints_find(w->endpoints, p, t);
	t->api_key = slice_of(k->secret, k->secret_n);
	t->bearer = k->bearer;
	if (k->version.n)
		t->version = k->version;
	if (!k->base_url.n)
		return;
	t->base_url = k->base_url;
	t->guarded = k->tenant != 0;
}

bool keys_choose(struct run *r, const struct llm_provider *p, struct slice model,
		 struct llm_target *t, struct uuid *key)
{
	bool has = false;
	struct provider_key *k = choose_of(r, p, model, r->tenant, &has);
	if (!k && !has)
		k = choose_of(r, p, model, 0, &has);
	hold(r, k);
	*key = k ? k->id : (struct uuid){{0}};
	if (k) {
		key_aim(r->worker, k, p, t);
		return true;
	}
	if (has) /* never by somebody else's key instead */
		run_say(r,
			"the key for %s cannot be opened by this node: set it again, or "
			"give the node the master key that it was sealed to",
			p->name);
	else if (endpoints_find(r->worker->endpoints, p, t))
		return true;
	else
		run_say(r,
			"the model '%s/%.*s' needs a key for %s, or the base URL of a "
			"server that speaks its language",
			p->name, model.n > 100 ? 100 : (int)model.n, model.p, p->name);
	return false;
}

/* ---- for who is no run */

struct provider_key *keys_open_row(const struct worker *w, const struct pg_result *rows,
				   int row)
{
	struct provider_key *k = w->keys ? key_new(rows, row) : NULL;
	if (k && open_key(w->keys, k))
		return k;
	key_give_back(k);
	return NULL;
}

void keys_each_secret(const struct keys *ks, void (*fn)(void *arg, struct slice secret),
		      void *arg)
{
	size_t it = 0;
	void *value;
	char hex[2 * CRYPTO_BOX_KEY + 1];
	while (map_next(ks->by_tenant, &it, NULL, &value)) {
		const struct ring *g = value;
		for (size_t i = 0; i < g->count; i++)
			if (g->rows[i]->open)
				fn(arg,
				   slice_of(g->rows[i]->secret, g->rows[i]->secret_n));
	}
	for (size_t i = 0; i + CRYPTO_BOX_KEY <= ks->masters_n; i += CRYPTO_BOX_KEY) {
		crypto_hex(ks->masters + i, CRYPTO_BOX_KEY, hex);
		fn(arg, slice_str(hex));
	}
	crypto_wipe(hex, sizeof hex);
}
