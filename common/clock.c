/* SPDX-License-Identifier: Apache-2.0
 * Clocks in microseconds. */
#include "common/clock.h"

#include <stdio.h>
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
