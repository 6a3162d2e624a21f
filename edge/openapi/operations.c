/* SPDX-License-Identifier: Apache-2.0
 * The tables behind the API's description. */
#include "edge/openapi/operations.h"

#include "common/attr.h"

static const struct operation operations[ROUTE__COUNT] = {
#define OP(ROUTE, tag, summary, params, body, answers)                                   \
	[ROUTE_##ROUTE] = {tag, summary, params, body, answers},
#include "edge/openapi/operations.tbl"
#undef OP
};

static const struct param params[] = {
#define PARAM(place, name, type, text) {PARAM_##place, name, type, text},
#include "edge/openapi/params.tbl"
#undef PARAM
};

const struct operation *operation_of(enum route r)
{
	return &operations[r];
}

const struct param *param_named(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		if (slice_is(name, params[i].name))
			return &params[i];
	return NULL;
}

struct slice operation_word(struct slice *rest)
{
	while (rest->p) {
		struct slice word = slice_cut(rest, ' ');
		if (word.n)
			return word;
	}
	return SLICE_NONE;
}

struct slice operation_param(struct slice *rest, bool *needed)
{
	struct slice word = operation_word(rest);
	*needed = word.n && word.p[word.n - 1] == '!';
	word.n -= *needed;
	return word;
}

bool operation_takes(const struct operation *op, struct slice name)
{
	struct slice rest = slice_str(op->params), word;
	bool needed;
	while ((word = operation_param(&rest, &needed)).p)
		if (slice_eq(word, name))
			return param_named(word)->place == PARAM_query;
	return false;
}
