/* SPDX-License-Identifier: Apache-2.0
 * Sealed provider keys and the file of master keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/keys/key_seal.h"
#include "proto/keys/key_text.h"
#include "proto/keys/master_key.h"

#define KEY SLICE("sk-a-secret-of-a-tenant")

static struct master_keys masters; /* [0] seals */
static uint8_t public_key[CRYPTO_BOX_KEY], id[SEAL_ID];
static uint8_t sealed[SEAL_MOST], opened[PROVIDER_KEY_MOST];
static size_t sealed_n, opened_n;
static struct seal_bound bound;

static int begin(void **state)
{
	(void)state;
	masters.count = 2;
	crypto_random(masters.secrets, sizeof masters.secrets);
	master_public(&masters, public_key);
	seal_id(public_key, id);
	bound = (struct seal_bound){.tenant = 7,
				    .key = uuid7_new(),
				    .provider = SLICE("openai"),
				    .base_url = SLICE("https://a.example/v1")};
	sealed_n = seal_close(public_key, &bound, KEY, sealed);
	return 0;
}

static struct slice all_masters(void)
{
	return slice_of(masters.secrets, masters.count * CRYPTO_BOX_KEY);
}

static enum seal_result open_it(const struct seal_bound *b)
{
	opened_n = 0;
	return seal_open(all_masters(), slice_of(id, sizeof id), b,
			 slice_of(sealed, sealed_n), opened, &opened_n);
}

static void test_round(void **state)
{
	(void)state;
	assert_int_equal(open_it(&bound), SEAL_OPEN);
	assert_true(slice_eq(slice_of(opened, opened_n), KEY));
	assert_int_equal(slice_find(slice_of(sealed, sealed_n), KEY), -1);
	uint8_t first[SEAL_MOST];
	memcpy(first, sealed, sealed_n);
	seal_close(public_key, &bound, KEY, sealed); /* never the same text twice */
	assert_memory_not_equal(first, sealed, sealed_n);
	static char longest[PROVIDER_KEY_MOST];
	memset(longest, 'x', sizeof longest);
	sealed_n =
		seal_close(public_key, &bound, slice_of(longest, sizeof longest), sealed);
	assert_int_equal(sealed_n, SEAL_MOST);
	assert_int_equal(open_it(&bound), SEAL_OPEN);
	assert_int_equal(opened_n, sizeof longest);
}

static void test_swapped(void **state)
{
	(void)state;
	struct seal_bound b = bound;
	b.tenant = 8;
	assert_int_equal(open_it(&b), SEAL_BROKEN);
	b = bound;
	b.tenant = 0;
	assert_int_equal(open_it(&b), SEAL_BROKEN);
	b = bound;
	b.key = uuid7_new();
	assert_int_equal(open_it(&b), SEAL_BROKEN);
	b = bound;
	b.provider = SLICE("gemini");
	assert_int_equal(open_it(&b), SEAL_BROKEN);
	b = bound;
	b.base_url = SLICE("https://evil.example/v1");
	assert_int_equal(open_it(&b), SEAL_BROKEN);
	b.base_url = SLICE("");
	assert_int_equal(open_it(&b), SEAL_BROKEN);
	b = bound; /* where one text ends is part of it */
	b.provider = SLICE("openaih");
	b.base_url = SLICE("ttps://a.example/v1");
	assert_int_equal(open_it(&b), SEAL_BROKEN);
	assert_int_equal(open_it(&bound), SEAL_OPEN);
}

static void test_changed(void **state)
{
	(void)state;
	size_t whole = sealed_n;
	for (size_t i = 0; i < whole; i++) {
		sealed[i] ^= 1;
		assert_int_equal(open_it(&bound), SEAL_BROKEN);
		sealed[i] ^= 1;
	}
	for (sealed_n = 0; sealed_n < whole; sealed_n++)
		assert_int_equal(open_it(&bound), SEAL_BROKEN);
	sealed_n = whole + 1;
	assert_int_equal(open_it(&bound), SEAL_BROKEN);
	sealed_n = SEAL_MOST + 1;
	assert_int_equal(open_it(&bound), SEAL_BROKEN);
}

static void test_masters(void **state)
{
	(void)state;
	uint8_t first[CRYPTO_BOX_KEY];
	memcpy(first, masters.secrets, sizeof first);
	/* A new one in front: what the old one sealed still opens. */
	memcpy(masters.secrets + CRYPTO_BOX_KEY, first, sizeof first);
	crypto_random(masters.secrets, CRYPTO_BOX_KEY);
	assert_int_equal(open_it(&bound), SEAL_OPEN);
	masters.count = 1;
	assert_int_equal(open_it(&bound), SEAL_NO_MASTER);
	/* Under the name of another it is none of its. */
	master_public(&masters, public_key);
	seal_id(public_key, id);
	assert_int_equal(open_it(&bound), SEAL_BROKEN);
	masters.count = 0;
	assert_int_equal(open_it(&bound), SEAL_NO_MASTER);
}

/* ---- the file */

static char path[128];

static void write_file(const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	chmod(path, mode);
}

