/* SPDX-License-Identifier: Apache-2.0
 * Hashes and texts against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/crypto.h"

static void assert_sha256(struct slice data, const char *want)
{
	uint8_t sum[32];
	char hex[65];
	crypto_sha256(data, sum);
	crypto_hex(sum, sizeof sum, hex);
	assert_string_equal(hex, want);
}

/* FIPS 180-4. */
static void test_sha256(void **state)
{
	(void)state;
	assert_sha256(SLICE(""), "e3b0c44298fc1c149afbf4c8996fb924"
				 "27ae41e4649b934ca495991b7852b855");
	assert_sha256(SLICE("abc"), "ba7816bf8f01cfea414140de5dae2223"
				    "b00361a396177a9cb410ff61f20015ad");
	assert_sha256(SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
		      "248d6a61d20638b8e5c026930c3e6039"
		      "a33ce45964ff2167f6ecedd419db06c1");
}

/* In pieces of every length it is the same. */
static void test_sha256_in_pieces(void **state)
{
	char text[300];
	uint8_t whole[32], sum[32];
	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 7);
	crypto_sha256(slice_of(text, sizeof text), whole);
	for (size_t piece = 1; piece <= sizeof text; piece++) {
		struct crypto_sha256_state s;
		crypto_sha256_begin(&s);
		for (size_t at = 0; at < sizeof text; at += piece)
			crypto_sha256_add(
				&s, slice_of(text + at, at + piece < sizeof text
								? piece
								: sizeof text - at));
		crypto_sha256_end(&s, sum);
		assert_memory_equal(sum, whole, sizeof sum);
	}
}

/* The reference implementation's vectors: key 00..0f, message 00, 00 01, ... */
/* RFC 4231, cases 1, 2 and 6. */
static void test_hmac(void **state)
{
	(void)state;
	char hex[65], key[131];
	uint8_t mac[32];
	memset(key, 0x0b, 20);
	crypto_hmac_sha256(slice_of(key, 20), SLICE("Hi There"), mac);
	crypto_hex(mac, sizeof mac, hex);
	assert_string_equal(
		hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	crypto_hmac_sha256(SLICE("Jefe"), SLICE("what do ya want for nothing?"), mac);
	crypto_hex(mac, sizeof mac, hex);
	assert_string_equal(
		hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, 131);
	crypto_hmac_sha256(
		slice_of(key, 131),
		SLICE("Test Using Larger Than Block-Size Key - Hash Key First"), mac);
	crypto_hex(mac, sizeof mac, hex);
	assert_string_equal(
		hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_siphash(void **state)
{
	(void)state;
	uint8_t key[16], data[16];
	for (uint8_t i = 0; i < 16; i++)
		key[i] = data[i] = i;
	assert_true(crypto_siphash(key, slice_of(data, 0)) == 0x726fdb47dd0e0e31u);
	assert_true(crypto_siphash(key, slice_of(data, 1)) == 0x74f839c593dc67fdu);
	assert_true(crypto_siphash(key, slice_of(data, 15)) == 0xa129ca6149be45e5u);
	key[0] = 1;
	assert_true(crypto_siphash(key, slice_of(data, 0)) != 0x726fdb47dd0e0e31u);
}

static void test_base64url(void **state)
{
	(void)state;
	char out[64];
	crypto_base64url("", 0, out, 4 * (0 + 2) / 3 + 1);
	assert_string_equal(out, "");
	crypto_base64url("f", 1, out, 4 * (1 + 2) / 3 + 1);
	assert_string_equal(out, "Zg");
	crypto_base64url("fo", 2, out, 4 * (2 + 2) / 3 + 1);
	assert_string_equal(out, "Zm8");
	crypto_base64url("foobar", 6, out, 4 * (6 + 2) / 3 + 1);
	assert_string_equal(out, "Zm9vYmFy");
	crypto_base64url("\xfb\xff\xbf", 3, out, sizeof out);
	assert_string_equal(out, "-_-_");
}

static void test_the_rest(void **state)
{
	(void)state;
	uint8_t a[64], b[64], zero[64] = {0};
	char hex[9];
	crypto_random(a, sizeof a);
	crypto_random(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
	memcpy(b, a, sizeof b);
	assert_true(crypto_equal(a, b, sizeof a));
	b[63] ^= 0x80;
	assert_false(crypto_equal(a, b, sizeof a));
	assert_true(crypto_equal(a, b, 63));
	assert_true(crypto_equal(a, b, 0));
	crypto_wipe(a, sizeof a);
	assert_memory_equal(a, zero, sizeof a);
	crypto_hex("\x00\x0f\xa0\xff", 4, hex);
	assert_string_equal(hex, "000fa0ff");
}

int main(void)
{
	crypto_init();
	crypto_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256),    cmocka_unit_test(test_sha256_in_pieces),
		cmocka_unit_test(test_hmac),      cmocka_unit_test(test_siphash),
		cmocka_unit_test(test_base64url), cmocka_unit_test(test_the_rest)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
