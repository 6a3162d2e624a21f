/* SPDX-License-Identifier: Apache-2.0
 * What terabitsctl top shows: asked of the node, and set as lines of text. */
#ifndef TB_CLI_TOP_VIEW_H
#define TB_CLI_TOP_VIEW_H

#include <stdint.h>

#include "common/json.h"
#include "common/strbuf.h"

enum top_sort {
	TOP_BY_WAITING,
	TOP_BY_ACTIVE,
	TOP_BY_TENANT,
	TOP_BY_WORKER,
	TOP_SORT__COUNT
};
/* "waiting" ...; the sort of such a word, TOP_BY_WAITING for NULL. */
const char *top_sort_word(enum top_sort s);
enum top_sort top_sort_of(const char *word);

enum top_question { TOP_STATUS, TOP_STATS, TOP_WORKERS, TOP_LANES, TOP_QUESTIONS };

struct top_view {
	struct json_doc *answer[TOP_QUESTIONS]; /* NULL: none came */
	struct strbuf problem[TOP_QUESTIONS];   /* why not */
	enum top_sort sort;
	/* rates, of a node that does not tell them */
	int64_t seen_us, accepted, ended;
	double accepted_rate, ended_rate;
};

/* Asks the node of a state directory everything anew. An exit status of command.h, that
 * of the first question: without its answer there is nothing to show. Reports nothing. */
int top_view_refresh(struct top_view *v, const char *state);
/* Takes rates out of two statuses, `now_us` being the time of the present one. */
void top_view_rates(struct top_view *v, int64_t now_us);
/* Appends the lines; the first is the title, and a line behind an empty one a heading. */
void top_view_print(struct strbuf *out, const struct top_view *v);
void top_view_fini(struct top_view *v);

#endif
