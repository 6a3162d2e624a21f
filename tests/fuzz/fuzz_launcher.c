/* SPDX-License-Identifier: Apache-2.0
 * A launcher and a hostile worker: packets (each behind two bytes of length) through the
 * real decoder and the real checks, to where a jail would be made: there nothing exceeds
 * what was granted, and all texts are whole. No jail is made. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/die.h"
#include "common/log.h"
#include "proto/packet.h"
#include "sandbox/launcher/grants.h"
#include "sandbox/launcher/jails.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY (64ull << 20)
#define FILE_SIZE (1ull << 20)
#define PROCESSES 8
#define TIMEOUT_MS 5000
#define UID 200001

static unsigned made, ended;

/* ---- in the place of sandbox/jail */

void jail_host_prepare(struct jail_host *h)
{
	*h = (struct jail_host){.uid = UID};
}

static size_t check_words(char *const *words)
{
	size_t n = 0;
	for (; *words; words++)
		n += strlen(*words) + 1;
	return n;
}

int jail_start(const struct jail_host *h, const struct jail_spec *s, struct jail *j,
	       char *err, size_t err_size)
{
	(void)h;
	(void)err;
	(void)err_size;
	check(s->uid == UID && !strcmp(s->workspace, "/granted"));
	check(s->workspace_dev == 1 && s->workspace_ino == 2);
	check(!strncmp(s->cwd, "/workspace", 10) && (!s->cwd[10] || s->cwd[10] == '/'));
	check(s->limits.file_bytes > 0 && s->limits.file_bytes <= FILE_SIZE);
	check(s->limits.processes > 0 && s->limits.processes <= PROCESSES);
	check(s->limits.address_bytes <= MEMORY / 2 * 3);
	check(s->limits.cpu_s <= TIMEOUT_MS / 1000 * 4 + 5);
	check(s->argv ? s->env != NULL : s->run != NULL);
	if (s->argv) {
		check(s->argv[0] && s->argv[0][0] == '/');
		check(check_words(s->argv) <= LIMIT_ARGV_BYTES);
		check(check_words(s->env) <= LIMIT_ENV_BYTES);
	}
	*j = (struct jail){.guard = -1, .pidfd = eventfd(0, EFD_CLOEXEC), .status = -1};
	check(j->pidfd >= 0);
	made++;
	return 0;
}

bool jail_group_works(const struct jail_host *h, const struct jail_group *g, char *why,
		      size_t why_size)
{
	(void)h;
	(void)g;
	(void)why;
	(void)why_size;
	return false;
}

int jail_birth(const struct jail_host *h, const struct jail_group *g, struct jail *j,
	       char *err, size_t err_size)
{
	(void)h;
	(void)g;
	(void)j;
	(void)err;
	(void)err_size;
	return -1;
}

int jail_use(struct jail *j, const struct jail_spec *s)
{
	(void)j;
	(void)s;
	return -1;
}

void jail_kill(const struct jail *j)
{
	check(eventfd_write(j->pidfd, 1) == 0);
}

void jail_wait(struct jail *j, struct jail_report *r)
{
	*r = (struct jail_report){.kind = JAIL_SIGNALLED, .number = 9};
	close(j->pidfd);
	ended++;
}

/* ---- the worker */

static struct packet packet;

static void hear(int peer)
{
	const char *why;
	enum err e;
	while ((e = packet_receive(peer, JAIL_DOWN, &packet, &why)) == ERR_OK) {
		check(packet.fd_count == (packet.id == WIRE_JAIL_OPENED ? 3 : 0));
		for (int i = 0; i < packet.fd_count; i++)
			close(packet.fds[i]);
	}
	check(e == ERR_NOT_FOUND);
}

/* As the launcher does; false: it would listen no more. */
static bool serve(struct jails *j)
{
	const char *why = NULL;
	enum err e = packet_receive(j->worker, JAIL_UP, &packet, &why);
	check(e == ERR_OK || (e == ERR_PROTOCOL && why) || e == ERR_NOT_FOUND);
	if (e)
		return false;
	if (packet.id == WIRE_JAIL_KILL)
		jails_kill(j, packet.message.jail_kill.id);
	else
		check(!jails_open(j, &packet.message.jail_open));
	check(j->count <= LIMIT_JAILS);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_quiet;
	struct wire_grant g = {.handle = 1,
			       .workspace = SLICE("/granted"),
			       .dev = 1,
			       .ino = 2,
			       .uid = UID,
			       .memory_bytes = MEMORY,
			       .file_bytes = FILE_SIZE,
			       .processes = PROCESSES,
			       .timeout_ms = TIMEOUT_MS};
	static const struct cgroup_base none = {.kind = CGROUP_NONE};
	struct jails j;
	int pair[2];
	if (!is_quiet)
		log_init("fuzz", LOG_ERROR);
	is_quiet = true;
	check(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
			  pair));
	jails_init(&j, pair[0], &none, "");
	grants_put(&j.grants, &g);
	made = ended = 0;
	for (bool listens = true; size > 2 && listens;) {
		size_t n = (size_t)data[0] << 8 | data[1];
		data += 2;
		size -= 2;
		n = n < size ? n : size;
		if (n && send(pair[1], data, n, MSG_NOSIGNAL) == (ssize_t)n)
			listens = serve(&j);
		data += n;
		size -= n;
		hear(pair[1]);
	}
	jails_revoke(&j, 1);
	jails_kill_all(&j);
	check(!jails_look(&j));
	hear(pair[1]);
	check(made == ended && !j.count && !jails_are_owed(&j));
	jails_fini(&j);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
