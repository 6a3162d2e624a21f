/* SPDX-License-Identifier: Apache-2.0
 * The admin socket: who may ask, lines in, lines out.
 *
 * A connection's requests are answered in their order: while one is open its later ones
 * wait, and a turn of the loop takes one at most, so that no client can stall the runs.
 */
#include "supervisor/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/die.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_db.h"
#include "supervisor/admin_rates.h"
#include "supervisor/children.h"
#include "supervisor/sup.h"

#define CLIENTS_MOST 64
#define OUTBOX_MOST (4u << 20)
#define OUTBOX_KEEP (64u << 10)

struct client {
	struct list node;
	struct admin *admin;
	int fd, watched; /* LOOP_READ, LOOP_WRITE */
	struct loop_fd *watch;
	uid_t uid;
	struct strbuf in, out;
	size_t searched;  /* bytes of `in` that hold no end of a line */
	struct ask *open; /* the request that is not answered yet */
	bool ended;       /* nothing more is read */
};

struct admin {
	struct sup *sup;
	struct ask_world world;
	struct rates *rates;
	int fd;
	char path[108], alias[4200];
	struct loop_fd *watch;
	struct list clients;
	int client_count;
};

static void client_free(struct client *c)
{
	if (c->open)
		ask_forget(c->open);
	loop_fd_free(c->watch);
	close(c->fd);
	strbuf_fini(&c->in);
	strbuf_fini(&c->out);
	list_remove(&c->node);
	c->admin->client_count--;
	free(c);
}

/* ---- requests */

static void on_answer(void *client, struct slice line)
{
	struct client *c = client;
	c->open = NULL;
	strbuf_add_slice(&c->out, line);
	loop_again(c->admin->sup->loop);
}

/* The length of the first line; SIZE_MAX when it is not whole. */
static size_t first_line(struct client *c)
{
	const char *from = c->in.p + c->searched, *end = NULL;
	if (c->in.n > c->searched)
		end = memchr(from, '\n', c->in.n - c->searched);
	c->searched = end ? (size_t)(end - c->in.p) : c->in.n;
	return end ? c->searched : SIZE_MAX;
}

static void take_line(struct client *c)
{
	size_t n = c->open ? SIZE_MAX : first_line(c);
	if (n == SIZE_MAX)
		return;
	/* The answer may come inside ask_new, so c->open is what it returns. */
	c->open = ask_new(&c->admin->world, c->uid, slice_of(c->in.p, n), on_answer, c);
	strbuf_eat(&c->in, n + 1);
	c->searched = 0;
	if (!c->open)
		loop_again(c->admin->sup->loop);
}

static void refuse_long_line(struct client *c)
{
	struct json_out o = json_out(&c->out);
	json_obj(&o);
	json_kv_cstr(&o, "error", "a line has 64 kB at most");
	json_kv_cstr(&o, "code", err_code(ERR_BAD_REQUEST));
	json_obj_end(&o);
	strbuf_add_char(&c->out, '\n');
	strbuf_reset(&c->in);
	c->searched = 0;
	c->ended = true;
}

/* ---- connections */

