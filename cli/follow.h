/* SPDX-License-Identifier: Apache-2.0
 * One message: sent, and its run followed to the end over broken connections. */
#ifndef TB_CLI_FOLLOW_H
#define TB_CLI_FOLLOW_H

#include "cli/node.h"
#include "cli/render.h"

/* Who looks on, and may step in between two events. */
struct follow_watch {
	/* An event was shown. True: the stream is left, for `between`, and taken up again
	 * behind that event. */
	bool (*event)(void *arg, const struct render_event *e);
	void (*between)(void *arg);
	void *arg;
	char run[UUID_TEXT_LEN + 1]; /* filled: the run that is followed; "": none yet */
	bool leave;                  /* set by who looks on: no further */
};

struct message {
	const char *agent;
	const char *session; /* NULL: the agent's main session */
	struct slice text;
	const char *model;          /* NULL: the agent's */
	bool builder;               /* of mode builder */
	long wait_s;                /* for the node to be ready */
	struct follow_watch *watch; /* NULL: nobody */
};

/* Shows the events as they come. The value is an exit status of command.h; failures are
 * reported. */
int follow_message(struct node *n, struct render *out, const struct message *m);
/* As follow_message, of a run that is there; from its first event on. watch: may be NULL.
 */
int follow_run(struct node *n, struct render *out, struct uuid run,
	       struct follow_watch *watch);
/* The body of the POST. */
void follow_compose(struct strbuf *out, const struct message *m);
/* A path segment, percent-encoded. */
void follow_encode(struct strbuf *out, const char *segment);

/* How an event ends a run. */
enum follow_end { FOLLOW_ON, FOLLOW_COMPLETED, FOLLOW_FAILED, FOLLOW_MERGED };
enum follow_end follow_end_of(json_t event);

#endif
