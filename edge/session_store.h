/* SPDX-License-Identifier: Apache-2.0
 * What the edge reads and changes of sessions. As store.h: the call is woken when the
 * answer is there, texts live in the request's arena. */
#ifndef TB_EDGE_SESSION_STORE_H
#define TB_EDGE_SESSION_STORE_H

#include "edge/store.h"

struct session_info {
	bool found; /* false also of one that is being deleted */
	struct uuid id, agent;
	unsigned slot;
	int64_t head;           /* the last message's seq */
	int64_t version;        /* of title, meta and queue mode */
	struct slice key, json; /* json: as clients see it */
};
/* By its id, or by its key when that is given. */
void store_read_session(struct call *c, struct uuid id, struct uuid agent,
			struct slice key, struct session_info *out);

struct session_patch {
	bool has_title, has_mode;
	struct slice title; /* SLICE_NONE: none any more */
	struct slice meta;  /* JSON; SLICE_NONE: stays */
	struct slice mode;  /* SLICE_NONE: the agent's */
};
struct session_patched {
	bool done;
	struct session_info info;
};
/* What stands then, changed or not. expect: the version that is meant to be
 * replaced, -1: any. */
void store_patch_session(struct call *c, struct uuid id, const struct session_patch *p,
			 int64_t expect, struct session_patched *out);

/* A place between two rows of a list that is ordered by time, the newest first. */
struct time_place {
	int64_t us; /* INT64_MAX: before the newest */
	struct uuid id;
	int64_t seq;
};

struct session_filter {
	struct uuid agent;   /* nil: any */
	struct slice status; /* SLICE_NONE: any */
	struct time_place before;
	unsigned limit;
};
struct session_page {
	unsigned count;
	struct slice rows[PAGE_MAX]; /* JSON objects */
	bool more;
	struct time_place next;
};
void store_list_sessions(struct call *c, const struct session_filter *f,
			 struct session_page *out);

/* Messages as lines, a JSON object each. */
#define MESSAGE_PAGE_BYTES (1u << 20) /* one message may be longer, alone */
struct message_page {
	struct arena *arena; /* of the lines; NULL: the request's */
	unsigned count;
	struct slice lines[PAGE_MAX];
	int64_t last; /* the last one's seq */
};
/* Those before `seq` downwards, or, `up`, those behind it upwards. */
void store_read_messages(struct call *c, struct uuid session, int64_t seq, bool up,
			 unsigned limit, struct message_page *out);

struct message_search {
	struct uuid session, agent; /* session nil: all of the agent's */
	struct slice text;
	struct time_place before; /* us and seq */
	unsigned limit;
};
struct found_page {
	bool complete;
	unsigned count;
	struct slice rows[PAGE_MAX]; /* JSON objects */
	bool more;
	struct time_place next;
};
void store_search_messages(struct call *c, const struct message_search *s,
			   struct found_page *out);

#endif
