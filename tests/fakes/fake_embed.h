/* SPDX-License-Identifier: Apache-2.0
 * Embeddings of a fake model. A text may begin with [status CODE], [floats] (numbers,
 * whatever form was asked for), [swap] (out of order) or [fewer]. */
#ifndef FAKE_EMBED_H
#define FAKE_EMBED_H

#include <stdbool.h>

#include "common/slice.h"
#include "tests/fakes/fake_reply.h"

bool embed_takes(struct slice path);
void embed_serve(struct slice path, struct slice body, struct reply *r);

#endif
