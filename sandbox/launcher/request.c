/* SPDX-License-Identifier: Apache-2.0
 * Checks, limits, and the built-in functions by their kinds. */
#include "sandbox/launcher/request.h"

#include <fcntl.h>
#include <string.h>

#include "sandbox/files/files_run.h"
#include "sandbox/files/files_transfer.h"

#define FILES 256
#define TMP_BYTES (64ull << 20)

/* The words of a list in which each ends with NUL, as pointers into it; -1: it is none.
 */
static int split(struct slice list, char **out)
{
	int n = 0;
	if (list.n && list.p[list.n - 1])
		return -1;
	for (size_t at = 0; at < list.n; at += strlen(list.p + at) + 1) {
		if (n == REQUEST_WORDS)
			return -1;
		out[n++] = (char *)(uintptr_t)(list.p + at);
	}
	out[n] = NULL;
	return n;
}

static bool is_environment(char *const *env)
{
	for (; *env; env++)
		if (**env == '=' || !strchr(*env, '='))
			return false;
	return true;
}

uint64_t request_within(uint64_t asked, uint64_t most)
{
	return asked && asked < most ? asked : most;
}

/* ---- built-in functions */

/* The file tool of that kind; FILES_TOOL__COUNT: it is none. */
static enum files_tool builtin_of(uint32_t kind)
{
	switch (kind) {
	case JAIL_KIND_READ:
		return FILES_TOOL_read;
	case JAIL_KIND_WRITE:
		return FILES_TOOL_write;
	case JAIL_KIND_EDIT:
		return FILES_TOOL_edit;
	case JAIL_KIND_LIST:
		return FILES_TOOL_list_directory;
	default:
		return FILES_TOOL__COUNT;
	}
}

static bool is_transfer(uint32_t kind)
{
	return kind == JAIL_KIND_OUT || kind == JAIL_KIND_IN;
}

bool request_writes(uint32_t kind)
{
	return kind == JAIL_KIND_EXEC || kind == JAIL_KIND_WRITE ||
	       kind == JAIL_KIND_EDIT || kind == JAIL_KIND_IN;
}

#define KIND_BITS 8
#define ROOM_MOST (UINT64_MAX >> KIND_BITS)

void *request_arg(uint32_t kind, uint64_t room_bytes)
{
	uint64_t room = room_bytes < ROOM_MOST ? room_bytes : ROOM_MOST;
	return (void *)(uintptr_t)(room << KIND_BITS | kind);
}

void request_run(void *arg)
{
	uint32_t kind = (uintptr_t)arg & ((1u << KIND_BITS) - 1);
	uint64_t room = (uintptr_t)arg >> KIND_BITS;
	int workspace = open("/workspace", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (is_transfer(kind))
		files_transfer(kind == JAIL_KIND_IN ? FILES_TRANSFER_IN
						    : FILES_TRANSFER_OUT,
			       workspace, room, 0, 1);
	else
		files_run(builtin_of(kind), workspace, 0, 1);
}

/* ---- checks */

const char *request_check(const struct wire_jail_open *m, const struct grant *g,
			  unsigned jails, char *argv[REQUEST_WORDS + 1],
			  char *env[REQUEST_WORDS + 1])
{
	if (!g)
		return "the workspace is not granted";
	if (jails >= LIMIT_JAILS)
		return "too many tool calls run at once on this worker; try again";
	if (builtin_of(m->kind) != FILES_TOOL__COUNT || is_transfer(m->kind))
		return NULL;
	if (m->kind != JAIL_KIND_EXEC)
		return "there is no such kind of jail";
	if (split(m->argv, argv) < 1 || argv[0][0] != '/')
		return "the program is not named by an absolute path";
	if (split(m->env, env) < 0 || !is_environment(env))
		return "the environment is malformed";
	if (memchr(m->cwd.p, 0, m->cwd.n))
		return "the directory's name is malformed";
	return NULL;
}

struct jail_limits request_limits(const struct wire_jail_open *m, const struct grant *g)
{
	uint32_t timeout_ms = (uint32_t)request_within(m->timeout_ms, g->timeout_ms);
	return (struct jail_limits){
#ifndef TB_SANITIZED /* which maps terabytes */
		/* Mapped is more than used. */
		.address_bytes = request_within(m->memory_bytes, g->memory_bytes) / 2 * 3,
#endif
		.file_bytes = request_within(m->file_bytes, g->file_bytes),
		.tmp_bytes = TMP_BYTES,
		.processes = (uint32_t)request_within(m->processes, g->processes),
		.files = FILES,
		.cpu_s = timeout_ms / 1000 * 4 + 5};
}
