/* SPDX-License-Identifier: Apache-2.0
 * Two lines with a random number. */
#include "worker/context/fence.h"

#include <stdint.h>

#include "common/crypto.h"

void fence_text_by(struct strbuf *out, struct slice text, const char *note,
		   uint64_t number)
{
	strbuf_printf(out,
		      TOOL_FENCE "%016llx%s]\n%.*s\n[end of untrusted content %016llx]",
		      (unsigned long long)number, note, SLICE_ARG(text),
		      (unsigned long long)number);
}

void fence_text(struct strbuf *out, struct slice text, const char *note)
{
	uint64_t dice;
	crypto_random(&dice, sizeof dice);
	fence_text_by(out, text, note, dice);
}
