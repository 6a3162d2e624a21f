/* SPDX-License-Identifier: Apache-2.0
 * An answer being written, and what every wire format gives to write it. */
#ifndef FAKE_ANSWER_H
#define FAKE_ANSWER_H

#include <stdint.h>

#include "tests/fakes/fake_chat.h"
#include "tests/fakes/fake_http.h"
#include "tests/fakes/fake_reply.h"
#include "tests/fakes/fake_script.h"

#define MODEL_MAX 200

struct format;

struct answer {
	struct reply *r;
	const struct format *format;
	const struct chat *chat;
	const struct script *script;
	bool calls;           /* tools, instead of an end */
	struct slice thought; /* n 0: none */
	struct slice text;    /* of the end, or what is said before calls; n 0: none */
	uint64_t number;
	struct slice model; /* raw, with quotes */
	int64_t created;
	size_t tokens_in;
};

/* Whether the path ends so. */
bool path_ends(struct slice path, struct slice suffix);
/* The key of "Bearer KEY"; empty: none. */
struct slice bearer_key(const struct request *q);

/* Chunks so far: what the answer is said to cost. */
size_t answer_tokens_out(const struct answer *a);
/* The i-th of k parts; characters stay whole. */
struct slice answer_part(struct slice text, int i, int k);

/* One piece of a chunked body. The position is event_end's. */
size_t event_begin(struct reply *r);
void event_end(struct reply *r, size_t at);
/* The end of a chunk: a place to rest, to break off, or to tell nonsense behind. */
void answer_mark(const struct answer *a);

/* What is refused, and why. */
struct refusal {
	enum {
		REFUSE_STATUS,
		REFUSE_KEY,
		REFUSE_REQUEST,
		REFUSE_WINDOW,
		REFUSE_QUOTA
	} why;
	int status; /* REFUSE_STATUS: which; else the format's to set */
	const char *message;
	struct slice retry_after; /* seconds; n 0: not said */
	size_t tokens, window;    /* REFUSE_WINDOW */
};

struct format {
	bool (*takes)(struct slice path);
	struct slice (*key)(const struct request *q);
	/* Fills all but the body; what is refused goes to c->wrong. */
	void (*scan)(struct chat *c, const struct request *q);
	/* All events, and answer_mark at each chunk's end. The head is there. */
	void (*stream)(const struct answer *a);
	/* The answer in one piece; NULL: this one only streams. */
	void (*whole)(const struct answer *a, struct strbuf *body);
	/* An error inside a stream, as one or more events. */
	void (*stream_error)(const struct answer *a);
	void (*put_refusal)(struct strbuf *body, struct refusal *f);
	const char *request_id; /* header with the answer's number */
	bool has_retry_after;   /* as a header */
};

extern const struct format fake_openai, fake_anthropic, fake_gemini, fake_responses;

/* OpenAI's error object, which both of its formats have. */
void openai_put_refusal(struct strbuf *body, struct refusal *f);

/* Of that path; NULL: none. */
const struct format *format_of(struct slice path);
void answer_refuse(struct reply *r, const struct format *f, struct refusal refusal);
/* The scripted answer to a chat request. */
void answer_write(struct reply *r, const struct format *f, const struct chat *c,
		  const struct script *s);

#endif
