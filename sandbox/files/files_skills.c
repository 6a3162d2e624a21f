/* SPDX-License-Identifier: Apache-2.0
 * A walk over each source, then each file that was found, then who hides whom. */
#include "sandbox/files/files_skills.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "sandbox/files/files_front.h"
#include "sandbox/files/files_text.h"
#include "sandbox/files/files_walk.h"

#define ENTRIES_MOST 20000 /* of one source */
#define SOURCE_US 2000000  /* of its walk */
#define LOCATION_MOST 400
#define REFUSED_MOST 100 /* are told one by one */
#define OUTPUT_MOST (2u << 20)

enum fate { FATE_TAKEN, FATE_HIDDEN, FATE_NOT_ALLOWED, FATE_REFUSED };

struct skill {
	const struct files_skill_source *source;
	char *path; /* from the source's root */
	char *location;
	struct files_front front;
	char sha256[65];
	enum fate fate;
	const struct skill *by; /* that hides it */
	char why[200];
};

struct search {
	struct skill **list;
	size_t count, room;
	uint64_t left, refused;
	bool unfinished;
	/* of the source that is walked */
	const struct files_skill_source *source;
	size_t first, entries;
	int64_t until_us;
};

/* ---- the walk */

/* With its slash. */
static struct slice folder_of(const struct skill *s)
{
	size_t n = strlen(s->path), name = sizeof FILES_SKILL_FILE - 1;
	return slice_of(s->path, n > name ? n - name : 0);
}

static struct skill *add(struct search *f, const char *path, const char *location)
{
	if (f->count == f->room) {
		f->room = f->room ? f->room * 2 : 32;
		f->list = xrealloc(f->list, f->room * sizeof(struct skill *));
	}
	struct skill *s = f->list[f->count++] = xcalloc(1, sizeof *s);
	s->source = f->source;
	s->path = xstrdup(path);
	s->location = xstrdup(location);
	return s;
}

PRINTF_LIKE(2, 3) static void refuse(struct skill *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(s->why, sizeof s->why, fmt, ap);
	va_end(ap);
	s->fate = FATE_REFUSED;
}

/* Its name; n 0: it is in the source's own directory, which is no skill's. */
static struct slice last_folder(const struct skill *s)
{
	struct slice folder = folder_of(s);
	size_t dir = strlen(s->source->dir);
	if (folder.n <= dir + (dir > 0))
		return SLICE_NONE;
	folder.n--;
	const char *slash = memrchr(folder.p, '/', folder.n);
	return slash ? slice_of(slash + 1, (size_t)(folder.p + folder.n - slash) - 1)
		     : folder;
}

/* What a skill's folder holds is the skill's. The walk goes level by level, so that the
 * outer one was seen before. */
static bool is_inside(const struct search *f, struct slice path)
{
	for (size_t i = f->first; i < f->count; i++) {
		struct slice folder = folder_of(f->list[i]);
		if (last_folder(f->list[i]).n && slice_has_prefix(path, folder) &&
		    path.n > folder.n)
			return true;
	}
	return false;
}

/* A location goes into the prompt: it is text, and not long. */
static bool is_speakable(struct slice location)
{
	return location.n <= LOCATION_MOST && slice_is_utf8(location) &&
	       !slice_has_control(location);
}

static bool on_entry(void *arg, const struct files_entry *e)
{
	struct search *f = arg;
	AUTO(strbuf_fini) struct strbuf path = STRBUF_INIT, location = STRBUF_INIT;
	if (++f->entries > ENTRIES_MOST || clock_mono_us() > f->until_us) {
		f->unfinished = true;
		return false;
	}
	if (!slice_is(e->name, FILES_SKILL_FILE) || is_inside(f, e->path))
		return true;
	if (f->count - f->first == FILES_SKILLS_SOURCE_MOST) {
		f->left++;
		return true;
	}
	strbuf_add_slice(&path, e->path);
	strbuf_printf(&location, "%s/", f->source->path);
	strbuf_add_slice(&location, e->from);
	bool speakable = is_speakable(strbuf_slice(&location));
	location.p[files_shown(strbuf_slice(&location), LOCATION_MOST).n] = 0;
	struct skill *s = add(f, path.p, location.p);
	if (!speakable)
		refuse(s, "its path is longer than 400 bytes, or no plain text");
	else if (!S_ISREG(e->type))
		refuse(s, "it is %s, not a file", files_path_kind(e->type));
	return true;
}

