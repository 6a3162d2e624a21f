/* SPDX-License-Identifier: Apache-2.0
 * Sets of capabilities, by the raw calls: half of this runs between fork and exec. */
#include "sandbox/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/die.h"

enum {
	S = PRIVILEGES_SUPERVISOR,
	L = PRIVILEGES_LAUNCHER,
	V = PRIVILEGES_VIEW,
	M = PRIVILEGES_MOMENT
};

static const struct {
	int cap;
	unsigned holders;
	const char *name;
} table[] = {
#define PRIVILEGE(name, holders, reason) {CAP_##name, holders, #name},
#include "sandbox/privileges.tbl"
#undef PRIVILEGE
};

static bool kept; /* there is something to hand on */

/* ---- sets as masks */

struct sets {
	uint64_t effective, permitted, inheritable;
};

static int get(struct sets *s)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];
	memset(d, 0, sizeof d);
	if (syscall(SYS_capget, &head, d))
		return -1;
	*s = (struct sets){.effective = d[0].effective | (uint64_t)d[1].effective << 32,
			   .permitted = d[0].permitted | (uint64_t)d[1].permitted << 32,
			   .inheritable = d[0].inheritable | (uint64_t)d[1].inheritable
								     << 32};
	return 0;
}

static int set(const struct sets *s)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	const struct __user_cap_data_struct d[2] = {
		{(uint32_t)s->effective, (uint32_t)s->permitted,
		 (uint32_t)s->inheritable},
		{(uint32_t)(s->effective >> 32), (uint32_t)(s->permitted >> 32),
		 (uint32_t)(s->inheritable >> 32)}};
	return (int)syscall(SYS_capset, &head, d);
}

static uint64_t mask_of(unsigned holders)
{
	uint64_t mask = 0;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].holders & holders)
			mask |= 1ull << table[i].cap;
	return mask;
}

/* ---- questions */

bool privileges_has(enum privileges_holder h)
{
	struct sets s;
	uint64_t mask = mask_of(h);
	return get(&s) == 0 && (s.effective & mask) == mask;
}

void privileges_missing(char *out, size_t size)
{
	struct sets s = {0};
	size_t n = 0;
	get(&s);
	*out = 0;
	for (size_t i = 0; i < ARRAY_LEN(table) && n + 1 < size; i++)
		if (!(s.permitted & 1ull << table[i].cap))
			n += (size_t)snprintf(out + n, size - n, "%sCAP_%s",
					      n ? ", " : "", table[i].name);
}

/* ---- the supervisor */

/* -1: one could not be dropped. */
static int empty_bounding_set(void)
{
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return -1;
	return 0;
}

static void become(uid_t uid, gid_t gid)
{
	uid_t r, e, saved;
	if (getresuid(&r, &e, &saved) == 0 && r == uid && e == uid && saved == uid)
		return;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setgroups(0, NULL) ||
	    setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		fatal_usage("root cannot become the user %u (%s): in a container, map "
			    "that user and allow the capabilities SETUID and SETGID, or "
			    "start as an ordinary user",
			    (unsigned)uid, strerror(errno));
}

static void clear_ambient(void)
{
	/* EINVAL: a kernel without them */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static void forbid_new(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fatal("no-new-privileges is refused: %s", strerror(errno));
}

void privileges_keep(uid_t uid, gid_t gid)
{
	uint64_t all = mask_of(S | L | V);
	become(uid, gid);
	clear_ambient();
	if (set(&(struct sets){all, all, all}) || empty_bounding_set() ||
	    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0) ||
	    set(&(struct sets){mask_of(S), all, all}))
		fatal("the capabilities of root cannot be reduced: %s", strerror(errno));
	forbid_new();
	kept = true;
}

void privileges_leave(uid_t uid, gid_t gid)
{
	become(uid, gid);
	privileges_drop();
}

int privileges_hand_on(enum privileges_holder h)
{
	uint64_t mask = mask_of(h);
	if (!kept)
		return 0;
	if (set(&(struct sets){mask_of(S), mask_of(S | L | V), mask}))
		return -1;
	for (int cap = 0; cap < 64; cap++)
		if ((mask & 1ull << cap) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
			return -1;
	return 0;
}

/* Of who kept nothing: the process is as it was started, a test's for instance. */
bool privileges_raise(void)
{
	struct sets s;
	uint64_t mask = mask_of(M);
	if (get(&s) || ((kept ? s.permitted : s.effective) & mask) != mask)
		return false;
	s.effective |= mask;
	return set(&s) == 0;
}

void privileges_lower(void)
{
	struct sets s;
	if (!kept)
		return;
	if (get(&s) == 0) {
		s.effective = mask_of(S);
		if (set(&s) == 0)
			return;
	}
	fatal("capabilities cannot be put down: %s", strerror(errno));
}

/* ---- its children */

void privileges_limit(enum privileges_holder h)
{
	struct sets s;
	clear_ambient();
	if (get(&s) == 0) {
		s.permitted &= mask_of(h);
		s = (struct sets){s.permitted, s.permitted, 0};
		if (set(&s) == 0)
			return;
	}
	fatal("capabilities cannot be given up: %s", strerror(errno));
}

void privileges_drop(void)
{
	struct sets s;
	clear_ambient();
	if (get(&s) == 0 && (s.permitted & 1ull << CAP_SETPCAP)) {
		s.effective = s.permitted;
		set(&s);
		empty_bounding_set();
	}
	if (set(&(struct sets){0, 0, 0}))
		fatal("capabilities cannot be given up: %s", strerror(errno));
	forbid_new();
	privileges_verify_none();
}

void privileges_verify_none(void)
{
	struct sets s;
	if (get(&s) || s.effective || s.permitted || s.inheritable)
		fatal("a capability is left that should be gone");
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
			fatal("the ambient capability %d is left", cap);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		fatal("new privileges are not forbidden");
}

void privileges_refuse_root(void)
{
	uid_t r, e, saved;
	if (getresuid(&r, &e, &saved) || r == 0 || e == 0 || saved == 0)
		fatal_usage("this program never runs as root: start terabitsd, which "
			    "becomes the user TERABITS_USER");
}
