/* SPDX-License-Identifier: Apache-2.0
 * The two filters of a jail's programs, compiled once and loaded many times without
 * libseccomp: by processes that were forked and may not allocate. */
#ifndef TB_SECCOMP_JAIL_H
#define TB_SECCOMP_JAIL_H

#include <linux/filter.h>

struct jail_filters {
	/* Argument denials in a filter of their own: libseccomp drops them silently
	 * beside an unconditional rule for the same call. */
	struct sock_fprog calls, arguments;
};

/* Dies when libseccomp refuses a rule. The programs stay for the life of the process. */
void jail_filters_compile(struct jail_filters *f);
/* On the calling thread, which has set no-new-privileges. 0, or -1 and errno. */
int jail_filters_load(const struct jail_filters *f);

#endif
