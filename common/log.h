/* SPDX-License-Identifier: Apache-2.0
 * Log lines in logfmt on stderr: `ts=... level=info proc=worker event=worker-ready ...`,
 * one write(2) a line. Never: a secret, a message's text, a token. */
#ifndef TB_LOG_H
#define TB_LOG_H

#include "common/attr.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* log_init names the process ("supervisor", "worker.2") and sets the lowest level
 * written. Call once; before it, the name is "-" and the level info. `name` is copied. */
void log_init(const char *name, enum log_level lowest);
/* The level of a word ("debug", "info", "warn", "error"); -1 when it is none. */
int log_level_parse(const char *word);
/* One line. `event` is a stable id in kebab-case that people grep and alert on; `fmt`
 * gives further key=value pairs. A value that may hold spaces is written as key="%s":
 * quotes inside a value become apostrophes, control bytes spaces. */
PRINTF_LIKE(3, 4)
void log_at(enum log_level level, const char *event, const char *fmt, ...);

#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)

#endif
