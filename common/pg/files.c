/* SPDX-License-Identifier: Apache-2.0
 * What of a connection string is a file. */
#include <libpq-fe.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/pg/pool.h"

#define SOCKETS "/var/run/postgresql" /* of Debian's libpq, when none is named */

static const char *value_of(const PQconninfoOption *given, const char *keyword)
{
	for (const PQconninfoOption *o = given; o->keyword; o++)
		if (!strcmp(o->keyword, keyword))
			return o->val && *o->val ? o->val : NULL;
	return NULL;
}

/* Several hosts are tried in turn; true: one of them is reached by network. */
static bool show_hosts(const char *hosts, void (*show)(const char *))
{
	AUTO(auto_free) char *copy = xstrdup(hosts);
	bool network = false;
	char *rest = copy;
	for (char *host; (host = strsep(&rest, ","));) {
		if (*host == '/')
			show(host);
		else if (!*host)
			show(SOCKETS);
		else
			network |= *host != '@';
	}
	return network;
}

/* libpq looks for certificates in the home directory, and for that in the environment
 * first: the list of users may be out of sight. */
static void show_home(void (*show)(const char *))
{
	char path[PATH_MAX];
	const char *home = getenv("HOME");
	const struct passwd *p = home && *home ? NULL : getpwuid(geteuid());
	if (p)
		home = p->pw_dir;
	if (!home || *home != '/')
		return;
	snprintf(path, sizeof path, "%s/.postgresql", home);
	if (access(path, X_OK))
		return;
	setenv("HOME", home, 1);
	show(path);
}

void pg_conninfo_files(struct slice conninfo, void (*show)(const char *path))
{
	static const char *const files[] = {"sslrootcert", "sslcert", "sslkey", "sslcrl",
					    "sslcrldir"};
	char *text = xstrndup(conninfo.p, conninfo.n);
	PQconninfoOption *given = PQconninfoParse(text, NULL);
	crypto_wipe(text, conninfo.n);
	free(text);
	if (!given) /* who connects will say so */
		return;
	const char *hosts = value_of(given, "host");
	const char *address = value_of(given, "hostaddr");
	if (show_hosts(hosts ? hosts : address ? "network" : "", show) || address)
		show_home(show);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		const char *path = value_of(given, files[i]);
		if (path && *path == '/')
			show(path);
	}
	PQconninfoFree(given);
}
