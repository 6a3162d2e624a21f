/* SPDX-License-Identifier: Apache-2.0
 * Packets to and from the launcher, and pipes to and from jails. */
#include "sandbox/client/jails.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/map.h"
#include "proto/packet.h"

#define READ_BYTES 65536

struct jails {
	struct loop *loop;
	int fd; /* -1: it is gone */
	struct loop_fd *watch;
	struct map *works; /* id -> struct jail_work */
	uint64_t last_id;
	struct packet packet;
	char buffer[READ_BYTES];
};

static struct slice key_of(const uint64_t *id)
{
	return slice_of(id, sizeof *id);
}

/* ---- pipes */

static void shut(struct jail_work *w, int i)
{
	loop_fd_free(w->watch[i]);
	if (w->fd[i] >= 0)
		close(w->fd[i]);
	w->watch[i] = NULL;
	w->fd[i] = -1;
}

static void finish(struct jail_work *w, enum err e)
{
	for (int i = 0; i < 3; i++)
		shut(w, i);
	map_take(w->jails->works, key_of(&w->id));
	op_finish(w->op, e);
}

/* A process that left the jail's pipes to nobody: closed means that none is left. */
static void finish_if_over(struct jail_work *w)
{
	if (w->is_closed && w->fd[1] < 0 && w->fd[2] < 0)
		finish(w, ERR_OK);
}

static void on_input(void *arg, int what)
{
	struct jail_work *w = arg;
	(void)what;
	ssize_t n = w->input.n ? write(w->fd[0], w->input.p, w->input.n) : 0;
	if (n > 0) {
		w->input.p += n;
		w->input.n -= (size_t)n;
	}
	/* One that does not read its input has no use for the rest. */
	if (!w->input.n || (n < 0 && errno != EAGAIN && errno != EINTR))
		shut(w, 0);
}

static void hear(struct jail_work *w, int i, struct output *to)
{
	ssize_t n = read(w->fd[i], w->jails->buffer, READ_BYTES);
	if (n > 0) {
		struct slice bytes = slice_of(w->jails->buffer, (size_t)n);
		output_add(to, bytes);
		if (w->on_printed)
			w->on_printed(w, i, bytes);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	shut(w, i);
	finish_if_over(w);
}

static void on_output(void *arg, int what)
{
	struct jail_work *w = arg;
	(void)what;
	hear(w, 1, &w->out);
}

static void on_errors(void *arg, int what)
{
	struct jail_work *w = arg;
	(void)what;
	hear(w, 2, &w->err);
}

/* ---- the launcher's words */

static void opened(struct jail_work *w, const struct packet *p)
{
	static loop_fd_fn *const fns[] = {on_input, on_output, on_errors};
	struct loop *l = w->jails->loop;
	for (int i = 0; i < p->fd_count; i++)
		fcntl(p->fds[i], F_SETFL, fcntl(p->fds[i], F_GETFL) | O_NONBLOCK);
	if (w->on_pipes) {
		w->on_pipes(w, p->fds);
		return;
	}
	for (int i = 0; i < p->fd_count; i++) {
		w->fd[i] = p->fds[i];
		w->watch[i] =
			loop_fd_new(l, w->fd[i], i ? LOOP_READ : LOOP_WRITE, fns[i], w);
	}
	if (!w->input.n)
		shut(w, 0);
}

static void say(struct jail_work *w, struct slice text)
{
	snprintf(w->message, sizeof w->message, "%.*s", SLICE_ARG(text));
}

static uint64_t id_in(const struct packet *p)
{
	return p->id == WIRE_JAIL_OPENED   ? p->message.jail_opened.id
	       : p->id == WIRE_JAIL_CLOSED ? p->message.jail_closed.id
					   : p->message.jail_refused.id;
}

static void take(struct jails *j)
{
	struct packet *p = &j->packet;
	uint64_t id = id_in(p);
	struct jail_work *w = map_get(j->works, key_of(&id));
	if (!w || (p->id == WIRE_JAIL_OPENED && p->fd_count != 3)) {
		for (int i = 0; i < p->fd_count; i++)
			close(p->fds[i]);
		return;
	}
	switch ((int)p->id) {
	case WIRE_JAIL_OPENED:
		opened(w, p);
		break;
	case WIRE_JAIL_CLOSED:
		w->closed = p->message.jail_closed;
		say(w, w->closed.message);
		w->closed.message = slice_str(w->message);
		w->is_closed = true;
		finish_if_over(w);
		break;
	default:
		say(w, p->message.jail_refused.message);
		w->full = p->message.jail_refused.full;
		finish(w, ERR_TOOL_FAILED);
	}
}

void jails_lost(struct jails *j)
{
	size_t at = 0;
	void *w;
	while (map_next(j->works, &at, NULL, &w)) {
		say(w, SLICE("the launcher of tools ended"));
		finish(w, ERR_PEER_GONE);
	}
}

static void launcher_gone(struct jails *j)
{
	loop_fd_free(j->watch);
	j->watch = NULL;
	j->fd = -1;
	jails_lost(j);
}

static void on_packets(void *arg, int what)
{
	struct jails *j = arg;
	const char *why;
	enum err e;
	(void)what;
	while ((e = packet_receive(j->fd, JAIL_DOWN, &j->packet, &why)) == ERR_OK)
		take(j);
	if (e == ERR_NOT_FOUND)
		return;
	log_error("launcher-lost", "message=\"%s\"", why ? why : err_text(e));
	launcher_gone(j);
}

/* ---- what is asked */

/* Ended by its launcher, whose answer then completes it. */
static void on_cancel(struct op *op, enum err why, void *provider)
{
	struct jail_work *w = provider;
	struct wire_jail_kill m = {.id = w->id};
	(void)op;
	if (packet_send(w->jails->fd, WIRE_JAIL_KILL, &m, NULL, 0) == ERR_OK)
		log_debug("jail-killed", "why=%s", err_code(why));
	finish(w, why);
}

void jails_stop(struct jail_work *w)
{
	struct wire_jail_kill m = {.id = w->id};
	if (op_is_active(w->op) && !w->is_closed &&
	    packet_send(w->jails->fd, WIRE_JAIL_KILL, &m, NULL, 0))
		op_cancel(w->op, ERR_PEER_GONE);
}

void jails_start(struct jails *j, struct jail_work *w, struct op *op, int64_t deadline_us)
{
	enum err e;
	w->jails = j;
	w->op = op;
	w->id = w->open.id = ++j->last_id;
	for (int i = 0; i < 3; i++)
		w->fd[i] = -1;
	map_put(j->works, key_of(&w->id), w);
	op_start(op, on_cancel, w, deadline_us);
	e = j->fd < 0 ? ERR_PEER_GONE
		      : packet_send(j->fd, WIRE_JAIL_OPEN, &w->open, NULL, 0);
	if (!e)
		return;
	say(w, e == ERR_TOO_LARGE ? SLICE("its arguments are too long")
				  : SLICE("the launcher of tools is busy or gone"));
	finish(w, e == ERR_TOO_LARGE ? ERR_TOOL_FAILED : ERR_PEER_GONE);
}

struct jails *jails_new(struct loop *l, int fd)
{
	struct jails *j = xcalloc(1, sizeof *j);
	j->loop = l;
	j->fd = fd;
	j->works = map_new();
	j->watch = loop_fd_new(l, fd, LOOP_READ, on_packets, j);
	return j;
}

void jails_free(struct jails *j)
{
	if (j->fd >= 0)
		launcher_gone(j);
	map_free(j->works);
	free(j);
}
