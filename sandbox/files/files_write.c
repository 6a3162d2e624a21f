/* SPDX-License-Identifier: Apache-2.0
 * write: all of a file, new or in place of what was there. */
#include "sandbox/files/files_call.h"
#include "sandbox/files/files_swap.h"
#include "sandbox/files/files_text.h"

#define CONTENT_MOST (1 << 20)

/* Found, and something a file can be written to. */
static bool find(struct files_call *c, struct slice path, struct files_path *p)
{
	if (!files_path_find(c->root, path, p, &c->why))
		return false;
	struct slice shown = files_path_shown(files_path_real(p));
	if (S_ISDIR(p->type) || (!p->type && p->must_dir))
		return files_refuse(&c->why,
				    "%.*s %s a directory; name a file in it, for "
				    "example %.*s/notes.md",
				    SLICE_ARG(shown), p->type ? "is" : "would be",
				    p->n ? (int)shown.n : 1, p->n ? shown.p : ".");
	return !p->type || files_path_is_file(p, &c->why);
}

static bool replace(struct files_call *c, struct files_swap *s,
		    const struct files_path *p, struct slice content)
{
	if (!files_swap_begin(s, p, &c->why) || !files_swap_put(s, content, &c->why) ||
	    !files_swap_commit(s, &c->why))
		return false;
	struct json_out o = json_out(&c->out);
	json_obj(&o);
	json_kv_str(&o, "path", files_path_real(p));
	json_kv_i64(&o, "bytes", (int64_t)content.n);
	json_kv_i64(&o, "lines", files_count_lines(content));
	json_kv_bool(&o, "created", s->created);
	if (!s->created)
		json_kv_i64(&o, "replaced_bytes", s->old.st_size);
	json_obj_end(&o);
	return true;
}

bool files_write(struct files_call *c)
{
	static const char *const known[] = {"path", "content", NULL};
	struct slice path = SLICE_NONE, content = SLICE_NONE;
	struct files_path p;
	if (!files_arg_known(c, c->args, known) ||
	    !files_arg_str(c, c->args, "path", &path) ||
	    !files_arg_str(c, c->args, "content", &content))
		return false;
	if (!path.p || !content.p)
		return files_refuse(&c->why, "argument '%s' is missing",
				    path.p ? "content" : "path");
	if (content.n > CONTENT_MOST)
		return files_refuse(&c->why,
				    "content has %zu bytes, a call takes at most 1 MiB; "
				    "write a part, then add the rest with edit",
				    content.n);
	if (!find(c, path, &p))
		return false;
	AUTO(files_swap_end) struct files_swap s = FILES_SWAP_INIT;
	return replace(c, &s, &p, content);
}
