/* SPDX-License-Identifier: Apache-2.0
 * The message codec: structs, enum, descriptors and one generic encoder and decoder, all
 * from messages.tbl.
 *
 * Wire form of a message: a msgpack array [number, field...] of exact arity and types,
 * lengths within the table's. Wire form of a frame: an unsigned frame counter, then any
 * number of messages, nothing after them. A non-allocating pre-scan checks a frame
 * against LIMIT_FRAME_* before msgpack-c sees it: five bytes may declare a 4 GB array.
 * Decoded strings borrow from the frame. */
#ifndef TB_WIRE_H
#define TB_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ident.h"
#include "common/slice.h"
#include "common/strbuf.h"
#include "proto/limits.h"

typedef struct slice wire_STR;
typedef struct slice wire_BIN;
typedef uint32_t wire_U32;
typedef uint64_t wire_U64;
typedef int64_t wire_I64;
typedef bool wire_BOOL;
typedef struct uuid wire_UUID;

enum wire_type {
	WIRE_T_STR,
	WIRE_T_BIN,
	WIRE_T_U32,
	WIRE_T_U64,
	WIRE_T_I64,
	WIRE_T_BOOL,
	WIRE_T_UUID
};
enum wire_route {
	LINK_UP,
	LINK_DOWN,
	BOOT,
	CHILD_UP,
	CHILD_DOWN,
	EDGE_UP,
	EDGE_DOWN,
	WORKER_UP,
	WORKER_DOWN,
	GRANT_DOWN,
	LAUNCHER_UP,
	JAIL_UP,
	JAIL_DOWN
};
/* Phases of a link; a message's mask says in which it may arrive. */
enum { LINK_NEW = 1, LINK_GREETED = 2, LINK_READY = 4, LINK_DRAINING = 8 };

enum wire_id {
#define MSG(U, l, id, route, phases) WIRE_##U = id,
#define FIELD(m, f, T, max)
#define END(m)
#include "proto/messages.tbl"
#undef MSG
#undef FIELD
#undef END
	WIRE__MAX = 64
};
#define MSG(U, l, id, route, phases) struct wire_##l {
#define FIELD(m, f, T, max) wire_##T f;
#define END(m)                                                                           \
	}                                                                                \
	;
#include "proto/messages.tbl"
#undef MSG
#undef FIELD
#undef END
union wire_any {
#define MSG(U, l, id, route, phases) struct wire_##l l;
#define FIELD(m, f, T, max)
#define END(m)
#include "proto/messages.tbl"
#undef MSG
#undef FIELD
#undef END
};

struct wire_field {
	const char *name;
	enum wire_type type;
	size_t offset;
	uint32_t max;
};
struct wire_desc {
	const char *name;
	enum wire_id id;
	enum wire_route route;
	unsigned phases;
	const struct wire_field *fields;
	unsigned field_count;
};

/* NULL for a number the table does not have. */
const struct wire_desc *wire_desc(unsigned id);
/* A hash of the whole table: names, numbers, routes, phases, fields, types, maxima. */
uint64_t wire_table_hash(void);

/* Appends one message. ERR_TOO_LARGE (and nothing appended) when a field exceeds its
 * maximum. */
enum err wire_encode(struct strbuf *out, enum wire_id id, const void *msg);
/* Appends a frame's counter. */
void wire_encode_counter(struct strbuf *out, uint64_t counter);

/* A frame under decoding. */
struct wire_frame {
	struct slice rest;
	uint64_t counter;
};
/* Pre-scans the whole frame and reads its counter. ERR_PROTOCOL and a word in *why
 * (static) otherwise. */
enum err wire_frame_open(struct slice frame, struct wire_frame *f, const char **why);
/* The next message: ERR_OK with *id and *out set, ERR_NOT_FOUND at the end, ERR_PROTOCOL
 * with *why. */
enum err wire_frame_next(struct wire_frame *f, enum wire_id *id, union wire_any *out,
			 const char **why);

