/* SPDX-License-Identifier: Apache-2.0
 * Which member of a JSON object holds a string that is no text.
 *
 * One such string makes the parser refuse the whole document; a client that sent a bad
 * session key wants to hear that name. Pure, never a parser: it is asked only about
 * documents that were refused already. */
#ifndef TB_EDGE_CULPRIT_H
#define TB_EDGE_CULPRIT_H

#include <stddef.h>

#include "common/slice.h"

/* The first bad string inside a value of the outermost object: what is wrong with it
 * (static text), and the name of its member (cut to size - 1 bytes). NULL: the document
 * is broken in another way. */
const char *culprit_find(struct slice json, char *member, size_t size);

#endif
