/* SPDX-License-Identifier: Apache-2.0
 * Heap memory or death. */
#include "common/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/die.h"

static void *must(void *p, size_t n)
{
	if (!p)
		fatal("out of memory: %zu more bytes were refused", n);
	return p;
}

void *xmalloc(size_t n)
{
	return must(malloc(n ? n : 1), n);
}

void *xcalloc(size_t count, size_t size)
{
	return must(calloc(count ? count : 1, size ? size : 1), count);
}

void *xrealloc(void *p, size_t n)
{
	return must(realloc(p, n ? n : 1), n);
}

void *xmemdup(const void *p, size_t n)
{
	void *copy = xmalloc(n);
	if (n)
		memcpy(copy, p, n);
	return copy;
}

char *xstrndup(const char *s, size_t n)
{
	char *copy = xmalloc(n + 1);
	if (n)
		memcpy(copy, s, n);
	copy[n] = 0;
	return copy;
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

void auto_free(void *pp)
{
	void *p;
	memcpy(&p, pp, sizeof p);
	free(p);
}

void auto_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
