/* SPDX-License-Identifier: Apache-2.0
 * One character after the other, by its length in UTF-8. */
#include "cli/plain.h"

#include <string.h>

static size_t length_at(struct slice s, size_t at)
{
	unsigned char c = (unsigned char)s.p[at];
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >> 4 == 0xe ? 3 : 4;
	if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || at + n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if (((unsigned char)s.p[at + i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static bool is_control(const char *p, size_t n, bool lines)
{
	unsigned char c = (unsigned char)p[0];
	if (n == 1)
		return (c < 0x20 && !(lines && (c == '\n' || c == '\t'))) || c == 0x7f;
	return n == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0;
}

/* The next character that is shown, its length in *n; NULL behind the last. */
static const char *next_shown(struct slice s, size_t *at, bool lines, size_t *n)
{
	while (*at < s.n) {
		const char *p = s.p + *at;
		*n = length_at(s, *at);
		if (!*n) {
			*at += 1;
			*n = 1;
			return "?";
		}
		*at += *n;
		if (!is_control(p, *n, lines))
			return p;
	}
	return NULL;
}

void plain_put(FILE *out, struct slice text, bool lines)
{
	size_t at = 0, n;
	for (const char *p; (p = next_shown(text, &at, lines, &n));)
		fwrite(p, 1, n, out);
}

void plain_put_short(FILE *out, struct slice text, size_t most)
{
	size_t at = 0, n, put = 0;
	for (const char *p; (p = next_shown(text, &at, false, &n)); put += n) {
		if (put + n > most) {
			fputs("...", out);
			return;
		}
		fwrite(p, 1, n, out);
	}
}

void plain_copy(char *out, size_t size, struct slice text)
{
	size_t at = 0, n, put = 0;
	for (const char *p; (p = next_shown(text, &at, false, &n)); put += n) {
		if (put + n + 1 > size)
			break;
		memcpy(out + put, p, n);
	}
	out[put] = 0;
}
