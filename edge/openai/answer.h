/* SPDX-License-Identifier: Apache-2.0
 * A run's events as the answer of one of OpenAI's APIs: piece by piece or whole. Pure: it
 * writes to `out`, whoever has it sends that.
 *
 * Text that went out cannot be taken back. When the model begins a message anew, what it
 * says is held back as far as it repeats what was sent; where it differs, the answer ends
 * in the error stream_restarted. */
#ifndef TB_OPENAI_ANSWER_H
#define TB_OPENAI_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/ident.h"
#include "common/json.h"
#include "common/strbuf.h"
#include "edge/sse.h"

struct openai_answer;

/* How one API shows it. Each writes to a->out; begin, text and end_text only of an answer
 * that streams. */
struct answer_form {
	void (*begin)(struct openai_answer *a);
	void (*text)(struct openai_answer *a,
		     struct slice piece);          /* more of the message */
	void (*end_text)(struct openai_answer *a); /* the message, a->text, is whole */
	void (*end)(struct openai_answer *a);      /* the run ended, or it was given up */
	void (*whole)(struct openai_answer *a);    /* instead of all these */
};
extern const struct answer_form answer_chat, answer_responses;

enum answer_end {
	ANSWER_OPEN,
	ANSWER_DONE,
	ANSWER_CALLS,  /* the client has to make calls */
	ANSWER_LENGTH, /* a limit of tokens or a budget cut it */
	ANSWER_FILTER,
	ANSWER_FAILED,
	ANSWER_CANCELLED,
	ANSWER_MERGED, /* another run answers: a->merged */
	ANSWER_BROKEN  /* this answer cannot go on; its run may */
};

struct answer_call {
	struct slice id, name, arguments; /* arguments: JSON */
	bool cut;                         /* they were too long for an event */
};
struct answer_usage {
	int64_t in, out, cached, reasoning; /* the last two are parts of the first two */
};

struct openai_answer {
	const struct answer_form *form;
	struct arena *arena; /* of what is kept until the end */
	struct uuid run;
	int64_t created_us;
	struct slice model; /* as the request named it */
	bool streams, wants_usage;
	bool background; /* Responses: it was asked for so */
	struct uuid previous;
	struct strbuf out;

	/* the message being built */
	struct strbuf text;
	size_t again; /* after a restart: so much of the text came again */
	bool restarted;

	/* what is whole: */
	struct slice *messages;
	size_t message_count, message_cap;
	struct answer_call *calls;
	size_t call_count, call_cap;

	enum answer_end end;
	struct uuid merged;
	bool length, filter;      /* how the last message ended */
	struct slice code, error; /* of a failure */
	struct answer_usage usage;
	unsigned sequence;   /* Responses: of its events */
	bool begun, showing; /* showing: parts of the message went out */
};

void answer_init(struct openai_answer *a, const struct answer_form *form,
		 struct arena *arena);
void answer_fini(struct openai_answer *a);
/* The run is there. */
void answer_begin(struct openai_answer *a);
void answer_event(struct openai_answer *a, const struct sse_item *item);
/* Whether arguments of a call were too long for its event; whole ones out of
 * [{"id","name","arguments"}], JSON. False: one is missing there. */
bool answer_has_cut(const struct openai_answer *a);
bool answer_take_calls(struct openai_answer *a, struct slice pending);
/* After the last event, once usage is known: what is left to say, or all of it. */
void answer_finish(struct openai_answer *a);
/* Gives it up: the error goes into the stream. */
void answer_break(struct openai_answer *a, const char *code, const char *message);

/* ---- for the forms */
/* The status of HTTP for a run that ended so; in how many seconds another may be worth
 * its while, 0: nobody knows. */
int answer_status(const struct openai_answer *a, unsigned *after_s);
/* {"message","type","code","param"} and, unless it is NULL, "requestId" */
void answer_put_error(struct openai_answer *a, struct json_out *o,
		      const char *request_id);
/* What the client sees as the model's name. */
struct slice answer_model(const struct openai_answer *a);

#endif
