/* SPDX-License-Identifier: Apache-2.0
 * The hash class of a lane: what it is placed by. Stored with the session, so the
 * function may never change. */
#ifndef TB_EDGE_SLOT_H
#define TB_EDGE_SLOT_H

#include <stdint.h>

#include "common/ident.h"
#include "common/slice.h"

/* siphash24(fixed key; tenant as 8 bytes big-endian, agent as 16 bytes, session key) mod
 * 4096. The key is at most LIMIT_SESSION_KEY bytes. */
unsigned slot_of(int64_t tenant, struct uuid agent, struct slice session_key);

#endif
