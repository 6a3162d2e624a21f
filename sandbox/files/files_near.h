/* SPDX-License-Identifier: Apache-2.0
 * What is most like a given text: for messages that show what was probably meant. Texts
 * are compared by the pairs of characters they share; time is linear in what is looked
 * at. */
#ifndef TB_FILES_NEAR_H
#define TB_FILES_NEAR_H

#include <stdint.h>

#include "common/slice.h"

struct files_near {
	struct slice text;
	size_t pairs, kinds;    /* all of its pairs, and how many differ */
	uint32_t turn;          /* of comparing */
	uint32_t last[1 << 16]; /* by pair; 0: it has none. Else the turn that met it */
};

/* What is searched for; borrowed. Case and blanks around it do not count. Large: not for
 * a stack. */
void files_near_init(struct files_near *m, struct slice text);
/* 0: nothing in common .. 1000: the same. That the text's pairs are found counts more
 * than that there are no others: it may be a part of a line. */
unsigned files_near_score(struct files_near *m, struct slice other);

/* The entry of a directory that is most like name, into out (256 bytes); false: none is.
 * At most some thousand entries are looked at. */
bool files_near_name(int dir, struct slice name, char *out);

#endif
