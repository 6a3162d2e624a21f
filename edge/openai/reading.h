/* SPDX-License-Identifier: Apache-2.0
 * Reading a request of one of OpenAI's APIs: what its parameters have in common. Private
 * to this folder. Pure. Each reader says with false that the fault is set. */
#ifndef TB_OPENAI_READING_H
#define TB_OPENAI_READING_H

#include "common/attr.h"
#include "common/json.h"
#include "edge/openai/ask.h"
#include "proto/model/settings.h"

struct reading {
	struct ask *ask;
	struct ask_fault *fault;
	struct model_settings settings;
	json_t list;     /* messages or input; read last, when the rest is known */
	bool has_most;   /* the limit of tokens was said */
	bool has_stable; /* the conversation is one that goes on */
};

enum param_how { PARAM_TAKEN, PARAM_IGNORED, PARAM_REFUSED };
struct param {
	const char *name;
	enum param_how how;
	bool (*take)(struct reading *r, const char *name, json_t v);
	bool (*is_neutral)(json_t v); /* of one that is refused */
	const char *why;
};

/* Returns false. */
PRINTF_LIKE(3, 4)
bool reading_wrong(struct reading *r, const char *param, const char *fmt, ...);
/* All members of the request, by the table; null is as good as absent. */
bool reading_params(struct reading *r, json_t body, const struct param *params,
		    size_t count);
/* One of proto/model/settings.tbl, under the name that the client has for it. */
bool reading_setting(struct reading *r, const char *param, const char *setting, json_t v);
bool reading_bool(struct reading *r, const char *name, json_t v, bool *out);
bool reading_text(struct reading *r, const char *name, json_t v, size_t most,
		  struct slice *out);

/* ---- parameters that both APIs have */
bool take_model(struct reading *r, const char *name, json_t v);
bool take_list(struct reading *r, const char *name, json_t v);
bool take_stream(struct reading *r, const char *name, json_t v);
bool take_user(struct reading *r, const char *name, json_t v);
bool take_temperature(struct reading *r, const char *name, json_t v);
bool take_top_p(struct reading *r, const char *name, json_t v);
bool take_max_tokens(struct reading *r, const char *name, json_t v);
bool take_metadata(struct reading *r, const char *name, json_t v);
bool take_tools(struct reading *r, const char *name, json_t v);
bool take_choice(struct reading *r, const char *name, json_t v);
/* Once all is read: whether the choice is one of the tools. */
bool reading_choice(struct reading *r);
/* {"type":"json_schema",...} whose schema stands in `holder`. */
bool reading_format(struct reading *r, const char *name, json_t format, json_t holder);

bool is_nothing(json_t v);
bool is_one(json_t v);
bool is_zero(json_t v);
bool is_false(json_t v);
bool is_empty(json_t v);
bool is_text(json_t v);
bool is_medium(json_t v);

/* ---- what is said */

/* Texts of a content that is a string or a list of text parts, one behind the other. */
bool reading_words(struct reading *r, const char *at, json_t content, struct strbuf *out);
/* A user's content: texts and images as blocks behind each other. */
bool reading_blocks(struct reading *r, const char *at, json_t content, struct strbuf *out,
		    size_t *count);
/* A call's arguments, a JSON object in a text, as a transcript keeps them. */
void reading_arguments(struct slice text, struct strbuf *out);

/* ---- the whole */

struct reading_api {
	const struct param *params;
	size_t count;
	const char *list; /* the parameter that holds the conversation */
	/* Reads it into ask->talk; from: the first item that is of interest, when the
	 * session has the others. */
	bool (*read_list)(struct reading *r, size_t from);
	size_t (*find_new)(json_t list); /* where the new part of it begins */
};
bool reading_all(struct reading *r, struct slice body, const struct reading_api *api);

#endif
