/* SPDX-License-Identifier: Apache-2.0
 * The node's master keys on their way from their file to its children; nothing of them is
 * kept here. */
#ifndef TB_SUP_MASTER_H
#define TB_SUP_MASTER_H

#include "proto/keys/master_key.h"

struct sup;

/* At start, as the node's user: makes the state directory's file if it is to be used and
 * not there; dies with what to do when the file is not as it should be. */
void master_start(const struct sup *s);
/* Reads them anew. False: logged, and *m has none. The caller wipes. */
bool master_load(const struct sup *s, struct master_keys *m);

#endif
