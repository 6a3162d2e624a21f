/* SPDX-License-Identifier: Apache-2.0
 * A call's arguments against its tool's JSON schema: the one validator. Knows type,
 * properties, required, additionalProperties, enum, items, minItems, maxItems, minLength,
 * maxLength (bytes), minimum and maximum. */
#ifndef TB_ARGS_H
#define TB_ARGS_H

#include "common/err.h"
#include "common/json.h"

/* ERR_OK, or ERR_TOOL_ARGUMENTS and one sentence that names the field. */
enum err args_check(json_t schema, json_t args, char *err, size_t err_size);

#endif
