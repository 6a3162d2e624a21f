/* SPDX-License-Identifier: Apache-2.0
 * The front matter of a SKILL.md: refused in a sentence, or a name that is one and one
 * clean line of text. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/attr.h"
#include "common/die.h"
#include "sandbox/files/files_front.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(files_front_fini) struct files_front f = {0};
	bool good = files_front_read(slice_of(data, size), &f);
	check(memchr(f.why, 0, sizeof f.why) && good == !f.why[0]);
	if (!good)
		return 0;
	struct slice text = strbuf_slice(&f.description);
	check(files_front_is_name(strbuf_slice(&f.name)));
	check(text.n && text.n <= 4 * FILES_SKILL_DESCRIPTION);
	check(slice_is_utf8(text) && !slice_has_control(text));
	check(text.p[0] != ' ' && text.p[text.n - 1] != ' ');
	check(slice_find(text, SLICE("  ")) < 0);
	return 0;
}
