/* SPDX-License-Identifier: Apache-2.0
 * Which URLs and addresses are of the public network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/attr.h"
#include "common/url_guard.h"

static const struct {
	const char *url;
	bool good;
} cases[] = {
	{"https://api.example.com", true},
	{"https://api.example.com/v1", true},
	{"HTTPS://API.example.com:8443/v1/", true},
	{"https://8.8.8.8/v1", true},
	{"https://[2606:4700::1111]:443/v1", true},
	{"http://api.example.com/v1", false},
	{"ftp://api.example.com", false},
	{"file:///etc/passwd", false},
	{"//api.example.com", false},
	{"", false},
	{"https://", false},
	{"https:///v1", false},
	{"https://user@api.example.com", false},
	{"https://user:pass@api.example.com", false},
	{"https://api.example.com?x=1", false},
	{"https://api.example.com/#x", false},
	{"https://api.example.com\\@127.0.0.1/", false},
	{"https://api.example.com/a b", false},
	{"https://api.example.com/\r\nHost: x", false},
	{"https://api.example.com:0", false},
	{"https://api.example.com:65536", false},
	{"https://api.example.com:x", false},
	{"https://api.example.com:", false},
	{"https://b\xc3\xbc.example", false},
	{"https://localhost", false},
	{"https://localhost./", false},
	{"https://metadata", false},
	{"https://a.localhost/v1", false},
	{"https://printer.local", false},
	{"https://metadata.google.internal", false},
	{"https://api..example.com", false},
	{"https://.example.com", false},
	{"https://example.com.", false},
	{"https://-a.example.com", false},
	{"https://127.0.0.1/v1", false},
	{"https://127.1", false},
	{"https://2130706433", false},
	{"https://0x7f000001", false},
	{"https://0x7f.1", false},
	{"https://017700000001", false},
	{"https://0177.0.0.01", false},
	{"https://10.0.0.1", false},
	{"https://172.31.255.255", false},
	{"https://192.168.1.1:8080", false},
	{"https://169.254.169.254/latest/meta-data", false},
	{"https://100.64.0.1", false},
	{"https://0.0.0.0", false},
	{"https://0", false},
	{"https://224.0.0.1", false},
	{"https://255.255.255.255", false},
	{"https://[::1]/v1", false},
	{"https://[::]", false},
	{"https://[fe80::1]", false},
	{"https://[fe80::1%25eth0]", false},
	{"https://[fc00::1]", false},
	{"https://[::ffff:127.0.0.1]", false},
	{"https://[::ffff:a00:1]", false},
	{"https://[::127.0.0.1]", false},
	{"https://[64:ff9b::7f00:1]", false},
	{"https://[64:ff9b:1::1]", false},
	{"https://[2002:7f00:1::]", false},
	{"https://[2001:0:1::]", false},
	{"https://[2001:db8::1]", false},
	{"https://[ff02::1]", false},
	{"https://[64:ff9b::808:808]", true},
	{"https://[::ffff:8.8.8.8]", true},
	{"https://[127.0.0.1]", false},
	{"https://[::1", false},
	{"https://::1", false},
};

static void test_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char err[200] = "";
		bool good = url_guard_check(slice_str(cases[i].url), err, sizeof err);
		if (good != cases[i].good)
			fail_msg("%s: %s", cases[i].url, good ? "taken" : err);
		assert_true(good || *err);
	}
}

static bool is_open(const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return url_guard_address((const struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return url_guard_address((const struct sockaddr *)&in6);
}

/* The first and the last of each range, and their neighbours. */
static void test_addresses(void **state)
{
	(void)state;
	static const char *const closed[] = {"0.0.0.0",
					     "0.255.255.255",
					     "10.0.0.0",
					     "10.255.255.255",
					     "100.64.0.0",
					     "100.127.255.255",
					     "127.0.0.1",
					     "127.255.255.255",
					     "169.254.0.0",
					     "169.254.255.255",
					     "172.16.0.0",
					     "172.31.255.255",
					     "192.0.0.8",
					     "192.0.2.1",
					     "192.88.99.1",
					     "192.168.0.0",
					     "198.18.0.0",
					     "198.19.255.255",
					     "198.51.100.1",
					     "203.0.113.1",
					     "224.0.0.0",
					     "239.255.255.255",
					     "240.0.0.0",
					     "255.255.255.255",
					     "::",
					     "::1",
					     "fe80::1",
					     "febf::1",
					     "fec0::1",
					     "fc00::1",
					     "fdff::1",
					     "ff02::1",
					     "100::1",
					     "2001::1",
					     "2001:1ff::1",
					     "2001:db8::1",
					     "2002:808:808::1",
					     "3fff::1",
					     "::ffff:10.0.0.1",
					     "::ffff:0:0",
					     "::127.0.0.1",
					     "::8.8.8.8",
					     "64:ff9b::10.1.1.1",
					     "64:ff9b:1::808"};
	static const char *const open[] = {
		"1.1.1.1",      "9.255.255.255",   "11.0.0.0",       "100.63.255.255",
		"100.128.0.0",  "126.1.1.1",       "128.0.0.1",      "169.253.255.255",
		"169.255.0.0",  "172.15.255.255",  "172.32.0.0",     "192.0.1.1",
		"192.167.1.1",  "192.169.0.0",     "198.17.1.1",     "198.20.0.0",
		"203.0.114.0",  "223.255.255.255", "2001:200::1",    "2606:4700::1",
		"2a00:1450::1", "3ffe::1",         "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"};
	for (size_t i = 0; i < ARRAY_LEN(closed); i++)
		if (is_open(closed[i]))
			fail_msg("%s is taken for public", closed[i]);
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		if (!is_open(open[i]))
			fail_msg("%s is not taken for public", open[i]);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	assert_false(url_guard_address((const struct sockaddr *)&un));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
