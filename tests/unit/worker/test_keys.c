/* SPDX-License-Identifier: Apache-2.0
 * Which key a run is given, and where it goes. */
#include "tests/fakes/fake_pg.h"

#include "common/crypto.h"
#include "proto/keys/key_seal.h"
#include "proto/keys/key_text.h"
#include "worker/cooldowns.h"
#include "worker/keys.h"
#include "worker/llm/endpoints.h"
#include "worker/run.h"

#define TENANT 7

static uint8_t master[CRYPTO_BOX_KEY], public_key[CRYPTO_BOX_KEY];
static struct worker worker;
static struct run run;
static struct llm_target target;
static struct uuid chosen;
static const struct llm_provider *openai;
static PGresult *rows;

/* run_say and what hangs on it are the run machine's. */
void run_say(struct run *r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(r->failure_text, sizeof r->failure_text, fmt, ap);
	va_end(ap);
}

static int begin(void **state)
{
	struct slice rest;
	(void)state;
	openai = llm_provider_of(SLICE("openai/x"), &rest);
	memset(master, 9, sizeof master);
	crypto_sealed_public(master, public_key);
	worker = (struct worker){.cooldowns = cooldowns_new(),
				 .keys = keys_new(slice_of(master, sizeof master)),
				 .endpoints = endpoints_new(
					 SLICE("openai\thttp://node/v1\tnode-key\t\n"))};
	run = (struct run){.worker = &worker, .tenant = TENANT};
	rows = rows_new(9, (const unsigned[]){20, 2950, 25, 25, 25, 16, 20, 17, 17}, 3);
	return 0;
}

static int end(void **state)
{
	(void)state;
	key_give_back(run.key);
	keys_free(worker.keys);
	cooldowns_free(worker.cooldowns);
	endpoints_free(worker.endpoints);
	PQclear(rows);
	forget_requests();
	return 0;
}

static void set_bytes(int row, int col, const uint8_t *p, size_t n)
{
	char b[SEAL_MOST];
	memcpy(b, p, n);
	assert_true(PQsetvalue(rows, row, col, b, (int)n));
}

struct given {
	int64_t tenant;
	struct uuid id;
	const char *provider, *base_url, *secret;
	int revision;
};

static void set_row(int row, struct given g)
{
	uint8_t sealed[SEAL_MOST], id[SEAL_ID];
	struct seal_bound b = {g.tenant, g.id, slice_str(g.provider),
			       slice_str(g.base_url)};
	size_t n = seal_close(public_key, &b, slice_str(g.secret), sealed);
	seal_id(public_key, id);
	set_i64(rows, row, 0, g.tenant);
	set_uuid(rows, row, 1, g.id);
	set_text(rows, row, 2, g.provider);
	if (g.base_url)
		set_text(rows, row, 3, g.base_url);
	set_bool(rows, row, 5, g.base_url != NULL);
	set_i64(rows, row, 6, g.revision);
	set_bytes(row, 7, id, sizeof id);
	set_bytes(row, 8, sealed, n);
}

static void read_rows(void)
{
	keys_take(&run, as_result(rows));
}

static const char *choose(void)
{
	static char key[100];
	if (!keys_choose(&run, openai, SLICE("m"), &target, &chosen))
		return run.failure_text;
	snprintf(key, sizeof key, "%.*s", SLICE_ARG(target.api_key));
	return key;
}

static void three(struct uuid own, struct uuid second, struct uuid platform)
{
	set_row(0, (struct given){TENANT, own, "openai", "https://own/v1", "own", 1});
	set_row(1, (struct given){TENANT, second, "openai", NULL, "second", 1});
	set_row(2, (struct given){0, platform, "openai", "http://10.0.0.1", "all", 1});
	read_rows();
}

static void test_node(void **state)
{
	(void)state;
	assert_false(keys_are_fresh(&run));
	assert_string_equal(choose(), "node-key");
	assert_true(uuid_is_nil(chosen));
	assert_true(slice_is(target.base_url, "http://node/v1"));
	endpoints_free(worker.endpoints);
	worker.endpoints = endpoints_new(SLICE(""));
	assert_non_null(strstr(choose(), "needs a key for openai"));
}

