/* SPDX-License-Identifier: Apache-2.0
 * Distance by insertions, deletions, replacements and swaps of neighbours. */
#include "cli/suggest.h"

#include <string.h>

#define WORD_MOST 40

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	size_t d[WORD_MOST + 1][WORD_MOST + 1];
	if (n > WORD_MOST || m > WORD_MOST)
		return WORD_MOST;
	for (size_t i = 0; i <= n; i++)
		for (size_t j = 0; j <= m; j++) {
			if (!i || !j) {
				d[i][j] = i + j;
				continue;
			}
			size_t same = a[i - 1] == b[j - 1];
			d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1,
					d[i - 1][j - 1] + !same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	return d[n][m];
}

static size_t common(const char *a, const char *b)
{
	size_t n = 0;
	while (a[n] && a[n] == b[n])
		n++;
	return n;
}

/* Of two as near, the one whose beginning was typed. */
const char *suggest(const char *word, const char *const *names, size_t count)
{
	const char *near = NULL;
	size_t n = strlen(word), best = n < 3 ? 2 : 2 + n / 4;
	for (size_t i = 0; i < count; i++) {
		size_t d = n > 1 && !strncmp(names[i], word, n)
				   ? 1
				   : distance(word, names[i]);
		if (d < strlen(names[i]) &&
		    (d < best || (near && d == best &&
				  common(word, names[i]) > common(word, near)))) {
			best = d;
			near = names[i];
		}
	}
	return near;
}