/* False: the client is gone, or does not read. */
static bool flush(struct client *c)
{
	ssize_t n = 0;
	if (c->out.n)
		n = send(c->fd, c->out.p, c->out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	if (n > 0)
		strbuf_eat(&c->out, (size_t)n);
	strbuf_shrink(&c->out, OUTBOX_KEEP);
	if (c->out.n > OUTBOX_MOST)
		log_warn("admin-cut", "bytes=%zu message=\"a client does not read\"",
			 c->out.n);
	return c->out.n <= OUTBOX_MOST;
}

static void watch(struct client *c)
{
	int what = (c->ended || c->in.n > ASK_LINE_MOST ? 0 : LOOP_READ) |
		   (c->out.n ? LOOP_WRITE : 0);
	if (what != c->watched)
		loop_fd_set(c->watch, what);
	c->watched = what;
}

/* Once a turn. */
static void serve(struct client *c)
{
	take_line(c);
	if (!c->open && c->in.n > ASK_LINE_MOST && c->searched == c->in.n)
		refuse_long_line(c);
	bool alive = flush(c);
	if (alive && c->ended && !c->open && !c->out.n)
		alive = first_line(c) != SIZE_MAX;
	if (alive)
		watch(c);
	else
		client_free(c);
}

static void on_turn(void *arg)
{
	struct admin *a = arg;
	list_each (n, &a->clients)
		serve(list_entry(n, struct client, node));
}

static void on_client(void *arg, int what)
{
	struct client *c = arg;
	if (!(what & LOOP_READ) || c->ended)
		return; /* the turn's end writes */
	ssize_t n = recv(c->fd, strbuf_reserve(&c->in, ASK_LINE_MOST), ASK_LINE_MOST,
			 MSG_DONTWAIT);
	if (n > 0)
		c->in.n += (size_t)n;
	else if (n == 0) /* it may only have nothing more to say, and wait for answers */
		c->ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		client_free(c);
}

static bool is_welcome(struct admin *a, int fd, struct ucred *who)
{
	socklen_t n = sizeof *who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &n))
		return false;
	if (children_has_pid(a->sup, who->pid)) {
		log_error("admin-refused", "pid=%d message=\"a child of ours knocked\"",
			  (int)who->pid);
		return false;
	}
	return (who->uid == 0 || who->uid == getuid()) && a->client_count < CLIENTS_MOST;
}

static void on_accept(void *arg, int what)
{
	struct admin *a = arg;
	struct ucred who;
	(void)what;
	int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (!is_welcome(a, fd, &who)) {
		close(fd);
		return;
	}
	struct client *c = xcalloc(1, sizeof *c);
	c->admin = a;
	c->fd = fd;
	c->uid = who.uid;
	c->watched = LOOP_READ;
	c->watch = loop_fd_new(a->sup->loop, fd, LOOP_READ, on_client, c);
	a->client_count++;
	list_push(&a->clients, &c->node);
}

/* A socket's path has 107 bytes: a deep state directory gets a link to one in the runtime
 * directory. */
static void choose_path(struct admin *a)
{
	snprintf(a->alias, sizeof a->alias, "%s/admin.sock", a->sup->config.state_dir);
	if (strlen(a->alias) < sizeof a->path) {
		memcpy(a->path, a->alias, strlen(a->alias) + 1);
		a->alias[0] = 0;
		return;
	}
	snprintf(a->path, sizeof a->path, "%s/admin.sock", a->sup->runtime_dir);
}

struct admin *admin_open(struct sup *s)
{
	struct admin *a = xcalloc(1, sizeof *a);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	a->sup = s;
	list_init(&a->clients);
	choose_path(a);
	memcpy(addr.sun_path, a->path, strlen(a->path) + 1);
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(a->path);
	mode_t old = umask(0177);
	int rv = bind(a->fd, (struct sockaddr *)&addr, sizeof addr);
	umask(old);
	if (rv || listen(a->fd, 16))
		fatal("the admin socket %s cannot be made: %s. Is the directory "
		      "writable?",
		      a->path, strerror(errno));
	if (a->alias[0]) {
		unlink(a->alias);
		if (symlink(a->path, a->alias))
			log_warn("admin-alias", "path=\"%s\" message=\"%s\"", a->alias,
				 strerror(errno));
	}
	a->watch = loop_fd_new(s->loop, a->fd, LOOP_READ, on_accept, a);
	a->rates = rates_new(s);
	a->world = (struct ask_world){.sup = s, .db = admin_db_new(s), .rates = a->rates};
	loop_hook(s->loop, LOOP_CONNECTIONS, on_turn, a);
	return a;
}

const struct ask_world *admin_world(const struct admin *a)
{
	return &a->world;
}

void admin_close(struct admin *a)
{
	if (!a)
		return;
	while (!list_is_empty(&a->clients))
		client_free(list_entry(a->clients.next, struct client, node));
	loop_unhook(a->sup->loop, on_turn, a);
	admin_db_free(a->world.db);
	rates_free(a->rates);
	loop_fd_free(a->watch);
	close(a->fd);
	unlink(a->path);
	if (a->alias[0])
		unlink(a->alias);
	free(a);
}
