/* SPDX-License-Identifier: Apache-2.0
 * One file out, one in, some away. */
#include "sandbox/files/files_transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "sandbox/files/files_protect.h"
#include "sandbox/files/files_swap.h"
#include "sandbox/files/files_tag.h"
#include "sandbox/files/files_transfer_io.h"
#include "sandbox/tree/tree.h"

static char piece[256u << 10];

/* ---- bytes */

bool transfer_take(int in, void *to, size_t n)
{
	char *at = to;
	while (n) {
		ssize_t got = read(in, at, n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		n -= (size_t)got;
	}
	return true;
}

bool transfer_give(int out, struct slice s)
{
	while (s.n) {
		ssize_t n = write(out, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = slice_of(s.p + n, s.n - (size_t)n);
	}
	return true;
}

void transfer_refuse(struct files_transfer *t, enum err e)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_kv_cstr(&o, "error", err_code(e));
	json_kv_cstr(&o, "message", t->why.text);
	json_kv_bool(&o, "stale", t->is_stale);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	transfer_give(t->out, strbuf_slice(&b));
}

enum err transfer_errno(int error)
{
	switch (error) {
	case EDQUOT:
	case ENOSPC:
		return ERR_QUOTA;
	case EFBIG:
		return ERR_TOO_LARGE;
	case EACCES:
	case EPERM:
		return ERR_FORBIDDEN;
	default:
		return ERR_CONFLICT;
	}
}

/* ---- out */

static bool give_head(const struct files_transfer *t, const struct stat *st)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	char at[CLOCK_TEXT_LEN + 1], tag[FILES_TAG_BYTES];
	files_tag(st, tag);
	clock_format(st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000, at);
	json_obj(&o);
	json_kv_i64(&o, "bytes", st->st_size);
	json_kv_cstr(&o, "modifiedAt", at);
	json_kv_cstr(&o, "etag", tag);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	return transfer_give(t->out, strbuf_slice(&b));
}

/* As many bytes as the head said, however the file changes meanwhile; fewer tell the
 * reader that it was cut short. */
void transfer_get(struct files_transfer *t)
{
	struct files_path p;
	struct stat st;
	AUTO(auto_close) int fd = files_path_read(t->root, t->path, &p, &t->why);
	if (fd < 0 || fstat(fd, &st)) {
		transfer_refuse(t, p.n && !p.type ? ERR_NOT_FOUND : ERR_BAD_REQUEST);
		return;
	}
	uint64_t left = (uint64_t)st.st_size;
	if (!give_head(t, &st))
		return;
	while (left) {
		ssize_t n = read(fd, piece, left < sizeof piece ? left : sizeof piece);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !transfer_give(t->out, slice_of(piece, (size_t)n)))
			return;
		left -= (uint64_t)n;
	}
}

/* ---- in */

/* The length of the next piece; false: the input ended. */
static bool take_length(int in, uint32_t *n)
{
	unsigned char b[4];
	if (!transfer_take(in, b, sizeof b))
		return false;
	*n = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
	return true;
}

enum taken { TAKEN, TAKEN_CUT, TAKEN_REFUSED };

static enum taken take_piece(struct files_transfer *t, struct files_swap *s, uint32_t n,
			     enum err *e)
{
	while (n) {
		size_t some = n < sizeof piece ? n : sizeof piece;
		if (!transfer_take(t->in, piece, some))
			return TAKEN_CUT;
		errno = 0;
		if (!files_swap_put(s, slice_of(piece, some), &t->why)) {
			*e = transfer_errno(errno);
			return TAKEN_REFUSED;
		}
		n -= (uint32_t)some;
	}
	return TAKEN;
}

static enum taken take_file(struct files_transfer *t, struct files_swap *s,
			    uint64_t *bytes, enum err *e)
{
	for (uint32_t n;; *bytes += n) {
		if (!take_length(t->in, &n))
			return TAKEN_CUT;
		if (n == 0)
			return TAKEN;
		if (n > FILES_TRANSFER_PIECE)
			return TAKEN_CUT;
		if (*bytes + n > t->room_bytes) {
			files_refuse(&t->why,
				     "the file does not fit: the workspace has %llu "
				     "bytes left of its quota; remove files",
				     (unsigned long long)t->room_bytes);
			*e = ERR_QUOTA;
			return TAKEN_REFUSED;
		}
		enum taken is = take_piece(t, s, n, e);
		if (is != TAKEN)
			return is;
	}
}

