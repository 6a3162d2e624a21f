/* SPDX-License-Identifier: Apache-2.0
 * Connections out of the jail. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe.h"

static void try_tcp(const char *address, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int s = socket(AF_INET, SOCK_STREAM, 0);
	struct timeval patience = {.tv_sec = 2};
	inet_pton(AF_INET, address, &a.sin_addr);
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (s >= 0 && connect(s, (struct sockaddr *)&a, sizeof a) == 0)
		hole("%s port %d answers", address, port);
	close(s);
}

static void tcp(void)
{
	static const char *const addresses[] = {
		"127.0.0.1", "127.0.0.2",  "0.0.0.0",     "169.254.169.254",
		"10.0.0.1",  "172.17.0.1", "192.168.0.1", "1.1.1.1"};
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
		try_tcp(addresses[i], facts.tcp);
	try_tcp("1.1.1.1", 443);
}

static void tcp6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6,
				 .sin6_port = htons((uint16_t)facts.tcp),
				 .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int s = socket(AF_INET6, SOCK_STREAM, 0);
	if (s >= 0 && connect(s, (struct sockaddr *)&a, sizeof a) == 0)
		hole("::1 answers");
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.sin6_addr);
	if (s >= 0 && connect(s, (struct sockaddr *)&a, sizeof a) == 0)
		hole("::ffff:127.0.0.1 answers");
}

/* What arrives is the listener's to say; that it is sent says nothing. */
static void udp(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)facts.udp),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	if (s >= 0)
		sendto(s, "canary", 6, 0, (struct sockaddr *)&a, sizeof a);
}

static void abstract_socket(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(facts.abstract);
	memcpy(a.sun_path + 1, facts.abstract, n);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	if (s >= 0 &&
	    connect(s, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) == 0)
		hole("the abstract socket answers");
}

static void named_socket(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	for (size_t i = 0; i < facts.unix_paths; i++) {
		snprintf(a.sun_path, sizeof a.sun_path, "%s", facts.unix_path[i]);
		int s = socket(AF_UNIX, SOCK_STREAM, 0);
		if (s >= 0 && connect(s, (struct sockaddr *)&a, sizeof a) == 0)
			hole("%s answers", facts.unix_path[i]);
		close(s);
	}
}

static void other_families(void)
{
	for (int family = 0; family < 64; family++) {
		int s = socket(family, SOCK_STREAM, 0);
		if (s < 0)
			s = socket(family, SOCK_DGRAM, 0);
		if (s < 0)
			s = socket(family, SOCK_RAW, 0);
		if (s >= 0 && family != AF_UNIX && family != AF_INET &&
		    family != AF_INET6)
			hole("a socket of family %d can be made", family);
		if (s < 0 && errno != EPERM)
			hole("family %d: %s", family, strerror(errno));
		if (s >= 0)
			close(s);
	}
	refused(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), "a raw socket", EPERM, EACCES,
		0);
}

static void interfaces(void)
{
	char name[IF_NAMESIZE];
	for (unsigned i = 1; i < 64; i++) /* as text: netlink is closed */
		if (if_indextoname(i, name) && strcmp(name, "lo") != 0)
			hole("there is an interface %s", name);
}

const struct probe probes_network[] = {
	{"network", "tcp", tcp},
	{"network", "tcp over IPv6", tcp6},
	{"network", "udp", udp},
	{"network", "abstract socket", abstract_socket},
	{"network", "named socket", named_socket},
	{"network", "other families", other_families},
	{"network", "interfaces", interfaces},
	{NULL, NULL, NULL},
};
