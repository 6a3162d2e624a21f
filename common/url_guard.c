/* SPDX-License-Identifier: Apache-2.0
 * The ranges are those of IANA's special-purpose registries that are not globally
 * reachable. */
#include "common/url_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/attr.h"

#define HOST_MOST 253

/* ---- addresses */

static const struct {
	uint32_t net;
	int bits;
} closed4[] = {
	{0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},
	{0xa9fe0000, 16}, {0xac100000, 12}, {0xc0000000, 24}, {0xc0000200, 24},
	{0xc0586300, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xc6336400, 24},
	{0xcb007100, 24}, {0xe0000000, 4},  {0xf0000000, 4},
};

static bool is_open4(uint32_t a)
{
	for (size_t i = 0; i < ARRAY_LEN(closed4); i++)
		if ((a ^ closed4[i].net) >> (32 - closed4[i].bits) == 0)
			return false;
	return true;
}

static uint32_t word_at(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool has_prefix(const uint8_t a[16], const uint8_t *prefix, size_t n)
{
	return memcmp(a, prefix, n) == 0;
}

static bool is_open6(const uint8_t a[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
	static const uint8_t documents[4] = {0x20, 0x01, 0x0d, 0xb8};
	if (has_prefix(a, mapped, sizeof mapped) || has_prefix(a, nat64, sizeof nat64))
		return is_open4(word_at(a + 12));
	if (a[0] >> 5 != 1) /* 2000::/3 is all there is of the public network */
		return false;
	return !(a[0] == 0x20 && a[1] == 0x01 && a[2] < 2) && /* Teredo, ORCHID ... */
	       !(a[0] == 0x20 && a[1] == 0x02) &&             /* 6to4 */
	       !(a[0] == 0x3f && a[1] == 0xff) && !has_prefix(a, documents, 4);
}

bool url_guard_address(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, a, sizeof in);
		return is_open4(ntohl(in.sin_addr.s_addr));
	}
	if (a->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, a, sizeof in6);
		return is_open6(in6.sin6_addr.s6_addr);
	}
	return false;
}

/* ---- the text */

static bool wrong(char *err, size_t size, const char *what)
{
	snprintf(err, size, "%s", what);
	return false;
}

static bool is_name(struct slice host)
{
	bool dots = false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		bool edge = i == 0 || i == host.n - 1 || host.p[i - 1] == '.';
		if (c == '.' && !edge)
			dots = true;
		else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			   (c >= '0' && c <= '9') || (c == '-' && !edge)))
			return false;
	}
	return dots;
}

static bool ends_in(struct slice host, struct slice suffix)
{
	return host.n >= suffix.n &&
	       slice_ieq(slice_of(host.p + host.n - suffix.n, suffix.n), suffix);
}

static bool check_name(struct slice host, char *err, size_t size)
{
	static const char *const inside[] = {".localhost",  ".local", ".internal",
					     ".intranet",   ".lan",   ".home.arpa",
					     ".localdomain"};
	if (!is_name(host))
		return wrong(err, size,
			     "its host must be a full name like api.example.com, or an "
			     "address");
	for (size_t i = 0; i < ARRAY_LEN(inside); i++)
		if (ends_in(host, slice_str(inside[i])))
			return wrong(err, size,
				     "its host must be one of the public network");
	return true;
}

/* An address counts in every form that a resolver takes for one: 127.1, 0x7f000001,
 * 017700000001. */
static bool check_host(struct slice host, char *err, size_t size)
{
	static const char closed[] = "its address must be one of the public network";
	char text[HOST_MOST + 1];
	struct in_addr in;
	struct in6_addr in6;
	bool brackets = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	if (!host.n || host.n > HOST_MOST)
		return wrong(err, size, "its host must have 1 to 253 characters");
	if (brackets)
		host = slice_of(host.p + 1, host.n - 2);
	memcpy(text, host.p, host.n);
	text[host.n] = 0;
	if (brackets && inet_pton(AF_INET6, text, &in6) != 1)
		return wrong(err, size, "what stands in its brackets is no address");
	if (brackets)
		return is_open6(in6.s6_addr) || wrong(err, size, closed);
	if (inet_aton(text, &in))
		return is_open4(ntohl(in.s_addr)) || wrong(err, size, closed);
	return check_name(host, err, size);
}

static bool check_port(struct slice port, char *err, size_t size)
{
	long long n;
	return (slice_to_i64(port, &n) && n > 0 && n < 65536) ||
	       wrong(err, size, "its port must be a number from 1 to 65535");
}

/* Where the port's colon stands; n when there is none. */
static size_t find_port(struct slice authority)
{
	for (size_t i = authority.n; i-- > 0 && authority.p[i] != ']';)
		if (authority.p[i] == ':')
			return i;
	return authority.n;
}

bool url_guard_check(struct slice url, char *err, size_t size)
{
	struct slice scheme = SLICE("https://");
	size_t end = scheme.n, colon;
	if (url.n < scheme.n || !slice_ieq(slice_of(url.p, scheme.n), scheme))
		return wrong(err, size, "it must begin with https://");
	for (size_t i = 0; i < url.n; i++)
		if (url.p[i] <= ' ' || url.p[i] > '~' || strchr("\\\"<>@?#", url.p[i]))
			return wrong(
				err, size,
				"it must be an address with a path at most: no user, "
				"query, fragment, blanks or backslashes");
	while (end < url.n && url.p[end] != '/')
		end++;
	struct slice authority = slice_of(url.p + scheme.n, end - scheme.n);
	colon = find_port(authority);
	if (colon < authority.n &&
	    !check_port(slice_of(authority.p + colon + 1, authority.n - colon - 1), err,
			size))
		return false;
	return check_host(slice_of(authority.p, colon), err, size);
}
