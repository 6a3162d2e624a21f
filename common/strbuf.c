/* SPDX-License-Identifier: Apache-2.0
 * Growing text: capacity doubles, one byte beyond the text is always a NUL. */
#include "common/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/die.h"

void strbuf_fini(struct strbuf *b)
{
	free(b->p);
	*b = STRBUF_INIT;
}

void strbuf_reset(struct strbuf *b)
{
	b->n = 0;
	if (b->p)
		b->p[0] = 0;
}

char *strbuf_reserve(struct strbuf *b, size_t n)
{
	check(n < (size_t)1 << 40);
	size_t need = b->n + n + 1;
	if (need > b->cap) {
		size_t cap = b->cap ? b->cap : 64;
		while (cap < need)
			cap *= 2;
		b->p = xrealloc(b->p, cap);
		b->cap = cap;
		b->p[b->n] = 0;
	}
	return b->p + b->n;
}

void strbuf_add(struct strbuf *b, const void *p, size_t n)
{
	char *at = strbuf_reserve(b, n);
	if (n)
		memcpy(at, p, n);
	b->n += n;
	b->p[b->n] = 0;
}

void strbuf_add_slice(struct strbuf *b, struct slice s)
{
	strbuf_add(b, s.p, s.n);
}

void strbuf_add_str(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void strbuf_add_char(struct strbuf *b, char c)
{
	strbuf_add(b, &c, 1);
}

void strbuf_printf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;
	size_t room = b->cap > b->n ? b->cap - b->n : 0;
	va_start(ap, fmt);
	int n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);
	va_end(ap);
	check(n >= 0);
	if ((size_t)n >= room) {
		char *at = strbuf_reserve(b, (size_t)n);
		va_start(ap, fmt);
		vsnprintf(at, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)n;
}

void strbuf_eat(struct strbuf *b, size_t n)
{
	check(n <= b->n);
	if (!n)
		return;
	b->n -= n;
	memmove(b->p, b->p + n, b->n + 1);
}

void strbuf_shrink(struct strbuf *b, size_t keep)
{
	if (b->n == 0 && b->cap > keep)
		strbuf_fini(b);
}
