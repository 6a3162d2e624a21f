/* SPDX-License-Identifier: Apache-2.0
 * The two grades of error nobody handles: a broken environment and a bug. */
#ifndef TB_DIE_H
#define TB_DIE_H

#include "common/attr.h"

/* The environment is broken (no memory, no database right, a file that must exist): one
 * line that says what was wrong and what to do, then exit status 1. A supervised process
 * is restarted with a throttle. */
NORETURN PRINTF_LIKE(1, 2) void fatal(const char *fmt, ...);
/* As fatal, for a wrong command line or configuration: exit status 2, which a supervisor
 * does not restart. */
NORETURN PRINTF_LIKE(1, 2) void fatal_usage(const char *fmt, ...);
/* A bug: file, line and text, then abort. */
NORETURN void panic_at(const char *file, int line, const char *what);
#define panic(what) panic_at(__FILE__, __LINE__, what)
/* An invariant. Never compiled out. */
#define check(cond) ((cond) ? (void)0 : panic_at(__FILE__, __LINE__, #cond))

#endif
