/* SPDX-License-Identifier: Apache-2.0
 * refusals.tbl, walked. */
#include "worker/llm/refusal.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "worker/llm/llm.h"

#define BODY_MOST (1u << 20)
#define SAY_MOST 240

enum where { ANY, CODE, TYPE, SAYS };

static const struct rule {
	int status;
	enum where where;
	const char *text;
	enum err err;
} rules[] = {
#define REFUSAL(status, where, text, ERROR) {status, where, text, ERR_##ERROR},
#include "worker/llm/refusals.tbl"
#undef REFUSAL
};

static bool says(struct slice message, const char *text)
{
	size_t n = strlen(text);
	for (size_t i = 0; i + n <= message.n; i++)
		if (slice_ieq(slice_of(message.p + i, n), slice_of(text, n)))
			return true;
	return false;
}

static bool fits(const struct rule *k, const struct llm_refusal *r)
{
	if (k->status && k->status != r->status)
		return false;
	switch (k->where) {
	case CODE:
		return slice_ieq(r->code, slice_str(k->text));
	case TYPE:
		return slice_ieq(r->type, slice_str(k->text));
	case SAYS:
		return says(r->message, k->text);
	case ANY:
		break;
	}
	return true;
}

enum err llm_refusal_class(const struct llm_refusal *r)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (fits(&rules[i], r))
			return rules[i].err;
	/* Inside a stream something broke that had begun well. */
	return r->status >= 500 || !r->status ? ERR_MODEL_OVERLOAD : ERR_MODEL_REQUEST;
}

void llm_refusal_say(struct llm_answer *a, struct slice message)
{
	if (!message.n)
		message = SLICE("(nothing)");
	if (message.n > SAY_MOST) { /* cut where a character begins */
		message.n = SAY_MOST;
		while (message.n && ((unsigned char)message.p[message.n] & 0xC0) == 0x80)
			message.n--;
	}
	snprintf(a->error, sizeof a->error, "the model provider says: %.*s",
		 SLICE_ARG(message));
}

enum err llm_refuse(struct llm_answer *a, const struct llm_refusal *r)
{
	if (r->message.n || !r->status)
		llm_refusal_say(a, r->message);
	else
		snprintf(a->error, sizeof a->error,
			 "the model provider answered with status %d", r->status);
	return llm_refusal_class(r);
}

struct llm_refusal llm_refusal_of(int status, json_t error)
{
	struct slice text = json_str(error);
	struct slice type = json_str(json_get(error, "type"));
	int64_t code;
	if (!status && json_i64(json_get(error, "code"), &code) && code >= 400 &&
	    code <= 599)
		status = (int)code;
	return (struct llm_refusal){
		.status = status,
		.code = json_str(json_get(error, "code")),
		.type = type.n ? type : json_str(json_get(error, "status")),
		.message = text.p ? text : json_str(json_get(error, "message"))};
}

json_t llm_error_of(json_t root)
{
	if (json_kind(root) == JSON_ARRAY)
		root = json_at(root, 0);
	json_t error = json_get(root, "error");
	return error || !json_str(json_get(root, "message")).n ? error : root;
}

enum err llm_refuse_json(struct llm_answer *a, int status, struct slice body)
{
	AUTO(auto_json_free) struct json_doc *d = json_parse(body, BODY_MOST, NULL, 0);
	struct llm_refusal r = llm_refusal_of(status, llm_error_of(json_root(d)));
	return llm_refuse(a, &r);
}