static int in_directory(void **state)
{
	(void)state;
	char dir[] = "/tmp/tb-master-XXXXXX";
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/key", dir);
	return 0;
}

static int out_of_directory(void **state)
{
	(void)state;
	unlink(path);
	*strrchr(path, '/') = 0;
	return rmdir(path);
}

static void test_made(void **state)
{
	(void)state;
	struct master_keys m, again;
	struct stat st;
	char err[256];
	assert_int_equal(master_read(path, &m, err, sizeof err), -1);
	assert_non_null(strstr(err, path));
	assert_int_equal(master_make(path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(master_read(path, &m, err, sizeof err), 0);
	assert_int_equal(m.count, 1);
	assert_int_equal(master_make(path), 0); /* it stays */
	assert_int_equal(master_read(path, &again, err, sizeof err), 0);
	assert_memory_equal(m.secrets, again.secrets, CRYPTO_BOX_KEY);
}

static void test_file(void **state)
{
	(void)state;
#define ONE "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
	static const struct {
		const char *text, *says;
		mode_t mode;
		size_t count;
	} cases[] = {
		{ONE "\n", NULL, 0600, 1},
		{ONE, NULL, 0440, 1},
		{"# new\n" ONE "\n\n# old\n " ONE " \n", NULL, 0600, 2},
		{"", "holds no master key", 0600, 0},
		{"# nothing\n", "holds no master key", 0600, 0},
		{ONE "\n" ONE "0\n", "line 2", 0600, 0},
		{ONE "\nsecret\n", "line 2", 0600, 0},
		{"zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		 "line 1", 0600, 0},
		{ONE "\n", "open to everybody", 0604, 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct master_keys m;
		char err[256] = "";
		write_file(cases[i].text, cases[i].mode);
		int rv = master_read(path, &m, err, sizeof err);
		assert_int_equal(rv, cases[i].says ? -1 : 0);
		assert_int_equal(m.count, cases[i].count);
		if (cases[i].says)
			assert_non_null(strstr(err, cases[i].says));
		assert_null(strstr(err, "secret\n")); /* never what a line holds */
	}
}

/* The setting, then what systemd hands over, then the state directory's, which alone may
 * be made. */
static void test_where(void **state)
{
	(void)state;
	char where[200], dir[64];
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_int_equal(master_path("", "/state", where, sizeof where), 1);
	assert_string_equal(where, "/state/secrets/provider_master");
	snprintf(dir, sizeof dir, "%.60s", path);
	*strrchr(dir, '/') = 0;
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	assert_int_equal(master_path("", "/state", where, sizeof where), 1);
	snprintf(path, sizeof path, "%s/terabits-master-key", dir);
	write_file(ONE, 0400);
	assert_int_equal(master_path("", "/state", where, sizeof where), 0);
	assert_string_equal(where, path);
	assert_int_equal(master_path("/given", "/state", where, sizeof where), 0);
	assert_string_equal(where, "/given");
	unsetenv("CREDENTIALS_DIRECTORY");
}

static void test_texts(void **state)
{
	(void)state;
	static char longest[PROVIDER_KEY_MOST + 1];
	char hint[KEY_HINT];
	memset(longest, 'k', sizeof longest);
	assert_null(key_text_problem(slice_of(longest, PROVIDER_KEY_MOST)));
	assert_non_null(key_text_problem(slice_of(longest, sizeof longest)));
	assert_non_null(key_text_problem(SLICE("")));
	assert_non_null(key_text_problem(SLICE_NONE));
	assert_non_null(key_text_problem(SLICE("a b")));
	assert_non_null(key_text_problem(SLICE("a\n")));
	assert_non_null(key_text_problem(SLICE("a\0b")));
	assert_non_null(key_text_problem(SLICE("\xc3\xa4")));
	assert_null(key_label_problem(SLICE("f\xc3\xbcr uns")));
	assert_non_null(key_label_problem(SLICE("\xc3")));
	assert_non_null(key_label_problem(SLICE("a\tb")));
	assert_non_null(key_base_url_problem(SLICE("http://10.0.0.1/v1"), true));
	assert_null(key_base_url_problem(SLICE("http://10.0.0.1/v1"), false));
	assert_non_null(key_base_url_problem(SLICE("10.0.0.1/v1"), false));
	assert_true(key_provider_is_known(SLICE("gemini")));
	assert_false(key_provider_is_known(SLICE("offline")));
	key_hint(SLICE("0123456789abcdef"), hint);
	assert_string_equal(hint, "cdef");
	key_hint(SLICE("0123456789abcde"), hint); /* most of a short one would be said */
	assert_string_equal(hint, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_round, begin),
		cmocka_unit_test_setup(test_swapped, begin),
		cmocka_unit_test_setup(test_changed, begin),
		cmocka_unit_test_setup(test_masters, begin),
		cmocka_unit_test_setup_teardown(test_made, in_directory,
						out_of_directory),
		cmocka_unit_test_setup_teardown(test_file, in_directory,
						out_of_directory),
		cmocka_unit_test_setup_teardown(test_where, in_directory,
						out_of_directory),
		cmocka_unit_test(test_texts),
	};
	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
