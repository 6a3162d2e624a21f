/* SPDX-License-Identifier: Apache-2.0
 * From root to the node's user. */
#include "supervisor/identity.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/die.h"
#include "common/log.h"
#include "sandbox/privileges.h"
#include "supervisor/adopt.h"
#include "supervisor/sup.h"

/* Tenants' users: no distribution hands these out. */
#define UID_FIRST 2000000000u
#define UID_COUNT 100000000u

/* In a user namespace most uids are nobody's. */
static bool has_uids(unsigned long long first, unsigned long long count)
{
	unsigned long long inside, outside, n;
	bool found = false;
	FILE *f = fopen("/proc/self/uid_map", "re");
	while (f && !found && fscanf(f, "%llu %llu %llu", &inside, &outside, &n) == 3)
		found = inside <= first && inside + n >= first + count;
	if (f)
		fclose(f);
	return found;
}

void identity_find(struct sup *s)
{
	s->uid = geteuid();
	s->gid = getegid();
	s->was_root = s->uid == 0;
	if (!s->was_root)
		return;
	const struct passwd *p = getpwnam(s->config.user);
	if (!p)
		fatal_usage("TERABITS_USER: there is no user '%s' for the node to run "
			    "as: make it (useradd --system --no-create-home %s), or name "
			    "another one",
			    s->config.user, s->config.user);
	if (p->pw_uid == 0)
		fatal_usage("TERABITS_USER: '%s' is root: name a user of the node's own",
			    s->config.user);
	if (!has_uids(p->pw_uid, 1))
		fatal_usage("TERABITS_USER: '%s' has the uid %u, which this user "
			    "namespace does not have: map it, or start as an ordinary "
			    "user",
			    s->config.user, (unsigned)p->pw_uid);
	s->uid = p->pw_uid;
	s->gid = p->pw_gid;
}

static bool can_switch(char *why, size_t size)
{
	char missing[160];
	privileges_missing(missing, sizeof missing);
	if (*missing)
		snprintf(why, size, "the capabilities %s are missing", missing);
	else if (!has_uids(UID_FIRST, UID_COUNT))
		snprintf(why, size, "this user namespace has no uids from %u on",
			 UID_FIRST);
	else
		return true;
	return false;
}

void identity_settle(struct sup *s)
{
	char why[256];
	s->tenant_uids = can_switch(why, sizeof why);
	if (s->was_root && !s->tenant_uids)
		log_warn("tenants-share-a-user",
			 "message=\"%s: jails use user "
			 "namespaces, and all tenants have the uid %u\"",
			 why, (unsigned)s->uid);
	adopt(s);
	if (s->tenant_uids)
		privileges_keep(s->uid, s->gid);
	else
		privileges_leave(s->uid, s->gid);
	if (s->was_root)
		log_info("user", "name=%s uid=%u tenant_uids=%s", s->config.user,
			 (unsigned)s->uid, s->tenant_uids ? "yes" : "no");
}

uint32_t identity_of_tenant(int64_t tenant)
{
	return UID_FIRST + (uint32_t)((uint64_t)tenant % UID_COUNT);
}
