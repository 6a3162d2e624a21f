/* SPDX-License-Identifier: Apache-2.0
 * Passing a fault point: a look at shared memory. */
#include "common/fault.h"

#ifdef TB_FAULTS

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"

static struct fault_slot *slots;
static int ledger_fd = -1;

bool fault_ledger(struct slice line)
{
	return ledger_fd >= 0 && write(ledger_fd, line.p, line.n) == (ssize_t)line.n;
}

void fault_init(void)
{
	const char *path = getenv("TERABITS_FAULTS"), *ledger = getenv("TERABITS_LEDGER");
	if (ledger && *ledger)
		ledger_fd = open(ledger, O_WRONLY | O_APPEND | O_DSYNC | O_CLOEXEC);
	if (!path || !*path)
		return;
	AUTO(auto_close) int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fatal_usage("TERABITS_FAULTS: %s cannot be opened", path);
	void *p = mmap(NULL, FAULT__COUNT * sizeof *slots, PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		fatal_usage("TERABITS_FAULTS: %s cannot be mapped", path);
	slots = p;
}

void fault_pass(enum fault f)
{
	if (!slots)
		return;
	struct fault_slot *s = &slots[f];
	__atomic_fetch_add(&s->passes, 1, __ATOMIC_RELAXED);
	uint32_t action = __atomic_load_n(&s->action, __ATOMIC_RELAXED);
	if (action == FAULT_NONE ||
	    !__atomic_compare_exchange_n(&s->action, &action, FAULT_NONE, 0,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&s->pid, (uint32_t)getpid(), __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&s->hits, 1, __ATOMIC_SEQ_CST);
	raise(action == FAULT_DIE ? SIGKILL : SIGSTOP);
}

#endif
