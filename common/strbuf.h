/* SPDX-License-Identifier: Apache-2.0
 * Growing text on the heap. `p` is NUL-terminated after every call that adds (NULL while
 * nothing was ever added). */
#ifndef TB_STRBUF_H
#define TB_STRBUF_H

#include "common/attr.h"
#include "common/slice.h"

struct strbuf {
	char *p;
	size_t n, cap;
};

#define STRBUF_INIT ((struct strbuf){NULL, 0, 0})

void strbuf_fini(struct strbuf *b);
/* Keeps the memory, forgets the text. */
void strbuf_reset(struct strbuf *b);
void strbuf_add(struct strbuf *b, const void *p, size_t n);
void strbuf_add_slice(struct strbuf *b, struct slice s);
void strbuf_add_str(struct strbuf *b, const char *s);
void strbuf_add_char(struct strbuf *b, char c);
PRINTF_LIKE(2, 3) void strbuf_printf(struct strbuf *b, const char *fmt, ...);
/* Room for n more bytes at the returned place; the caller then adds what it wrote to
 * b->n. */
char *strbuf_reserve(struct strbuf *b, size_t n);
/* Removes the first n bytes. */
void strbuf_eat(struct strbuf *b, size_t n);
/* Frees the memory when more than `keep` bytes are held and none is used: for buffers of
 * long-lived objects. */
void strbuf_shrink(struct strbuf *b, size_t keep);
static inline struct slice strbuf_slice(const struct strbuf *b)
{
	return (struct slice){b->p, b->n};
}

#endif
