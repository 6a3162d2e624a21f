/* SPDX-License-Identifier: Apache-2.0
 * What a provider key and what stands beside it may be: judged alike at the door and on
 * the command line. Each check returns NULL, or a clause for people behind the name of
 * the field ("must be ..."). */
#ifndef TB_KEY_TEXT_H
#define TB_KEY_TEXT_H

#include <stdbool.h>

#include "common/slice.h"

#define KEY_HINT 5 /* with its NUL */

bool key_provider_is_known(struct slice name);
/* All of them, ", " between. */
const char *key_providers(void);
const char *key_text_problem(struct slice key);
const char *key_label_problem(struct slice label);
/* guarded: a tenant's, see common/url_guard.h; else http or https to anywhere. */
const char *key_base_url_problem(struct slice url, bool guarded);
const char *key_version_problem(struct slice version);
/* The last four characters; of a short key none. */
void key_hint(struct slice key, char out[KEY_HINT]);

#endif
