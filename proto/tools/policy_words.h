/* SPDX-License-Identifier: Apache-2.0
 * The words of a policy: a tool's name, group:<category>, or *. In any case of ASCII
 * letters; nothing else is forgiven. */
#ifndef TB_TOOLS_POLICY_WORDS_H
#define TB_TOOLS_POLICY_WORDS_H

#include "common/slice.h"
#include "proto/tools/catalog.h"

/* The tools of a word as a mask of catalogue positions; false: it means nothing. A group
 * may be empty. */
bool policy_word(struct slice word, uint64_t *tools);
/* Those of a profile, by its exact name. */
bool policy_profile(struct slice name, uint64_t *tools);
/* What a word of a `denied` or `ask` list reaches beside itself: who may not write may
 * not edit. */
uint64_t policy_reach(uint64_t tools);
uint64_t policy_all(void);

#endif
