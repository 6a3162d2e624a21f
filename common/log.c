/* SPDX-License-Identifier: Apache-2.0
 * One logfmt line, one write(2). */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define LINE_MAX_BYTES 4096

static char process_name[32] = "-";
static enum log_level lowest_level = LOG_INFO;
static const char *const words[] = {"debug", "info", "warn", "error"};

void log_init(const char *name, enum log_level lowest)
{
	snprintf(process_name, sizeof process_name, "%s", name);
	lowest_level = lowest;
}

int log_level_parse(const char *word)
{
	for (int i = 0; i < (int)(sizeof words / sizeof *words); i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

/* Control bytes would let a value forge a line. */
static void defuse(char *line, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
}

/* The text of fmt with other bytes in the place of its own quotes. */
static int format_with(char mark, char *out, size_t room, const char *fmt, va_list ap)
{
	char marked[LINE_MAX_BYTES];
	snprintf(marked, sizeof marked, "%s", fmt);
	for (char *p = marked; (p = strchr(p, '"'));)
		*p = mark;
	return vsnprintf(out, room, marked, ap);
}

/* A quote inside a value would end it, and the rest forge others. Formatted with two
 * different marks, a text differs in the quotes of the format and nowhere else. */
static int format(char *out, size_t room, const char *fmt, va_list ap)
{
	char twin[LINE_MAX_BYTES];
	va_list again;
	va_copy(again, ap);
	int n = format_with(1, out, room, fmt, ap);
	format_with(2, twin, room, fmt, again);
	va_end(again);
	for (size_t i = 0; n > 0 && i < (size_t)n && i + 1 < room; i++)
		if (out[i] != twin[i])
			out[i] = '"';
		else if (out[i] == '"')
			out[i] = '\'';
	return n;
}

void log_at(enum log_level level, const char *event, const char *fmt, ...)
{
	static const char cut[] = " cut=yes";
	char line[LINE_MAX_BYTES], when[CLOCK_TEXT_LEN + 1];
	const size_t room = sizeof line - sizeof cut - 1;
	if (level < lowest_level)
		return;
	clock_format(clock_real_us(), when);
	size_t n = (size_t)snprintf(line, room, "ts=%s level=%s proc=%s event=%s ", when,
				    words[level], process_name, event);
	va_list ap;
	va_start(ap, fmt);
	int more = format(line + n, room - n, fmt, ap);
	va_end(ap);
	if (more > 0)
		n += (size_t)more;
	if (n >= room) {
		n = room - 1;
		memcpy(line + n, cut, sizeof cut - 1);
		n += sizeof cut - 1;
	}
	while (n > 0 && line[n - 1] == ' ')
		n--;
	defuse(line, n);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return; /* nowhere left to say so */
}
