/* SPDX-License-Identifier: Apache-2.0
 * Names, addresses and ports. */
#include "edge/mcp/mcp_origin.h"

#include <arpa/inet.h>
#include <stdio.h>

/* Without its port. */
static struct slice name_of(struct slice host)
{
	if (host.n && host.p[0] == '[') {
		ptrdiff_t at = slice_find(host, SLICE("]"));
		return at < 0 ? SLICE_NONE : slice_of(host.p, (size_t)at + 1);
	}
	return slice_cut(&host, ':');
}

static bool is_this_machine(struct slice name)
{
	return slice_ieq(name, SLICE("localhost")) || slice_is(name, "127.0.0.1") ||
	       slice_is(name, "[::1]");
}

static bool is_address(struct slice name)
{
	char text[64];
	struct in6_addr a;
	if (!name.n || name.n >= sizeof text)
		return false;
	bool six = name.p[0] == '[' && name.n > 2;
	snprintf(text, sizeof text, "%.*s", (int)(six ? name.n - 2 : name.n),
		 six ? name.p + 1 : name.p);
	return inet_pton(six ? AF_INET6 : AF_INET, text, &a) == 1;
}

bool mcp_host_is_fine(struct slice host)
{
	struct slice name = name_of(host);
	return is_this_machine(name) || is_address(name);
}

bool mcp_origin_is_fine(struct slice origin)
{
	ptrdiff_t at = slice_find(origin, SLICE("://"));
	if (!origin.p)
		return true;
	return at >= 0 && is_this_machine(name_of(slice_of(origin.p + at + 3,
							   origin.n - (size_t)at - 3)));
}
