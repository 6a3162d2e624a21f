/* SPDX-License-Identifier: Apache-2.0
 * Numbers as text without printf: answers and events are written by the ten thousand a
 * second, and half the time of writing one went into format strings. */
#ifndef TB_EDGE_NUMBER_H
#define TB_EDGE_NUMBER_H

#include <stdint.h>

#include "common/strbuf.h"

void number_add(struct strbuf *b, uint64_t v);
/* Lower-case hexadecimal. */
void number_add_hex(struct strbuf *b, uint64_t v);

#endif
