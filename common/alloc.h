/* SPDX-License-Identifier: Apache-2.0
 * Heap memory that is there or the process is not: each call succeeds or ends in fatal().
 */
#ifndef TB_ALLOC_H
#define TB_ALLOC_H

#include <stddef.h>

void *xmalloc(size_t n);
/* Zeroed; dies when count * size overflows. */
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
/* A NUL-terminated copy of n bytes. */
char *xstrndup(const char *s, size_t n);
void *xmemdup(const void *p, size_t n);
/* For AUTO(auto_free) char *p. */
void auto_free(void *pp);
/* For AUTO(auto_close) int fd: closes it when >= 0. */
void auto_close(int *fd);

#endif