/* What the fields "role", "mode", "state" hold. */
enum boot_role { ROLE_EDGE = 1, ROLE_WORKER = 2, ROLE_LAUNCHER = 3, ROLE_SWEEP = 4 };
enum run_mode {
	MODE_STEER = 1,
	MODE_FOLLOWUP,
	MODE_COLLECT,
	MODE_INTERRUPT,
	MODE_ANNOUNCE,
	/* of a lane job: what it does */
	MODE_APPEND = 16,
	MODE_COMPACT,
	MODE_RESET,
	MODE_IMPORT,
	MODE_ARCHIVE,
	MODE_FORK,
	MODE_REGENERATE,
	MODE_EDIT,
	MODE_DELETE,
	MODE_RESTORE,
	MODE__END /* one past the last */
};
static inline bool mode_is_job(unsigned mode)
{
	return mode >= MODE_APPEND;
}
enum run_state {
	RUN_SCHEDULED = 1,
	RUN_QUEUED,
	RUN_RUNNING,
	RUN_RETRY_WAIT,
	RUN_WAITING
};
/* What a run may consume of its lane's waiting rows; bits. */
enum take { TAKE_STEER = 1, TAKE_COLLECT = 2, TAKE_FOLDED = 4 };
enum drop_policy { DROP_REJECT = 1, DROP_OLD, DROP_SUMMARIZE };
enum cancel_reason { CANCEL_ASKED = 1, CANCEL_INTERRUPTED };
enum decision { DECISION_APPROVE = 1, DECISION_ALWAYS, DECISION_DENY };
enum inquiry_kind { INQUIRY_KEY = 1, INQUIRY_REQUEST, INQUIRY_EMBED, INQUIRY_WEBHOOK };
enum sub_state { SUB_LIVE = 1, SUB_GONE, SUB_GAP };
enum run_result {
#define RESULT(NAME, word, number, wait) RESULT_##NAME = number,
#include "proto/results.tbl"
#undef RESULT
};
enum skill_source { /* bits */
		    SKILLS_WORKSPACE = 1,
		    SKILLS_TENANT = 2,
		    SKILLS_NODE = 4
};
enum jail_kind {
	JAIL_KIND_EXEC = 1,
	JAIL_KIND_READ,
	JAIL_KIND_WRITE,
	JAIL_KIND_EDIT,
	JAIL_KIND_LIST,
	JAIL_KIND_OUT, /* the two ways of sandbox/files/files_transfer.h */
	JAIL_KIND_IN
};
enum jail_end {
	JAIL_END_EXITED = 1,
	JAIL_END_SIGNALLED,
	JAIL_END_NOT_EXECUTED,
	JAIL_END_FAILED,
	JAIL_END_TIMED_OUT,
	JAIL_END_OUT_OF_MEMORY,
	JAIL_END_KILLED,
	JAIL_END_NO_DIRECTORY, /* where it was to work; number: errno */
	JAIL_END_QUOTA         /* the message says how full the workspace is */
};
enum event_type {
#define EVENT(NAME, word, number) EVENT_##NAME = number,
#include "proto/events.tbl"
#undef EVENT
};
/* The words of those numbers, as Postgres and clients know them; "?" for a number outside
 * the table. */
const char *event_word(unsigned type);
const char *result_word(unsigned result);
const char *result_wait_word(unsigned result);
const char *mode_word(unsigned mode);
const char *run_state_word(unsigned state);
const char *drop_word(unsigned drop);
/* "approve", "always", "deny"; and the states of an approval that has that answer. */
const char *decision_word(unsigned decision);
const char *decision_state(unsigned decision);
/* The numbers of those words; 0 when there is none. */
unsigned event_from_word(struct slice word);
unsigned result_from_word(struct slice word);
unsigned mode_from_word(struct slice word); /* of a turn */
unsigned job_from_word(struct slice word);
unsigned run_state_from_word(struct slice word);
unsigned drop_from_word(struct slice word);
unsigned decision_from_word(struct slice word);
/* Whether an approval may be in a state of that name. */
bool approval_is_state(struct slice word);

#endif
