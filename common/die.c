/* SPDX-License-Identifier: Apache-2.0
 * The ends of a process: environment (exit 1), usage (exit 2), bug (abort). */
#include "common/die.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"

NORETURN static void end(int status, const char *event, const char *fmt, va_list ap)
{
	char text[1024];
	vsnprintf(text, sizeof text, fmt, ap);
	log_error(event, "message=\"%s\"", text);
	exit(status);
}

void fatal(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	end(1, "fatal", fmt, ap);
}

void fatal_usage(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	end(2, "usage", fmt, ap);
}

void panic_at(const char *file, int line, const char *what)
{
	log_error("panic", "at=%s:%d what=\"%s\"", file, line, what);
	abort();
}
