/* SPDX-License-Identifier: Apache-2.0
 * Pair by pair. */
#include "edge/query.h"

#include "edge/openapi/operations.h"
#include "edge/reply.h"

static bool refuse(struct call *c, struct slice name, const char *why)
{
	struct arena *a = c->request->arena;
	const char *text = arena_strndup(a, name.p, name.n < 63 ? name.n : 63);
	return reply_wrong(c->request, text, arena_printf(a, "%s%s", text, why));
}

static bool refuse_unknown(struct call *c, struct slice name, const struct operation *op)
{
	AUTO(strbuf_fini) struct strbuf known = STRBUF_INIT;
	struct slice rest = slice_str(op->params), word;
	bool needed;
	while ((word = operation_param(&rest, &needed)).p)
		if (param_named(word)->place == PARAM_query)
			strbuf_printf(&known, "%s%.*s", known.n ? ", " : ": it takes ",
				      SLICE_ARG(word));
	return refuse(c, name,
		      arena_printf(c->request->arena, " is no parameter of this path%.*s",
				   SLICE_ARG(strbuf_slice(&known))));
}

bool query_fits(struct call *c)
{
	struct slice rest = c->request->head.query;
	const struct operation *op = operation_of(c->match.route);
	while (rest.p && op->tag) {
		struct slice pair = slice_cut(&rest, '&');
		struct slice name = slice_cut(&pair, '=');
		if (name.n && !operation_takes(op, name))
			return refuse_unknown(c, name, op);
	}
	return true;
}

static bool take_pair(struct call *c, const struct query_param *params, size_t count,
		      struct slice pair, unsigned *seen)
{
	struct slice name = slice_cut(&pair, '=');
	char *text = arena_alloc(c->request->arena, pair.n + 1);
	size_t n;
	for (size_t i = 0; i < count; i++) {
		if (!slice_is(name, params[i].name))
			continue;
		if (*seen & 1u << i)
			return refuse(c, name, " stands in the query twice");
		*seen |= 1u << i;
		if (!http_unescape(pair, text, &n))
			return refuse(c, name, " is badly percent-encoded");
		text[n] = 0;
		return params[i].take(c, slice_of(text, n));
	}
	return refuse(c, name, " is no parameter of this path");
}

bool query_read(struct call *c, const struct query_param *params, size_t count)
{
	struct slice rest = c->request->head.query;
	unsigned seen = 0;
	while (rest.p) {
		struct slice pair = slice_cut(&rest, '&');
		if (pair.n > 0 && !take_pair(c, params, count, pair, &seen))
			return false;
	}
	return true;
}

bool query_number(struct call *c, const char *name, struct slice value, long long least,
		  long long most, int64_t *out)
{
	long long n;
	if (!slice_to_i64(value, &n) || n < least || n > most)
		return reply_wrong(c->request, name,
				   arena_printf(c->request->arena,
						"%s must be an integer from %lld to %lld",
						name, least, most));
	*out = n;
	return true;
}
