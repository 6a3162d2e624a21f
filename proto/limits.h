/* SPDX-License-Identifier: Apache-2.0
 * Every size bound that two processes must agree on, with its reason. */
#ifndef TB_LIMITS_H
#define TB_LIMITS_H

/* One nng message. Larger documents travel in chunks or through Postgres. nng drops what
 * exceeds its receive limit without a word, so senders check against this. */
#define LIMIT_FRAME_BYTES (8u << 20)
/* Msgpack values in one frame: what a decoder may be made to allocate. */
#define LIMIT_FRAME_VALUES 65536u
/* Nesting in a frame: frame -> message -> field. */
#define LIMIT_FRAME_DEPTH 4u
/* A message body as a client sends it; the HTTP body limit is 1 MB, JSON re-encoding may
 * grow it. */
#define LIMIT_BODY_BYTES (2u << 20)
/* One event of a run's stream; what is longer refers to the message or tool execution. */
#define LIMIT_EVENT_BYTES (16u << 10)
#define LIMIT_SESSION_KEY 512u
#define LIMIT_IDEMPOTENCY_KEY 255u
#define LIMIT_NAME 63u
#define LIMIT_DENIAL 2000u
#define LIMIT_PATH 4000u
/* Arguments and environment of a jail's program; with the rest below what a packet of a
 * socket pair may hold by default. */
#define LIMIT_ARGV_BYTES (128u << 10)
#define LIMIT_ENV_BYTES (16u << 10)
/* Jails of one launcher at a time. */
#define LIMIT_JAILS 128u
/* One file of a workspace. */
#define LIMIT_FILE_BYTES (256ull << 20)
/* The model providers of a node, their keys among them. */
#define LIMIT_ENDPOINTS (24u << 10)
/* The master keys of provider keys: 32 bytes each, the one in use and earlier ones. */
#define LIMIT_MASTER_KEYS 256u
#define LIMIT_CAP_TEXT 64u
/* "provider/name", or the name alone. */
#define LIMIT_MODEL 250u
/* What a worker finds out for a question outside of any lane: a piece, and all of it. The
 * largest are 2048 embeddings of 1536 numbers, in base64; a request to a model is what
 * one is shown of a session (4 MiB), escaped. */
#define LIMIT_FINDING_PART (128u << 10)
#define LIMIT_FINDING_BYTES (20u << 20)
#define LIMIT_POLICY_VERSIONS                                                            \
	56u /* as tb.policy_versions says them: three int32, an int64 */
/* A link's outbox: over SOFT what can wait waits (streams of events, models), over HARD
 * the edge takes no further message. */
#define LIMIT_OUTBOX_SOFT (256u << 10)
#define LIMIT_OUTBOX_HARD (32u << 20)
/* Hash classes of lanes: the unit of placement. */
#define LIMIT_SLOTS 4096u
/* Waiting runs of one lane, before the drop policy decides. */
#define LIMIT_LANE_WAITING 20u
/* Waiting runs of a node. */
#define LIMIT_NODE_WAITING 100000u
/* Runs and bytes of one journal batch: larger ones gain nothing (docs/performance.md). */
#define LIMIT_BATCH_RUNS 64u
#define LIMIT_BATCH_BYTES (256u << 10)
/* Bodies that wait in the supervisor for their commit; beyond it nothing is accepted. A
 * thousand times a batch: only a database that stands still fills it. */
#define LIMIT_JOURNAL_BYTES (256u << 20)

#endif
