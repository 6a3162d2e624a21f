/* SPDX-License-Identifier: Apache-2.0
 * The calls about provider keys: who may, what is sealed for whom, what is never said. */
#include "tests/unit/edge/api_bed.h"

#include "common/crypto.h"
#include "proto/keys/master_key.h"

#define KEYS "/v1/providers/openai/keys"
#define KEY "0192f3a0-0000-7000-8000-0000000000cc"
#define SECRET_KEY "sk-secret-0123456789-abcd"
#define ROW                                                                              \
	"{\"id\":\"" KEY "\",\"label\":\"main\",\"auth\":\"bearer\",\"version\":\"2\","  \
	"\"baseUrl\":\"https://api.example.com/v1\",\"revision\":4}"

static struct master_keys master;

static void begin_as(unsigned scopes)
{
	db.scopes = scopes;
	auth_invalidate(&edge, id(TOKEN));
	master.count = 1;
	memset(master.secrets, 7, CRYPTO_BOX_KEY);
	master_public(&master, edge.seal_key);
	edge.can_seal = true;
	db.keys = SLICE("[" ROW "]");
	db.key = (struct key_outcome){.change = {.outcome = CHANGE_DONE, .version = 5},
				      .json = SLICE(ROW)};
}

static void ask(const char *method, const char *path, const char *body)
{
	char text[4096];
	snprintf(text, sizeof text,
		 "%s %s HTTP/1.1\r\nHost: x\r\n" BEARER "Content-Length: %zu\r\n\r\n%s",
		 method, path, strlen(body), body);
	say(text);
}

/* What was written opens for that row alone. */
static bool opens_for(const char *key, const char *base_url)
{
	struct slice masters = slice_of(master.secrets, CRYPTO_BOX_KEY);
	struct seal_bound b = {.tenant = 1,
			       .provider = SLICE("openai"),
			       .base_url = slice_str(base_url)};
	uint8_t out[PROVIDER_KEY_MOST];
	size_t n;
	b.key = key ? id(key) : db.key_row.id;
	return seal_open(masters, slice_of(db.key_row.master, SEAL_ID), &b,
			 slice_of(db.key_row.sealed, db.key_row.sealed_n), out,
			 &n) == SEAL_OPEN &&
	       slice_is(slice_of(out, n), SECRET_KEY);
}

static void test_who_may(void **state)
{
	(void)state;
	static const struct {
		const char *method, *path, *body;
		unsigned scopes;
	} calls[] = {{"GET", KEYS, "", SCOPE_READ | SCOPE_WRITE},
		     {"GET", KEYS "/" KEY, "", SCOPE_READ | SCOPE_WRITE},
		     {"POST", KEYS, "{\"key\":\"" SECRET_KEY "\"}", 0},
		     {"PUT", KEYS, "{\"key\":\"" SECRET_KEY "\"}", 0},
		     {"PATCH", KEYS "/" KEY, "{\"disabled\":true}", 0},
		     {"DELETE", KEYS "/" KEY, "", 0}};
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		for (unsigned s = SCOPE_RUN; s <= SCOPE_ADMIN; s *= 2) {
			bool may = s == SCOPE_ADMIN || (calls[i].scopes & s);
			begin_as(s);
			ask(calls[i].method, calls[i].path, calls[i].body);
			expect(may ? "HTTP/1.1 20" : "HTTP/1.1 403 ");
			expect_not(SECRET_KEY);
		}
}

static void test_add(void **state)
{
	(void)state;
	begin_as(SCOPE_ADMIN);
	ask("POST", KEYS,
	    "{\"key\":\"" SECRET_KEY "\",\"label\":\"a\",\"auth\":\"bearer\","
	    "\"baseUrl\":\"https://a.example.com\",\"priority\":-3}");
	expect("HTTP/1.1 201 ");
	expect("etag: \"1\"");
	expect_not(SECRET_KEY);
	assert_int_equal(db.key_adds, 1);
	assert_int_equal(sup.changes, 1);
	assert_true(opens_for(NULL, "https://a.example.com"));
	assert_false(opens_for(NULL, ""));
	assert_false(opens_for(KEY, "https://a.example.com"));
	assert_string_equal(db.key_row.hint, "abcd");
	assert_true(db.key_row.bearer);
	assert_int_equal(db.key_body.priority, -3);
	assert_int_equal(db.key_body.key_n, 0); /* wiped before Postgres is asked */
	db.key.taken = true;
	ask("POST", KEYS, "{\"key\":\"short\"}");
	expect("HTTP/1.1 409 ");
	assert_string_equal(db.key_row.hint, ""); /* four of five would say too much */
	db.key = (struct key_outcome){.full = true};
	ask("POST", KEYS, "{\"key\":\"" SECRET_KEY "\"}");
	expect("64 provider keys");
	assert_int_equal(sup.changes, 1);
}

