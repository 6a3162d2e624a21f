/* SPDX-License-Identifier: Apache-2.0
 * Questions about the conversation itself: summaries, memory flushes, and what is still
 * known of it. A fact is a word "fact-...", wherever it stands in the request.
 *
 *   a request for a summary   all facts of the request; by a word of the conversation:
 *                             summary-fails (status 500), summary-is-empty,
 *                             summary-is-long, summary-is-slow
 *   a memory flush            with the word saves-memory: stores all facts
 *   [recall]                  all facts of the request
 *
 * A request with the word window-N that has more than N tokens is refused as too long. */
#ifndef FAKE_CONTEXT_H
#define FAKE_CONTEXT_H

#include "common/slice.h"
#include "tests/fakes/fake_script.h"

/* Changes the script of such a request; what it points to stays until the next one. */
void context_script(struct script *s, struct slice text, struct slice body);

#endif
