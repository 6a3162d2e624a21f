/* SPDX-License-Identifier: Apache-2.0
 * One rule. */
#include "sandbox/seccomp_rule.h"

#include <errno.h>
#include <string.h>

#include "common/die.h"

void seccomp_rule(scmp_filter_ctx f, uint32_t action, const char *name, unsigned count,
		  const struct scmp_arg_cmp *args)
{
	int number = seccomp_syscall_resolve_name(name);
	if (number < 0)
		return;
	int rv = seccomp_rule_add_array(f, action, number, count, args);
	/* EEXIST: it is there; EACCES: it is what the filter does anyway. */
	if (rv && rv != -EEXIST && rv != -EACCES)
		fatal("seccomp: the rule for %s is refused: %s", name, strerror(-rv));
}

void seccomp_rule_if(scmp_filter_ctx f, uint32_t action, const char *name,
		     struct scmp_arg_cmp arg)
{
	seccomp_rule(f, action, name, 1, &arg);
}
