/* SPDX-License-Identifier: Apache-2.0
 * A conversation as text, and the questions that are asked of it when it becomes too
 * long. Pure. */
#ifndef TB_CONTEXT_RENDER_H
#define TB_CONTEXT_RENDER_H

#include <stdint.h>

#include "common/slice.h"
#include "common/strbuf.h"
#include "worker/context/plan.h"

/* A stored message as lines, "[user] ..."; of a text that has more than `most` bytes its
 * beginning and end. Nothing for one that shows nothing. */
void render_message(struct strbuf *out, enum plan_role role, struct slice content,
		    size_t most);

/* What a summary is asked for with. */
struct render_wish {
	struct slice focus;    /* n 0: none */
	struct slice previous; /* summary of what was before; n 0: none */
	struct slice text;     /* the conversation */
	int64_t words;         /* of the summary, at most */
	uint64_t fence;        /* a number that who wrote the conversation cannot know */
};
extern const char render_summary_system[];
void render_summary_request(struct strbuf *out, const struct render_wish *w);
/* In front of the summary, when a model is shown it. */
#define RENDER_SUMMARY_HEAD                                                              \
	"Summary of this conversation so far (it stands for messages that are not "      \
	"shown "                                                                         \
	"any more):\n\n"
/* The text of the summary in that stored message, without the head; borrowed from *kept,
 * which the caller empties. */
struct slice render_summary_text(struct strbuf *kept, struct slice content);
/* The message that asks a model to save to its memory what matters. */
extern const char render_flush_request[];

#endif
