/* SPDX-License-Identifier: Apache-2.0
 * Numbers as text. */
#include "edge/number.h"

static void add(struct strbuf *b, uint64_t v, unsigned base)
{
	char text[20];
	size_t at = sizeof text;
	do {
		text[--at] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	strbuf_add(b, text + at, sizeof text - at);
}

void number_add(struct strbuf *b, uint64_t v)
{
	add(b, v, 10);
}

void number_add_hex(struct strbuf *b, uint64_t v)
{
	add(b, v, 16);
}
