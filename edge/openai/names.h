/* SPDX-License-Identifier: Apache-2.0
 * The names that a run and its parts have in OpenAI's APIs: chatcmpl-<run>, resp_<run>,
 * msg_<run>_<n>, fc_<run>_<n>. Pure. */
#ifndef TB_OPENAI_NAMES_H
#define TB_OPENAI_NAMES_H

#include <stdbool.h>

#include "common/ident.h"
#include "common/slice.h"

enum name_kind { NAME_CHAT, NAME_RESPONSE, NAME_MESSAGE, NAME_CALL, NAME_ITEM };
#define NAME_BYTES 64

/* The name; n: which one of the run's, for messages and calls. */
void name_format(enum name_kind kind, struct uuid run, size_t n, char out[NAME_BYTES]);
/* Reads the run back. NAME_ITEM: a message or a call. */
bool name_run(struct slice name, enum name_kind kind, struct uuid *run);

#endif
