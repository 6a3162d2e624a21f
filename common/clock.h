/* SPDX-License-Identifier: Apache-2.0
 * Clocks in microseconds. */
#ifndef TB_CLOCK_H
#define TB_CLOCK_H

#include <stdint.h>

#include "common/slice.h"

/* CLOCK_MONOTONIC: for durations and deadlines. */
int64_t clock_mono_us(void);
/* CLOCK_BOOTTIME: goes on while the machine sleeps; for leases. */
int64_t clock_boot_us(void);
/* Microseconds since 1970. */
int64_t clock_real_us(void);
/* RFC 3339 with milliseconds and 'Z'; 24 characters and a NUL. */
#define CLOCK_TEXT_LEN 24
void clock_format(int64_t real_us, char out[CLOCK_TEXT_LEN + 1]);
/* "2026-11-30" (its first instant), or with "T12:00:00Z", or with milliseconds: of UTC,
 * from 1970 on. 0: it is something else. */
int clock_parse(struct slice text, int64_t *real_us);

#endif
