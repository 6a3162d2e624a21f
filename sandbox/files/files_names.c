/* SPDX-License-Identifier: Apache-2.0
 * A growing array. */
#include "sandbox/files/files_names.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

void files_names_add(struct files_names *s, const char *name)
{
	if (s->n == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->list = xrealloc(s->list, s->room * sizeof *s->list);
	}
	s->list[s->n++] = xstrdup(name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void files_names_sort(struct files_names *s)
{
	if (s->n)
		qsort(s->list, s->n, sizeof *s->list, by_name);
}

void files_names_fini(struct files_names *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i]);
	free(s->list);
}