static void test_put(void **state)
{
	(void)state;
	begin_as(SCOPE_ADMIN);
	ask("PUT", KEYS, "{\"key\":\"" SECRET_KEY "\",\"label\":\"main\"}");
	expect("HTTP/1.1 200 ");
	expect("etag: \"5\"");
	assert_int_equal(db.key_changes, 1);
	assert_true(opens_for(KEY, "")); /* what is not given is not there */
	assert_false(db.key_row.bearer);
	ask("PUT", KEYS, "{\"key\":\"" SECRET_KEY "\"}");
	expect("HTTP/1.1 201 ");
	assert_int_equal(db.key_adds, 1);
	assert_true(slice_is(db.key_body.label, "default"));
}

static void test_change(void **state)
{
	(void)state;
	begin_as(SCOPE_ADMIN);
	ask("PATCH", KEYS "/" KEY, "{\"key\":\"" SECRET_KEY "\"}");
	expect("HTTP/1.1 200 ");
	assert_true(opens_for(KEY, "https://api.example.com/v1"));
	assert_true(db.key_row.bearer);
	ask("PATCH", KEYS "/" KEY,
	    "{\"key\":\"" SECRET_KEY "\",\"baseUrl\":null,\"auth\":\"key\"}");
	assert_true(opens_for(KEY, ""));
	assert_false(db.key_row.bearer);
	ask("PATCH", KEYS "/" KEY, "{\"disabled\":true}");
	assert_int_equal(db.key_row.sealed_n, 0);
	assert_true(db.key_body.has_disabled && db.key_body.disabled);
	assert_int_equal(sup.changes, 3);
	db.keys = SLICE("[]");
	ask("PATCH", KEYS "/" KEY, "{\"disabled\":true}");
	expect("HTTP/1.1 404 ");
	ask("PATCH", KEYS "/nonsense", "{\"disabled\":true}");
	expect("HTTP/1.1 404 ");
	assert_int_equal(db.key_changes, 3);
}

static void test_remove(void **state)
{
	(void)state;
	begin_as(SCOPE_ADMIN);
	ask("DELETE", KEYS "/" KEY, "");
	expect("HTTP/1.1 200 ");
	assert_int_equal(sup.changes, 1);
	db.key = (struct key_outcome){.change = {.outcome = CHANGE_ABSENT}};
	ask("DELETE", KEYS "/" KEY, "");
	expect("HTTP/1.1 404 ");
	assert_int_equal(sup.changes, 1);
}

static void test_refused(void **state)
{
	(void)state;
	begin_as(SCOPE_ADMIN);
	ask("POST", "/v1/providers/openia/keys", "{\"key\":\"" SECRET_KEY "\"}");
	expect("HTTP/1.1 404 ");
	expect("there are openai, ");
	ask("POST", KEYS, "{\"key\":\"a b\"}");
	expect("\"param\":\"key\"");
	ask("POST", KEYS,
	    "{\"key\":\"" SECRET_KEY "\",\"baseUrl\":\"https://10.0.0.1\"}");
	expect("\"param\":\"baseUrl\"");
	expect("public network");
	ask("PATCH", KEYS "/" KEY, "{\"baseUrl\":\"https://a.example.com\"}");
	expect("changes with key alone");
	ask("POST", KEYS, "{\"key\":\"" SECRET_KEY "\"");
	expect("HTTP/1.1 400 ");
	expect_not(SECRET_KEY);
	edge.can_seal = false;
	ask("POST", KEYS, "{\"key\":\"" SECRET_KEY "\"}");
	expect("HTTP/1.1 503 ");
	assert_int_equal(db.key_adds + db.key_changes + sup.changes, 0);
	begin_as(SCOPE_ADMIN);
	db.away = true;
	ask("POST", KEYS, "{\"key\":\"" SECRET_KEY "\"}");
	expect("HTTP/1.1 503 ");
	assert_int_equal(sup.changes, 0);
	db.away = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_who_may), T(test_add),
					   T(test_put),     T(test_change),
					   T(test_remove),  T(test_refused)};
	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
