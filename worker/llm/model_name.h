/* SPDX-License-Identifier: Apache-2.0
 * What the name of a model tells of it. Providers refuse parameters that a generation of
 * their models does not know, and the name is all there is to see it by. */
#ifndef TB_LLM_MODEL_NAME_H
#define TB_LLM_MODEL_NAME_H

#include <stdbool.h>

#include "common/slice.h"

/* 100 times the major and once the minor version: claude-3-7-sonnet-20250219 is 307,
 * claude-opus-4-20250514 is 400, gemini-2.5-pro is 205. 0: the name has none. */
int model_version(struct slice model);
/* Whether a model takes images, which others refuse, and with them all that follows in
 * their session. Of OpenAI all but the old and the small; of other servers' models those
 * whose name says so. What is not shown has a line of text in its place. */
bool model_of_openai_sees(struct slice model);
bool model_sees(struct slice model);

#endif
