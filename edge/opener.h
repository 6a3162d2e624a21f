/* SPDX-License-Identifier: Apache-2.0
 * New sessions, opened many a commit.
 *
 * Natural batching: one batch is in flight, what comes meanwhile is the next one; no
 * timer, so a lone session waits for one commit and a thousand share a few. Owns: what
 * waits. Fails: a row that Postgres refuses fails alone (its batch is sent again row by
 * row); a database that is away fails everything that waits, so that its clients are
 * told to come back. */
#ifndef TB_EDGE_OPENER_H
#define TB_EDGE_OPENER_H

#include "edge/store.h"

struct opener;

/* Sessions of one batch: more gains nothing. */
#define OPENER_BATCH LIMIT_BATCH_RUNS

struct opener *opener_new(struct edge *e);
/* Entries still waiting are forgotten: their cache goes, too. */
void opener_free(struct opener *o);
/* getOrCreate; ends in cache_loaded (a session_row, or NULL when the agent is gone) or
 * cache_failed of `entry`, never during the call. open->key has to live until then (the
 * entry's own key does); open->user only during the call. */
void opener_add(struct opener *o, struct cache_entry *entry,
		const struct session_open *open);

#endif
