/* SPDX-License-Identifier: Apache-2.0
 * A word, a run, perhaps a number. */
#include "edge/openai/names.h"

#include <stdio.h>

static const char *const words[] = {[NAME_CHAT] = "chatcmpl-",
				    [NAME_RESPONSE] = "resp_",
				    [NAME_MESSAGE] = "msg_",
				    [NAME_CALL] = "fc_"};

void name_format(enum name_kind kind, struct uuid run, size_t n, char out[NAME_BYTES])
{
	char id[UUID_TEXT_LEN + 1];
	uuid_format(run, id);
	if (kind == NAME_MESSAGE || kind == NAME_CALL)
		snprintf(out, NAME_BYTES, "%s%s_%zu", words[kind], id, n);
	else
		snprintf(out, NAME_BYTES, "%s%s", words[kind], id);
}

bool name_run(struct slice name, enum name_kind kind, struct uuid *run)
{
	if (kind == NAME_ITEM)
		return name_run(name, NAME_MESSAGE, run) ||
		       name_run(name, NAME_CALL, run);
	struct slice word = slice_str(words[kind]);
	if (!slice_has_prefix(name, word))
		return false;
	struct slice rest = slice_of(name.p + word.n, name.n - word.n);
	if (kind == NAME_MESSAGE || kind == NAME_CALL)
		rest = slice_cut(&rest, '_');
	return uuid_parse(rest, run);
}
