/* SPDX-License-Identifier: Apache-2.0
 * Two lines with a number. */
#include "worker/context/fence.h"

#include "common/crypto.h"

uint64_t fence_mark(void)
{
	uint64_t mark;
	crypto_random(&mark, sizeof mark);
	return mark;
}

void fence_text(struct strbuf *out, uint64_t mark, struct slice text, const char *note)
{
	strbuf_printf(out,
		      TOOL_FENCE "%016llx%s]\n%.*s\n[end of untrusted content %016llx]",
		      (unsigned long long)mark, note, SLICE_ARG(text),
		      (unsigned long long)mark);
}
