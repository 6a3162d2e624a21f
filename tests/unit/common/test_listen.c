/* SPDX-License-Identifier: Apache-2.0
 * Listening addresses as they are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/listen.h"

static struct listen_address all[LISTEN_MOST];
static char why[512];

static unsigned parse(const char *list)
{
	return listen_parse(list, all, why, sizeof why);
}

static void test_kinds(void **state)
{
	(void)state;
	assert_int_equal(parse("127.0.0.1:7717, tls://[::1]:443\tmtls://*:8443,"
			       "unix:/run/x.sock http://a:1 https://b:2"),
			 6);
	assert_int_equal(all[0].kind, LISTEN_PLAIN);
	assert_string_equal(all[0].host, "127.0.0.1");
	assert_int_equal(all[0].port, 7717);
	assert_int_equal(all[1].kind, LISTEN_TLS);
	assert_string_equal(all[1].host, "::1");
	assert_string_equal(all[1].text, "tls://[::1]:443");
	assert_int_equal(all[2].kind, LISTEN_MTLS);
	assert_string_equal(all[2].host, "");
	assert_int_equal(all[3].kind, LISTEN_UNIX);
	assert_string_equal(all[3].path, "/run/x.sock");
	assert_int_equal(all[4].kind, LISTEN_PLAIN);
	assert_int_equal(all[5].kind, LISTEN_TLS);
	assert_true(listen_is_trusted(LISTEN_UNIX) && listen_is_trusted(LISTEN_MTLS));
	assert_false(listen_is_trusted(LISTEN_TLS) || listen_is_trusted(LISTEN_PLAIN));
}

static void refused(const char *list, const char *word)
{
	assert_int_equal(parse(list), 0);
	if (!strstr(why, word))
		fail_msg("'%s': no '%s' in '%s'", list, word, why);
}

static void test_refused(void **state)
{
	char longest[2000];
	(void)state;
	refused("", "no address");
	refused(" , ", "no address");
	refused("localhost", "no host:port");
	refused("a:", "no port");
	refused("a:65536", "no port");
	refused("a:-1", "no port");
	refused("a/b:1", "names no host");
	refused("127.0.0.1:1,unix:x", "absolute path");
	refused("a:1 a:1 a:1 a:1 a:1 a:1 a:1 a:1 a:1", "more than 8");
	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	refused(longest, "longer than");
	memcpy(longest, "unix:/", 6);
	longest[6 + LISTEN_PATH_MOST] = 0;
	refused(longest, "absolute path");
	longest[5 + LISTEN_PATH_MOST] = 0;
	assert_int_equal(parse(longest), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds),
					   cmocka_unit_test(test_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