/* The version is that of the file that was written, whoever has its name by now. */
static void give_put(const struct files_transfer *t, const struct files_path *p,
		     uint64_t bytes, const struct files_swap *s)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	char tag[FILES_TAG_BYTES] = "";
	struct stat st;
	bool created = s->created;
	if (fstat(s->fd, &st) == 0)
		files_tag(&st, tag);
	strbuf_printf(&b, "{\"created\":%s,\"etag\":\"%s\"}\n",
		      created ? "true" : "false", tag);
	json_obj(&o);
	json_kv_str(&o, "path", files_path_real(p));
	json_kv_i64(&o, "bytes", (int64_t)bytes);
	json_kv_bool(&o, "created", created);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	transfer_give(t->out, strbuf_slice(&b));
}

/* A file without a name, where the last directory is that exists already: whatever ends
 * this process, nothing is left. -1: this file system knows none. */
static int open_nameless(const struct files_path *p)
{
	char known[FILES_PATH_MOST + 1];
	size_t parent = files_path_parent(p).n, n = p->there < parent ? p->there : parent;
	memcpy(known, p->real, n);
	known[n] = 0;
	AUTO(auto_close) int dir = files_path_opendir(p->root, known);
	return dir < 0 ? -1 : openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
}

/* Who said which version is told that it is not there any more, if that is why. */
static bool refuse_moved(struct files_transfer *t, const struct files_swap *s)
{
	struct stat now;
	int error = errno;
	bool there = fstatat(s->dir, s->name, &now, AT_SYMLINK_NOFOLLOW) == 0;
	if (!files_tag_fits(t, there ? &now : NULL))
		error = 0;
	errno = error;
	return false;
}

static bool commit(struct files_transfer *t, const struct files_path *p,
		   struct files_swap *s)
{
	if (!s->temp[0]) {
		int fd = s->fd;
		s->fd = -1;
		if (!files_swap_begin(s, p, &t->why) ||
		    !files_swap_adopt(s, fd, &t->why)) {
			close(fd);
			return false;
		}
		if (!files_tag_fits(t, s->created ? NULL : &s->old))
			return false;
	}
	return files_swap_commit(s, &t->why) || refuse_moved(t, s);
}

static void put_into(struct files_transfer *t, const struct files_path *p,
		     struct files_swap *s)
{
	enum err e = ERR_CONFLICT;
	uint64_t bytes = 0;
	s->path = p;
	s->fd = open_nameless(p);
	if (s->fd < 0 && !(files_swap_begin(s, p, &t->why) &&
			   files_tag_fits(t, s->created ? NULL : &s->old))) {
		transfer_refuse(t, transfer_errno(errno));
		return;
	}
	enum taken is = take_file(t, s, &bytes, &e);
	if (is == TAKEN) {
		errno = 0;
		if (commit(t, p, s)) {
			give_put(t, p, bytes, s);
			return;
		}
		e = transfer_errno(errno);
	}
	if (is != TAKEN_CUT)
		transfer_refuse(t, e);
}

static bool may_put(struct files_transfer *t, const struct files_path *p, enum err *e)
{
	struct slice real = files_path_shown(files_path_real(p));
	const char *protected = files_protected(files_path_real(p));
	*e = ERR_FORBIDDEN;
	if (protected)
		return files_refuse(&t->why, "%.*s is protected: %s", SLICE_ARG(real),
				    protected);
	*e = ERR_BAD_REQUEST;
	if (p->type ? !S_ISREG(p->type) : p->must_dir)
		return files_refuse(&t->why, "%.*s is %s, not a file", SLICE_ARG(real),
				    p->type ? files_path_kind(p->type)
					    : "a directory's name");
	return true;
}

void transfer_put(struct files_transfer *t)
{
	static struct files_path p;
	struct files_swap s = FILES_SWAP_INIT;
	enum err e = ERR_BAD_REQUEST;
	if (!files_path_find(t->root, t->path, &p, &t->why) || !may_put(t, &p, &e)) {
		transfer_refuse(t, e);
		return;
	}
	put_into(t, &p, &s);
	files_swap_end(&s);
}

/* ---- away */

struct victim {
	struct files_path parent;
	char name[FILES_NAME_MOST + 1];
};

/* The last name is taken as it stands, for a link shall go itself and not what it means.
 */