static void walk(struct search *f, const struct files_skill_source *source)
{
	struct files_walk w = {.root = source->root,
			       .depth = FILES_SKILLS_DEPTH + 1,
			       .all = true,
			       .on_entry = on_entry,
			       .arg = f};
	f->source = source;
	f->first = f->count;
	f->entries = 0;
	f->until_us = clock_mono_us() + SOURCE_US;
	if (!files_walk(&w, slice_str(source->dir)))
		refuse(add(f, "", source->path), "it is no directory that can be read");
	f->unfinished |= w.stopped;
}

/* ---- one file */

/* -1: refused. */
static int open_skill(struct skill *s)
{
	char folder[FILES_PATH_MOST + 1];
	struct stat st;
	snprintf(folder, sizeof folder, "%.*s", SLICE_ARG(folder_of(s)));
	folder[strlen(folder) - (folder[0] != 0)] = 0; /* its slash */
	AUTO(auto_close) int dir = files_path_opendir(s->source->root, folder);
	int fd = dir < 0 ? -1
			 : openat(dir, FILES_SKILL_FILE,
				  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
					  O_CLOEXEC);
	if (fd < 0) {
		refuse(s, "it cannot be read: %s", strerrordesc_np(errno));
	} else if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		refuse(s, "it is no file any more");
		auto_close(&fd);
		fd = -1;
	}
	return fd;
}

static void read_skill(struct skill *s)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	uint8_t hash[32];
	struct slice folder = last_folder(s);
	if (!folder.n) {
		refuse(s, "it has to be in a folder of its skill's name");
		return;
	}
	AUTO(auto_close) int fd = open_skill(s);
	if (fd < 0)
		return;
	if (files_slurp(fd, FILES_SKILL_BYTES + 1, &text) < 0) {
		refuse(s, "it cannot be read: %s", strerrordesc_np(errno));
		return;
	}
	if (text.n > FILES_SKILL_BYTES) {
		refuse(s, "it is larger than 256 KiB");
		return;
	}
	if (!files_front_read(text.n ? strbuf_slice(&text) : SLICE(""), &s->front)) {
		refuse(s, "%s", s->front.why);
		return;
	}
	if (!slice_eq(strbuf_slice(&s->front.name), folder)) {
		refuse(s, "its name '%s' is not its folder's", s->front.name.p);
		return;
	}
	crypto_sha256(strbuf_slice(&text), hash);
	crypto_hex(hash, sizeof hash, s->sha256);
}

/* ---- which count */

static bool is_allowed(json_t allowed, struct slice name)
{
	if (json_kind(allowed) != JSON_ARRAY)
		return true;
	for (size_t i = 0; i < json_len(allowed); i++)
		if (slice_eq(json_str(json_at(allowed, i)), name))
			return true;
	return false;
}

/* By name; of one name that which counts, then the others. */
static int by_name(const void *a, const void *b)
{
	const struct skill *x = *(struct skill *const *)a, *y = *(struct skill *const *)b;
	int order = strcmp(x->front.name.p ? x->front.name.p : "",
			   y->front.name.p ? y->front.name.p : "");
	if (!order)
		order = (x->source > y->source) - (x->source < y->source);
	return order ? order : strcmp(x->path, y->path);
}

static void judge(struct search *f, json_t allowed)
{
	struct skill *last = NULL;
	if (f->count)
		qsort(f->list, f->count, sizeof *f->list, by_name);
	for (size_t i = 0; i < f->count; i++) {
		struct skill *s = f->list[i];
		if (s->fate == FATE_REFUSED) {
			f->refused++;
			continue;
		}
		struct slice name = strbuf_slice(&s->front.name);
		if (last && slice_eq(name, strbuf_slice(&last->front.name))) {
			s->fate = FATE_HIDDEN;
			s->by = last;
			continue;
		}
		last = s;
		if (!is_allowed(allowed, name))
			s->fate = FATE_NOT_ALLOWED;
	}
}

