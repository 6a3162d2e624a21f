/* SPDX-License-Identifier: Apache-2.0
 * Counts and arrival times of chat requests. */
#include "tests/fakes/fake_stats.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/clock.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_';
}

void stats_arrival(struct stats *s, struct slice text)
{
	for (size_t i = 0; i + 2 < text.n; i++) {
		const char *p = memchr(text.p + i, '=', text.n - i);
		if (!p)
			return;
		i = (size_t)(p - text.p);
		if (i == 0 || p[-1] != 't' || (i > 1 && is_word(p[-2])))
			continue;
		const char *digits = p + 1, *end = text.p + text.n;
		for (p = digits; p < end && is_digit(*p);)
			p++;
		long long t;
		if (!slice_to_i64(slice_of(digits, (size_t)(p - digits)), &t))
			continue;
		int64_t us = clock_mono_us() - t;
		if (us >= 0)
			s->arrival_us[s->samples++ % STATS_RING] = us;
		return;
	}
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

void stats_print(const struct stats *s, struct strbuf *out)
{
	size_t n = s->samples < STATS_RING ? (size_t)s->samples : STATS_RING;
	int64_t p50 = 0, p99 = 0;
	if (n) {
		int64_t *sorted = xmemdup(s->arrival_us, n * sizeof *sorted);
		qsort(sorted, n, sizeof *sorted, by_value);
		p50 = sorted[n / 2];
		p99 = sorted[n * 99 / 100];
		free(sorted);
	}
	strbuf_printf(out,
		      "{\"requests\":%" PRIu64 ",\"open\":%d,\"connections\":%d,"
		      "\"arrivals\":%zu,\"arrival_p50_us\":%" PRId64
		      ",\"arrival_p99_us\":%" PRId64
		      ",\"last_body_bytes\":%zu,\"accepted\":%" PRIu64
		      ",\"told_in\":%" PRIu64 ",\"told_out\":%" PRIu64 "}",
		      s->requests, s->open, s->connections, n, p50, p99, s->last_body,
		      s->accepted, s->told_in, s->told_out);
}

void stats_clear(struct stats *s)
{
	s->requests = s->samples = s->accepted = s->told_in = s->told_out = 0;
	s->last_body = 0;
}