static bool find_victim(struct files_transfer *t, struct victim *v)
{
	struct slice path = t->path, name;
	while (path.n && path.p[path.n - 1] == '/')
		path.n--;
	const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
	size_t before = slash ? (size_t)(slash - path.p) : 0;
	name = slice_of(path.p + before + (slash != NULL),
			path.n - before - (slash != NULL));
	if (!files_path_check(t->path, &t->why))
		return false;
	if (!name.n || slice_is(name, ".") || slice_is(name, "..") ||
	    slice_is(path, FILES_ROOT_NAME))
		return files_refuse(&t->why, "the path must name what is to be removed, "
					     "below the workspace");
	snprintf(v->name, sizeof v->name, "%.*s", SLICE_ARG(name));
	/* "/x" is absolute: its parent is "/", which is refused as being outside. */
	return files_path_find(t->root, slice_of(path.p, slash ? before + !before : 0),
			       &v->parent, &t->why);
}

static bool remove_tree(int dir, const char *name, uint64_t *count)
{
	AUTO(auto_close)
	int tree = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int e = tree < 0 ? errno : tree_empty(tree, count);
	if (e) {
		errno = e;
		return false;
	}
	++*count;
	return unlinkat(dir, name, AT_REMOVEDIR) == 0;
}

static enum err remove_it(struct files_transfer *t, int dir, const char *name,
			  uint64_t *count)
{
	struct stat st;
	bool recursive = json_bool(json_get(t->args, "recursive"), false);
	if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW)) {
		files_refuse(&t->why, "there is no %.*s",
			     SLICE_ARG(files_path_shown(t->path)));
		return ERR_NOT_FOUND;
	}
	if (!files_tag_fits(t, &st))
		return ERR_CONFLICT;
	*count = 1;
	if (unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0)
		return ERR_OK;
	if (errno == ENOTEMPTY || errno == EEXIST) {
		*count = 0;
		if (!recursive) {
			files_refuse(&t->why,
				     "%.*s is a directory that is not empty; "
				     "recursive=true removes all that it holds",
				     SLICE_ARG(files_path_shown(t->path)));
			return ERR_CONFLICT;
		}
		if (remove_tree(dir, name, count))
			return ERR_OK;
	}
	int error = errno;
	files_refuse_errno(&t->why, "removing", t->path);
	return transfer_errno(error);
}

void transfer_remove(struct files_transfer *t)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	static struct victim v;
	uint64_t count = 0;
	if (!find_victim(t, &v)) {
		transfer_refuse(t, ERR_BAD_REQUEST);
		return;
	}
	AUTO(auto_close) int dir = files_path_opendir(t->root, v.parent.real);
	enum err e = remove_it(t, v.parent.type ? dir : -1, v.name, &count);
	if (e) {
		transfer_refuse(t, e);
		return;
	}
	strbuf_printf(&b, "{}\n{\"removed\":%llu}\n", (unsigned long long)count);
	transfer_give(t->out, strbuf_slice(&b));
}

/* ---- the whole */

static const struct {
	const char *name;
	enum files_transfer_way way;
	void (*run)(struct files_transfer *t);
} operations[] = {{"list", FILES_TRANSFER_OUT, transfer_list},
		  {"get", FILES_TRANSFER_OUT, transfer_get},
		  {"put", FILES_TRANSFER_IN, transfer_put},
		  {"remove", FILES_TRANSFER_OUT, transfer_remove},
		  {"skills", FILES_TRANSFER_OUT, transfer_skills}};

/* Byte by byte: what follows it is the file's. */
static bool take_line(int in, struct strbuf *line)
{
	char c;
	while (line->n < FILES_TRANSFER_LINE && transfer_take(in, &c, 1)) {
		if (c == '\n')
			return true;
		strbuf_add_char(line, c);
	}
	return false;
}

void files_transfer(enum files_transfer_way way, int workspace, uint64_t room_bytes,
		    int in, int out)
{
	AUTO(strbuf_fini) struct strbuf line = STRBUF_INIT;
	struct files_transfer t = {.root = workspace,
				   .in = in,
				   .out = out,
				   .room_bytes = room_bytes,
				   .why.workspace = workspace};
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (!take_line(in, &line))
		return;
	AUTO(auto_json_free)
	struct json_doc *d =
		json_parse(strbuf_slice(&line), FILES_TRANSFER_LINE, NULL, 0);
	t.args = json_root(d);
	t.path = json_str(json_get(t.args, "path"));
	struct slice op = json_str(json_get(t.args, "op"));
	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		if (slice_is(op, operations[i].name) && operations[i].way == way) {
			operations[i].run(&t);
			return;
		}
	files_refuse(&t.why, "there is no such operation");
	transfer_refuse(&t, ERR_BAD_REQUEST);
}