/* ---- the answer */

static void put_skill(struct json_out *o, const struct skill *s)
{
	json_obj(o);
	if (s->fate != FATE_REFUSED)
		json_kv_cstr(o, "name", s->front.name.p);
	if (s->fate == FATE_TAKEN)
		json_kv_cstr(o, "description", s->front.description.p);
	json_kv_cstr(o, "location", s->location);
	json_kv_cstr(o, "source", s->source->name);
	if (s->fate == FATE_TAKEN)
		json_kv_cstr(o, "sha256", s->sha256);
	if (s->by)
		json_kv_cstr(o, "by", s->by->location);
	if (s->fate == FATE_REFUSED)
		json_kv_cstr(o, "why", s->why);
	json_obj_end(o);
}

static void put_all(struct search *f, struct json_out *o, const char *key, enum fate fate)
{
	size_t n = 0;
	json_key(o, key);
	json_arr(o);
	for (size_t i = 0; i < f->count; i++) {
		if (f->list[i]->fate != fate)
			continue;
		if (o->b->n > OUTPUT_MOST ||
		    (fate == FATE_REFUSED && n == REFUSED_MOST)) {
			f->left += fate == FATE_TAKEN;
			continue;
		}
		put_skill(o, f->list[i]);
		n++;
	}
	json_arr_end(o);
	if (fate == FATE_REFUSED && f->refused > n)
		json_kv_i64(o, "refusedMore", (int64_t)(f->refused - n));
}

static bool is_there(const struct search *f, struct slice name)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->list[i]->fate == FATE_TAKEN &&
		    slice_eq(strbuf_slice(&f->list[i]->front.name), name))
			return true;
	return false;
}

static void put_missing(const struct search *f, struct json_out *o, json_t allowed)
{
	json_key(o, "missing");
	json_arr(o);
	if (json_kind(allowed) == JSON_ARRAY)
		for (size_t i = 0; i < json_len(allowed); i++)
			if (!is_there(f, json_str(json_at(allowed, i))))
				json_put_str(o, json_str(json_at(allowed, i)));
	json_arr_end(o);
}

static void search_fini(struct search *f)
{
	for (size_t i = 0; i < f->count; i++) {
		files_front_fini(&f->list[i]->front);
		free(f->list[i]->path);
		free(f->list[i]->location);
		free(f->list[i]);
	}
	free(f->list);
}

/* Whether anything of that name is there, for a link to somewhere is worth a word. */
static bool exists(const struct files_skill_source *s)
{
	struct stat st;
	return s->root >= 0 &&
	       (!*s->dir || !fstatat(s->root, s->dir, &st, AT_SYMLINK_NOFOLLOW));
}

void files_skills_find(const struct files_skill_source *sources, size_t count,
		       json_t allowed, struct strbuf *out)
{
	AUTO(search_fini) struct search f = {0};
	struct json_out o = json_out(out);
	json_obj(&o);
	json_key(&o, "sources");
	json_arr(&o);
	for (size_t i = 0; i < count; i++) {
		if (!exists(&sources[i]))
			continue;
		json_put_cstr(&o, sources[i].name);
		walk(&f, &sources[i]);
	}
	json_arr_end(&o);
	for (size_t i = 0; i < f.count; i++)
		if (f.list[i]->fate != FATE_REFUSED)
			read_skill(f.list[i]);
	judge(&f, allowed);
	put_all(&f, &o, "skills", FATE_TAKEN);
	put_all(&f, &o, "hidden", FATE_HIDDEN);
	put_all(&f, &o, "notAllowed", FATE_NOT_ALLOWED);
	put_all(&f, &o, "refused", FATE_REFUSED);
	put_missing(&f, &o, allowed);
	if (f.left)
		json_kv_i64(&o, "leftOut", (int64_t)f.left);
	if (f.unfinished)
		json_kv_bool(&o, "unfinished", true);
	json_obj_end(&o);
}
