/* SPDX-License-Identifier: Apache-2.0
 * What a program of a call finds as its environment. */
#ifndef TB_ENVIRONMENT_H
#define TB_ENVIRONMENT_H

#include "common/json.h"

/* Adds NAME=value, each with a NUL behind it: our own, then those of the object env.
 * False: one of those may not be, and why gets the sentence. */
bool environment_add(struct strbuf *out, json_t env, char *why, size_t size);

#endif
