/* SPDX-License-Identifier: Apache-2.0
 * A run's events for people, or as they are for programs. */
#ifndef TB_CLI_RENDER_H
#define TB_CLI_RENDER_H

#include <stdio.h>

#include "common/attr.h"
#include "common/json.h"
#include "common/slice.h"

enum render_form { RENDER_TEXT, RENDER_JSON };

struct render {
	FILE *out;   /* the answer and the tools */
	FILE *notes; /* what is about the run itself */
	enum render_form form;
	int dim;      /* out is a terminal that shows it */
	int shared;   /* out and notes show up in the same place */
	int mid_line; /* the answer's last line has no end yet */
	int quiet;    /* nothing is said of a run's start: who talks knows of it */
};

struct render_event {
	struct slice id;   /* "<seq>", or "<seq>.<offset>" of a delta */
	struct slice data; /* the JSON text */
	json_t body;       /* the same, parsed; NULL when it is no JSON */
};

/* On stdout and stderr; dims when stdout is a terminal and NO_COLOR is not set. */
void render_init(struct render *r, enum render_form form);
void render_event(struct render *r, const struct render_event *e);
/* A line among the notes, "[...]". Ends an open line of the answer only where both are
 * seen together, so that an answer sent into a file stays as it is. */
PRINTF_LIKE(2, 3) void render_note(struct render *r, const char *fmt, ...);
/* Ends an open line. */
void render_break(struct render *r);

#endif
