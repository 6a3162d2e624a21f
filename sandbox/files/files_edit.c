/* SPDX-License-Identifier: Apache-2.0
 * edit: exact replacements in a text file, all of them or none. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/alloc.h"
#include "sandbox/files/files_call.h"
#include "sandbox/files/files_edits.h"
#include "sandbox/files/files_swap.h"
#include "sandbox/files/files_text.h"

struct asked {
	struct files_edit edits[FILES_EDITS_MOST];
	size_t n;
	bool many; /* as an array */
};

static bool take_edit(struct files_call *c, json_t from, const char *where,
		      struct files_edit *e)
{
	*e = (struct files_edit){.old_text = SLICE_NONE, .new_text = SLICE_NONE};
	if (!files_arg_str(c, from, "old_text", &e->old_text) ||
	    !files_arg_str(c, from, "new_text", &e->new_text) ||
	    !files_arg_bool(c, from, "replace_all", &e->all))
		return false;
	if (e->old_text.p && e->new_text.p)
		return true;
	return files_refuse(&c->why, "argument '%s%s' is missing", where,
			    e->old_text.p ? "new_text" : "old_text");
}

static bool take_edits(struct files_call *c, json_t list, struct asked *a)
{
	static const char *const known[] = {"old_text", "new_text", "replace_all", NULL};
	struct json_iter it = json_iter(list);
	if (json_kind(list) != JSON_ARRAY)
		return files_refuse(&c->why, "argument 'edits' must be an array of "
					     "{old_text, new_text, replace_all}");
	if (json_len(list) < 1 || json_len(list) > FILES_EDITS_MOST)
		return files_refuse(&c->why, "edits has %zu elements; it takes 1 to %d",
				    json_len(list), FILES_EDITS_MOST);
	a->many = true;
	for (json_t v; (v = json_next(&it, NULL)); a->n++) {
		char where[32];
		snprintf(where, sizeof where, "edits[%zu].", a->n);
		if (json_kind(v) != JSON_OBJECT)
			return files_refuse(&c->why,
					    "edits[%zu] must be {old_text, new_text, "
					    "replace_all}",
					    a->n);
		if (!files_arg_known(c, v, known) ||
		    !take_edit(c, v, where, &a->edits[a->n]))
			return false;
	}
	return true;
}

static bool has(json_t args, const char *name)
{
	enum json_kind k = json_kind(json_get(args, name));
	return k != JSON_ABSENT && k != JSON_NULL;
}

static bool take_arguments(struct files_call *c, struct slice *path, struct asked *a)
{
	static const char *const known[] = {"path",     "edits",       "old_text",
					    "new_text", "replace_all", NULL};
	bool list = has(c->args, "edits");
	if (!files_arg_known(c, c->args, known) ||
	    !files_arg_str(c, c->args, "path", path))
		return false;
	if (!path->p)
		return files_refuse(&c->why, "argument 'path' is missing");
	if (list && (has(c->args, "old_text") || has(c->args, "new_text") ||
		     has(c->args, "replace_all")))
		return files_refuse(&c->why, "give either edits, or old_text and "
					     "new_text, not both");
	if (list)
		return take_edits(c, json_get(c->args, "edits"), a);
	a->n = 1;
	return take_edit(c, c->args, "", &a->edits[0]);
}

/* The text of the file that is being replaced. */
static bool load(struct files_call *c, struct files_swap *s, struct slice name,
		 struct strbuf *text)
{
	AUTO(auto_close) int fd = files_swap_old(s, &c->why);
	if (fd < 0)
		return false;
	if (files_slurp(fd, FILES_EDITED_MOST + 1, text) < 0)
		return files_refuse_errno(&c->why, "reading", name);
	if (text->n > FILES_EDITED_MOST)
		return files_refuse(&c->why,
				    "%.*s has %lld bytes; edit works on files of at most "
				    "10 MiB",
				    SLICE_ARG(name), (long long)s->old.st_size);
	if (text->n && files_is_binary(strbuf_slice(text)))
		return files_refuse(&c->why, "%.*s is a binary file; edit works on text",
				    SLICE_ARG(name));
	return true;
}

static void put_result(struct files_call *c, const struct files_path *p,
		       const struct asked *a, struct slice text)
{
	struct json_out o = json_out(&c->out);
	json_obj(&o);
	json_kv_str(&o, "path", files_path_real(p));
	json_key(&o, "edits");
	json_arr(&o);
	for (size_t i = 0; i < a->n; i++) {
		json_obj(&o);
		json_kv_i64(&o, "replaced", (int64_t)a->edits[i].replaced);
		json_kv_i64(&o, "line", a->edits[i].line);
		json_obj_end(&o);
	}
	json_arr_end(&o);
	json_kv_i64(&o, "bytes", (int64_t)text.n);
	json_kv_i64(&o, "total_lines", files_count_lines(text));
	json_obj_end(&o);
}

static bool edit(struct files_call *c, const struct files_path *p, struct asked *a)
{
	AUTO(files_swap_end) struct files_swap s = FILES_SWAP_INIT;
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT, changed = STRBUF_INIT;
	struct slice name = files_path_shown(files_path_real(p));
	if (!files_swap_begin(&s, p, &c->why) || !load(c, &s, name, &text))
		return false;
	struct slice before = text.n ? strbuf_slice(&text) : SLICE("");
	if (!files_edits_apply(name, before, a->edits, a->n, a->many, &changed, &c->why))
		return false;
	struct slice after = changed.n ? strbuf_slice(&changed) : SLICE("");
	if (!files_swap_put(&s, after, &c->why) || !files_swap_commit(&s, &c->why))
		return false;
	put_result(c, p, a, after);
	return true;
}

bool files_edit(struct files_call *c)
{
	static struct asked a; /* large for a stack; single-threaded */
	struct slice path = SLICE_NONE;
	struct files_path p;
	a = (struct asked){.n = 0};
	if (!take_arguments(c, &path, &a) ||
	    !files_path_find(c->root, path, &p, &c->why) ||
	    !files_path_is_file(&p, &c->why))
		return false;
	return edit(c, &p, &a);
}
