/* SPDX-License-Identifier: Apache-2.0
 * What a foreign protocol's messages come to: the members of an order's content, put
 * together piece by piece. Pure.
 *
 * A piece that is wrong is remembered and the rest ignored; said_compose tells. Owns: its
 * buffers, until said_fini. */
#ifndef TB_EDGE_SAID_H
#define TB_EDGE_SAID_H

#include "common/arena.h"
#include "common/attr.h"
#include "common/json.h"
#include "common/strbuf.h"
#include "edge/order.h"

struct said {
	struct strbuf blocks, results, tools; /* elements of JSON lists */
	struct strbuf system;                 /* text that the message adds */
	struct strbuf choice;                 /* JSON */
	unsigned block_count;
	bool is_wrong;
	struct order_fault *fault;
};

void said_init(struct said *s, struct order_fault *fault);
void said_fini(struct said *s);
/* Always false. */
PRINTF_LIKE(3, 4)
bool said_wrong(struct said *s, const char *param, const char *fmt, ...);

/* Of a user's message. */
void said_text(struct said *s, struct slice text);
void said_image(struct said *s, struct slice media_type, struct slice data);
/* https:// or data:. */
void said_image_url(struct said *s, const char *param, struct slice url);
/* Instructions that stand beside the agent's own. */
void said_system(struct said *s, struct slice text);
/* The result of a call that the client has carried out: a string, or another value as its
 * JSON. */
void said_result(struct said *s, const char *param, struct slice call, json_t content,
		 bool is_error);
/* Tools of the client's own, its `tools`: of each name, description, parameters; what
 * else it has is not looked at, and these not before all is composed. False: it is no
 * list. */
bool said_tools(struct said *s, json_t list);
/* As a message's own toolChoice. */
void said_choice(struct said *s, json_t v);

/* The content, in the arena. False: fault is set. */
bool said_compose(struct said *s, struct arena *a, struct slice *content);

#endif
