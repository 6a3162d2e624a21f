/* SPDX-License-Identifier: Apache-2.0
 * Clocks in microseconds. */
#include "common/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t clock_boot_us(void)
{
	return read_us(CLOCK_BOOTTIME);
}

int64_t clock_real_us(void)
{
	return read_us(CLOCK_REALTIME);
}

void clock_format(int64_t real_us, char out[CLOCK_TEXT_LEN + 1])
{
	time_t s = (time_t)(real_us / 1000000);
	struct tm t;
	gmtime_r(&s, &t);
	char text[64];
	snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
		 t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
		 (int)(real_us / 1000 % 1000));
	snprintf(out, CLOCK_TEXT_LEN + 1, "%.24s", text);
}

/* n digits at p; -1: they are none. */
static int digits(const char *p, int n)
{
	int v = 0;
	for (int i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + p[i] - '0';
	}
	return v;
}

static int is_shaped(const char *text, const char *shape)
{
	for (; *shape; shape++, text++)
		if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
			return 0;
	return 1;
}

int clock_parse(struct slice text, int64_t *real_us)
{
	static const char *const shapes[] = {"0000-00-00", "0000-00-00T00:00:00Z",
					     "0000-00-00T00:00:00.000Z"};
	size_t i = 0;
	while (i < 3 && (text.n != strlen(shapes[i]) || !is_shaped(text.p, shapes[i])))
		i++;
	if (i == 3)
		return 0;
	const char *p = text.p;
	struct tm t = {.tm_year = digits(p, 4) - 1900,
		       .tm_mon = digits(p + 5, 2) - 1,
		       .tm_mday = digits(p + 8, 2)},
		  asked;
	if (i > 0) {
		t.tm_hour = digits(p + 11, 2);
		t.tm_min = digits(p + 14, 2);
		t.tm_sec = digits(p + 17, 2);
	}
	asked = t;
	time_t s = timegm(&t); /* 31 February becomes 3 March */
	if (asked.tm_year < 70 || t.tm_mday != asked.tm_mday ||
	    t.tm_mon != asked.tm_mon || t.tm_hour != asked.tm_hour ||
	    t.tm_min != asked.tm_min || t.tm_sec != asked.tm_sec)
		return 0;
	*real_us = (int64_t)s * 1000000 + (i == 2 ? digits(p + 20, 3) * 1000 : 0);
	return 1;
}