static void test_order(void **state)
{
	(void)state;
	struct uuid own = uuid7_new(), second = uuid7_new(), platform = uuid7_new();
	three(own, second, platform);
	assert_true(keys_are_fresh(&run));
	assert_string_equal(choose(), "own");
	assert_true(uuid_eq(chosen, own));
	assert_true(slice_is(target.base_url, "https://own/v1"));
	assert_true(target.guarded); /* the tenant chose the address */
	assert_true(target.bearer);
	set_row(0, (struct given){TENANT, own, "gemini", NULL, "own", 2});
	read_rows();
	assert_string_equal(choose(), "second");
	assert_true(slice_is(target.base_url, "http://node/v1"));
	assert_false(target.guarded);
	set_row(1, (struct given){TENANT, second, "gemini", NULL, "second", 2});
	read_rows();
	assert_string_equal(choose(), "all");
	assert_true(slice_is(target.base_url, "http://10.0.0.1"));
	assert_false(target.guarded); /* the operator did */
	set_row(2, (struct given){0, platform, "gemini", NULL, "all", 2});
	read_rows();
	assert_string_equal(choose(), "node-key");
}

static void test_cooled_down(void **state)
{
	(void)state;
	struct uuid own = uuid7_new(), second = uuid7_new();
	three(own, second, uuid7_new());
	cooldowns_note(&run, SLICE("openai"), SLICE("m"), own, ERR_MODEL_RATE, 0);
	assert_string_equal(choose(), "second");
	cooldowns_note(&run, SLICE("openai"), SLICE("m"), second, ERR_MODEL_AUTH, 0);
	assert_string_equal(choose(), "own"); /* never somebody else's for that */
	cooldowns_clear(&run, SLICE("openai"), SLICE("m"), second);
	assert_string_equal(choose(), "second");
}

static void test_sealed(void **state)
{
	(void)state;
	struct uuid own = uuid7_new(), second = uuid7_new();
	three(own, second, uuid7_new());
	set_i64(rows, 0, 6, 2);
	set_text(rows, 0, 3, "https://evil/v1"); /* not what was sealed */
	read_rows();
	assert_string_equal(choose(), "second");
	set_i64(rows, 1, 6, 2);
	set_bytes(1, 7, (const uint8_t *)"12345678", SEAL_ID);
	read_rows();
	assert_non_null(strstr(choose(), "cannot be opened")); /* nor the platform's */
	assert_null(run.key);
}

/* A run goes on with what it holds; the next choice is by the rows as they are. */
static void test_held(void **state)
{
	(void)state;
	struct uuid own = uuid7_new();
	three(own, uuid7_new(), uuid7_new());
	assert_string_equal(choose(), "own");
	struct provider_key *held = run.key;
	read_rows();
	choose();
	assert_ptr_equal(run.key, held); /* the same row stays open */
	set_row(0, (struct given){TENANT, own, "openai", "https://own/v1", "new", 2});
	read_rows();
	assert_true(slice_is(target.api_key, "own"));
	assert_string_equal(choose(), "new");
	assert_ptr_not_equal(run.key, held);
}

static void test_forget(void **state)
{
	(void)state;
	three(uuid7_new(), uuid7_new(), uuid7_new());
	keys_forget(worker.keys, TENANT + 1);
	assert_true(keys_are_fresh(&run));
	assert_string_equal(choose(), "own");
	struct slice held = target.api_key;
	keys_forget(worker.keys, TENANT);
	assert_false(keys_are_fresh(&run));
	assert_true(slice_is(held, "own")); /* a run goes on with it */
	assert_string_equal(choose(), "own");
	key_give_back(run.key);
	run.key = NULL;
	keys_forget(worker.keys, TENANT);
	assert_memory_equal(held.p, "\0\0\0", 3); /* nobody does any more */
	assert_string_equal(choose(), "own");
	read_rows();
	keys_forget(worker.keys, 0); /* the platform's are everybody's */
	assert_false(keys_are_fresh(&run));
	for (run.tenant = 1; run.tenant < 1000; run.tenant++)
		read_rows();
}

/* Whoever may be asked may be given a key. */
static void test_names(void **state)
{
	(void)state;
	const struct llm_provider *p;
	for (size_t i = 0; (p = llm_provider_at(i)); i++)
		if (p->base_url)
			assert_true(key_provider_is_known(slice_str(p->name)));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, begin, end)
	static const struct CMUnitTest tests[] = {
		T(test_node), T(test_order),  T(test_cooled_down), T(test_sealed),
		T(test_held), T(test_forget), T(test_names)};
	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
