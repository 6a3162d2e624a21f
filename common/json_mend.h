/* SPDX-License-Identifier: Apache-2.0
 * Mending JSON that somebody else wrote, so that its strings are Unicode and can be
 * stored: halves of surrogate pairs, U+0000 and bytes that are no UTF-8 become U+FFFD.
 *
 * A sender that cuts a text in pieces may cut a pair in two. So a first half at the end
 * of a member's string is kept back, and the pair is whole again when the next string of
 * a member of that name, in this or a later text, begins with the other half. */
#ifndef TB_JSON_MEND_H
#define TB_JSON_MEND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/slice.h"
#include "common/strbuf.h"

/* Between the texts of one sender; all zero at first. */
struct json_mending {
	char half[7];    /* the escape that is kept back; "": none */
	char member[40]; /* of whose string it was the end */
	size_t replaced; /* characters that became U+FFFD, so far */
};

/* Appends the text to out, mended. Whether that is another text. What is no JSON stays as
 * it is. */
bool json_mend(struct json_mending *m, struct slice text, struct strbuf *out);

/* The value of an escape \uXXXX at that byte of what stands between two quotes; -1: there
 * is none. */
int json_unit_at(struct slice s, size_t at);
/* Of such a value: the halves of a surrogate pair. */
bool json_is_first_half(int unit);
bool json_is_second_half(int unit);

#endif
