/* SPDX-License-Identifier: Apache-2.0
 * A line on stderr, or a piece of text. */
#include "cli/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct strbuf *kept;

void report_into(struct strbuf *into)
{
	kept = into;
}

static void keep(const char *fmt, va_list ap)
{
	char *text = NULL;
	if (vasprintf(&text, fmt, ap) < 0)
		return;
	strbuf_printf(kept, "%s%s", kept->n ? "; " : "", text);
	free(text);
}

void report(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (kept) {
		keep(fmt, ap);
	} else {
		fflush(stdout);
		fputs("terabitsctl: ", stderr);
		vfprintf(stderr, fmt, ap);
		fputc('\n', stderr);
	}
	va_end(ap);
}
