/* SPDX-License-Identifier: Apache-2.0
 * A line on stderr. */
#include "cli/report.h"

#include <stdarg.h>
#include <stdio.h>

void report(const char *fmt, ...)
{
	va_list ap;
	fflush(stdout);
	fputs("terabitsctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}
