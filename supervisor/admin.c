/* SPDX-License-Identifier: Apache-2.0
 * The admin socket: {"cmd":"status"} and {"cmd":"drain"}, one answer a line. */
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
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/children.h"
#include "supervisor/journal.h"
#include "supervisor/sup.h"

#define LINE_MOST 4096
#define CLIENTS_MOST 16

struct client {
	struct list node;
	struct admin *admin;
	int fd;
	struct loop_fd *watch;
	struct strbuf in;
};

struct admin {
	struct sup *sup;
	int fd;
	char path[108], alias[4200];
	struct loop_fd *watch;
	struct list clients;
	int client_count;
};

static void client_free(struct client *c)
{
	loop_fd_free(c->watch);
	close(c->fd);
	strbuf_fini(&c->in);
	list_remove(&c->node);
	c->admin->client_count--;
	free(c);
}

/* ---- commands */

static void put_child(struct json_out *o, const struct child *c)
{
	static const char *const states[] = {"down", "starting", "ready", "draining"};
	json_obj(o);
	json_kv_cstr(o, "kind", c->role == ROLE_EDGE ? "edge" : "worker");
	json_kv_i64(o, "ordinal", c->ordinal);
	json_kv_cstr(o, "state", states[c->state]);
	json_kv_i64(o, "pid", c->pid);
	json_kv_i64(o, "launcherPid", c->launcher_pid);
	json_kv_i64(o, c->role == ROLE_EDGE ? "connections" : "runs", c->runs);
	json_kv_i64(o, "worstTurnUs", c->worst_us);
	json_kv_i64(o, "rssKib", c->rss_kib);
	json_kv_i64(o, "deaths", c->deaths);
	json_obj_end(o);
}

static void put_status(struct sup *s, struct json_out *o)
{
	static const char *const states[] = {"starting", "serving", "draining",
					     "stopping"};
	struct lq_stats q = lq_stats(s->lq);
	char id[UUID_TEXT_LEN + 1];
	uuid_format(s->node, id);
	json_obj(o);
	json_kv_cstr(o, "node", id);
	json_kv_cstr(o, "version", TB_VERSION);
	json_kv_i64(o, "pid", getpid());
	json_kv_cstr(o, "state", states[s->state]);
	json_kv_i64(o, "uptimeMs", (loop_now_us(s->loop) - s->started_us) / 1000);
	json_kv_cstr(o, "listen", s->config.listen);
	json_kv_cstr(o, "model", s->model);
	json_kv_bool(o, "database", journal_is_up(s->journal));
	json_kv_i64(o, "lanes", q.lanes);
	json_kv_i64(o, "waiting", q.waiting);
	json_kv_i64(o, "running", q.running);
	json_kv_i64(o, "delayed", q.delayed);
	json_kv_i64(o, "accepted", (int64_t)s->runs_accepted);
	json_kv_i64(o, "ended", (int64_t)s->runs_ended);
	json_key(o, "children");
	json_arr(o);
	list_each (n, &s->children)
		put_child(o, list_entry(n, struct child, node));
	json_arr_end(o);
	json_obj_end(o);
}

static void answer(struct admin *a, struct slice line, struct strbuf *out)
{
	char err[160];
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(line, LINE_MOST, err, sizeof err);
	struct json_out o = json_out(out);
	struct slice cmd = json_str(json_get(json_root(d), "cmd"));
	if (slice_is(cmd, "status")) {
		put_status(a->sup, &o);
	} else if (slice_is(cmd, "drain")) {
		log_info("admin-drain", "%s", "");
		sup_drain(a->sup);
		json_obj(&o);
		json_kv_bool(&o, "ok", true);
		json_obj_end(&o);
	} else {
		json_obj(&o);
		json_kv_cstr(&o, "error",
			     d ? "unknown command: status and drain are known" : err);
		json_obj_end(&o);
	}
	strbuf_add_char(out, '\n');
}

/* ---- connections */

static void on_client(void *arg, int what)
{
	struct client *c = arg;
	struct strbuf out = STRBUF_INIT;
	char *end;
	(void)what;
	ssize_t n =
		recv(c->fd, strbuf_reserve(&c->in, LINE_MOST), LINE_MOST, MSG_DONTWAIT);
	if (n <= 0 || c->in.n + (size_t)n > LINE_MOST) {
		if (n < 0 && errno == EAGAIN)
			return;
		client_free(c);
		return;
	}
	c->in.n += (size_t)n;
	while (c->in.n && (end = memchr(c->in.p, '\n', c->in.n))) {
		size_t len = (size_t)(end - c->in.p);
		answer(c->admin, slice_of(c->in.p, len), &out);
		strbuf_eat(&c->in, len + 1);
	}
	ssize_t sent = out.n ? send(c->fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
	if (sent !=
	    (ssize_t)out
		    .n) /* an operator's tool that does not read loses its connection */
		client_free(c);
	strbuf_fini(&out);
}

static bool is_welcome(struct admin *a, int fd)
{
	struct ucred who;
	socklen_t n = sizeof who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n))
		return false;
	if (children_has_pid(a->sup, who.pid)) {
		log_error("admin-refused", "pid=%d message=\"a child of ours knocked\"",
			  (int)who.pid);
		return false;
	}
	return (who.uid == 0 || who.uid == getuid()) && a->client_count < CLIENTS_MOST;
}

static void on_accept(void *arg, int what)
{
	struct admin *a = arg;
	(void)what;
	int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (!is_welcome(a, fd)) {
		close(fd);
		return;
	}
	struct client *c = xcalloc(1, sizeof *c);
	c->admin = a;
	c->fd = fd;
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
	return a;
}

void admin_close(struct admin *a)
{
	if (!a)
		return;
	while (!list_is_empty(&a->clients))
		client_free(list_entry(a->clients.next, struct client, node));
	loop_fd_free(a->watch);
	close(a->fd);
	unlink(a->path);
	if (a->alias[0])
		unlink(a->alias);
	free(a);
}
