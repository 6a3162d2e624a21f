/* SPDX-License-Identifier: Apache-2.0
 * One request of an operator, from its line to its answer.
 *
 *	OPEN --ask_end, ask_fail, ASK_LIMIT_US over--> OVER --last hold released--> freed
 *
 * The asker may go away at any time (ask_forget): the work goes on, its answer goes
 * nowhere. Who waits for something holds the ask until that came, and asks ask_is_over
 * then: an answer that was given by the time limit cannot be given again. */
#ifndef TB_ADMIN_ASK_H
#define TB_ADMIN_ASK_H

#include <sys/types.h>

#include "common/attr.h"
#include "common/err.h"
#include "common/json.h"
#include "common/strbuf.h"
#include "supervisor/admin_args.h"

struct sup;
struct admin_db;
struct rates;
struct loop_timer;
struct pg_request;
struct lq_run;

#define ASK_LINE_MOST (64u << 10)
#define ASK_LIMIT_US 5000000

/* What asks of one node have in common. */
struct ask_world {
	struct sup *sup;
	struct admin_db *db;
	const struct rates *rates;
};

/* The answer, one line with its '\n'; during it the asker must not free the ask's world.
 */
typedef void ask_answered(void *asker, struct slice line);

/* What the names in the arguments stand for, by names_find. */
struct names {
	int64_t tenant;
	struct uuid agent, session;
	uint32_t slot;     /* the session's */
	struct strbuf key; /* the session's */
	bool has_tenant, has_agent, has_session;
};

struct ask {
	const struct ask_world *world;
	struct sup *sup;
	struct arg args[ARG__COUNT];
	struct names names;
	char by[64]; /* "uid:0", "token:<uuid>" */
	void *work;  /* the command's own, freed with the ask by free(3) */
	/* Called instead of ask_fail when the time is over, if the command can say more.
	 */
	void (*on_limit)(struct ask *a);
	int64_t limit_us; /* 0: ASK_LIMIT_US; its command may say so before it returns */

	/* ---- ask.c, names.c and db.c only */
	const struct command *command;
	struct json_doc *doc;
	ask_answered *answered;
	void *asker;
	struct loop_timer *limit;
	struct strbuf out;
	struct json_out json;
	unsigned holds, want;
	bool over;
	void (*then)(struct ask *a);
	struct pg_request *query;
};

/* Reads the line and runs its command. NULL: it is answered already. Else `answered` is
 * called once, later. */
struct ask *ask_new(const struct ask_world *w, uid_t uid, struct slice line,
		    ask_answered *answered, void *asker);
/* Likewise, what an edge asks for: one of its commands, of that tenant alone; 0: of the
 * node, which tells and changes nothing. by: the token. */
struct ask *ask_new_of_door(const struct ask_world *w, int64_t tenant, struct slice by,
			    struct slice line, ask_answered *answered, void *asker);
/* The asker went away. */
void ask_forget(struct ask *a);
const char *ask_command(const struct ask *a);

/* The answer's object, opened; ask_end closes it and sends it. */
struct json_out *ask_reply(struct ask *a);
void ask_end(struct ask *a);
/* The answer as it is, a JSON object, instead of ask_reply and ask_end. */
void ask_end_with(struct ask *a, struct slice json);
PRINTF_LIKE(3, 4) void ask_fail(struct ask *a, enum err e, const char *fmt, ...);
/* As ask_fail with a member more in the answer. */
void ask_fail_with(struct ask *a, enum err e, const char *message, const char *key,
		   const char *value);

void ask_hold(struct ask *a);
/* May free it. */
void ask_release(struct ask *a);
bool ask_is_over(const struct ask *a);

/* The argument "limit", or its default of 50. */
unsigned ask_limit(const struct ask *a);
/* Says who does what to which object: a log line at once, and a row that is not waited
 * for. fmt makes the object's name. */
PRINTF_LIKE(3, 4) void ask_audit(struct ask *a, int64_t tenant, const char *fmt, ...);

/* ---- members of answers */
void put_uuid(struct json_out *o, const char *key, struct uuid u);   /* nil: null */
void put_time(struct json_out *o, const char *key, int64_t real_us); /* 0: null */
void put_ordinal(struct json_out *o, const char *key, int worker);   /* below 0: null */

#endif
