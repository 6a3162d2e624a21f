/* SPDX-License-Identifier: Apache-2.0
 * One statement of sql.tbl on behalf of a call: its parameters as values, its one row as
 * (outcome, version, text). What lists, shows and changes the catalogue is a function of
 * the database that answers so; the text is JSON as clients see it, or a document.
 *
 * Each sets c->asking and wakes the call when the answer is there. */
#ifndef TB_EDGE_ASK_H
#define TB_EDGE_ASK_H

#include "edge/change.h"

enum ask_kind { ASK_ID, ASK_TEXT, ASK_JSON, ASK_NUMBER, ASK_YES };
struct ask_value {
	enum ask_kind kind;
	bool none; /* NULL */
	struct uuid id;
	struct slice text;
	int64_t number; /* an int4 */
};

/* nil: NULL. */
static inline struct ask_value ask_id(struct uuid id)
{
	return (struct ask_value){.kind = ASK_ID, .none = uuid_is_nil(id), .id = id};
}
/* SLICE_NONE: NULL. */
static inline struct ask_value ask_text(struct slice s)
{
	return (struct ask_value){.kind = ASK_TEXT, .none = !s.p, .text = s};
}
static inline struct ask_value ask_json(struct slice s)
{
	return (struct ask_value){.kind = ASK_JSON, .none = !s.p, .text = s};
}
static inline struct ask_value ask_number(int64_t n)
{
	return (struct ask_value){.kind = ASK_NUMBER, .number = n};
}
/* Below 0: NULL. */
static inline struct ask_value ask_number_or_none(int64_t n)
{
	return (struct ask_value){.kind = ASK_NUMBER, .none = n < 0, .number = n};
}
static inline struct ask_value ask_yes(bool yes)
{
	return (struct ask_value){.kind = ASK_YES, .number = yes};
}

struct ask_answer {
	bool found;           /* there was a row, and it has a text or an outcome */
	struct slice word;    /* the outcome's; in the request's arena, as text */
	struct change change; /* of a change; expect is asked for */
	int64_t version;
	struct slice text; /* SLICE_NONE: none */
};

/* The statement's parameters: the tenant, then these. */
void ask_read(struct call *c, enum sql what, const struct ask_value *v, size_t n,
	      struct ask_answer *out);
/* And, behind them, an audit row's id and the actor. */
void ask_make(struct call *c, enum sql what, const struct ask_value *v, size_t n,
	      struct ask_answer *out);
/* And, before those two, the version that out->change expects. */
void ask_change(struct call *c, enum sql what, const struct ask_value *v, size_t n,
		struct ask_answer *out);

/* False: answered: it failed, or there is none (404 with that text). */
bool ask_found(struct call *c, const struct ask_answer *a, const char *absent);
/* 200 with the text as JSON. */
void ask_reply(struct call *c, const struct ask_answer *a);
/* `status`, with the version as ETag too. */
void ask_reply_version(struct call *c, int status, const struct ask_answer *a,
		       int64_t version);

/* 201, of a thing whose first version this is, with where it is. */
void ask_reply_made(struct call *c, const struct ask_answer *a, struct slice location);

#endif
