/* SPDX-License-Identifier: Apache-2.0
 * terabits-launcher: makes the jails of one worker. This build knows no kind of jail and
 * refuses every request.
 *
 * Owns: nothing but its two sockets: no network, no files, no keys, one thread. Never:
 * trusts its worker. Fails: ends when its supervisor's socket closes. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/die.h"
#include "common/log.h"
#include "proto/boot.h"
#include "sandbox/launcher/request.h"
#include "sandbox/sandbox.h"

/* 0 when the worker is gone, or speaks nonsense. */
static int serve_one(void)
{
	struct launch_request q;
	ssize_t n = recv(BOOT_PEER_FD, &q, sizeof q, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	if (n <= 0)
		return 0;
	if (n != (ssize_t)sizeof q || q.magic != LAUNCH_MAGIC) {
		log_error("launcher-nonsense", "bytes=%zd", n);
		return 0;
	}
	struct launch_reply a = {
		.magic = LAUNCH_MAGIC, .id = q.id, .status = LAUNCH_REFUSED};
	return send(BOOT_PEER_FD, &a, sizeof a, MSG_NOSIGNAL) == (ssize_t)sizeof a;
}

static void serve(void)
{
	struct pollfd p[2] = {{.fd = BOOT_CONTROL_FD, .events = POLLIN},
			      {.fd = BOOT_PEER_FD, .events = POLLIN}};
	char byte;
	ssize_t n;
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			fatal("poll failed");
		if (p[0].revents) {
			n = recv(BOOT_CONTROL_FD, &byte, 1, MSG_DONTWAIT);
			if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
				return;
		}
		if (p[1].revents && !serve_one()) {
			shutdown(BOOT_PEER_FD, SHUT_RDWR); /* nobody waits for answers */
			p[1].fd = -1;
		}
	}
}

int main(void)
{
	char name[32], detail[128];
	const struct wire_boot *b = boot_read();
	if (b->role != ROLE_LAUNCHER)
		fatal_usage("terabitsd started the wrong program");
	boot_die_with_parent(b->parent_pid);
	snprintf(name, sizeof name, "launcher.%u", b->ordinal);
	log_init(name, (enum log_level)b->log_level);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	boot_wipe();
	sandbox_prepare(SANDBOX_LAUNCHER);
	sandbox_enter(SANDBOX_LAUNCHER, detail, sizeof detail);
	log_debug("launcher-ready", "%s", detail);
	serve();
	return 0;
}
