/* SPDX-License-Identifier: Apache-2.0
 * Rules of a filter in the making. Private to the filters. */
#ifndef TB_SECCOMP_RULE_H
#define TB_SECCOMP_RULE_H

#include <seccomp.h>
#include <stdint.h>

/* The action for that call, if its arguments compare so; count 0: whatever they are. A
 * call of another machine, or newer than this libseccomp, stays what the filter does
 * else. Dies when libseccomp refuses. */
void seccomp_rule(scmp_filter_ctx f, uint32_t action, const char *name, unsigned count,
		  const struct scmp_arg_cmp *args);
/* With one comparison. */
void seccomp_rule_if(scmp_filter_ctx f, uint32_t action, const char *name,
		     struct scmp_arg_cmp arg);

#endif
