/* SPDX-License-Identifier: Apache-2.0
 * memory_store: one transaction that writes a document and its version; the same call
 * again finds what it wrote (tb.memory_store). */
#include "common/pg/pool.h"
#include "worker/sql.h"
#include "worker/tools/memory.h"

void tool_memory_store(struct tool_call *c);

/* A document's name: relative, no "..", no control bytes. NULL when it is one; else what
 * is wrong. */
static const char *path_problem(struct slice path)
{
	struct slice rest = path;
	for (size_t i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] < 0x20 || path.p[i] == '\\')
			return "holds a control character or a backslash";
	if (path.p[0] == '/')
		return "must be relative, for example notes/ideas.md";
	while (rest.p) {
		struct slice part = slice_cut(&rest, '/');
		if (!part.n || slice_is(part, ".") || slice_is(part, ".."))
			return "must not hold empty parts, '.' or '..'";
	}
	return NULL;
}

static void put_tags(struct pg_params *p, json_t tags)
{
	struct json_iter it = json_iter(tags);
	pg_array(p, PG_TEXT);
	for (json_t t; (t = json_next(&it, NULL));)
		pg_text(p, json_str(t));
	pg_array_end(p);
}

static void on_stored(void *arg, const struct pg_answer *a)
{
	struct tool_call *c = arg;
	if (a->err) {
		bool full = a->sqlstate[0] == '5' && a->sqlstate[1] == '4';
		tool_error(c, "%s",
			   full ? a->message : "the memory could not be written");
		/* A definite refusal is the model's to read; an unknown outcome is tried
		 * again under the same key. */
		op_finish(c->op,
			  a->fate == PG_ROLLED_BACK ? ERR_TOOL_FAILED : ERR_DATABASE);
		return;
	}
	struct json_out o = json_out(&c->output);
	json_obj(&o);
	json_kv_str(&o, "path", memory_path(c));
	json_kv_i64(&o, "version", pg_get_i64(a->results[0], 0, 1));
	json_kv_bool(&o, "created", pg_get_bool(a->results[0], 0, 2));
	json_obj_end(&o);
	op_finish(c->op, ERR_OK);
}

void tool_memory_store(struct tool_call *c)
{
	const struct tool_env *e = c->env;
	struct slice path = memory_path(c);
	const char *problem = path_problem(path);
	op_start(c->op, NULL, NULL, 0);
	if (problem) {
		tool_error(c, "argument 'path' %s", problem);
		op_finish(c->op, ERR_TOOL_ARGUMENTS);
		return;
	}
	struct pg_request *r = pg_begin(e->pool);
	struct pg_params *p = pg_add(r, SQL_MEMORY_STORE);
	pg_text(p, slice_str(e->cap));
	pg_uuid(p, e->run);
	pg_i64(p, e->fence);
	pg_uuid(p, e->agent);
	pg_uuid(p, uuid7_new());
	pg_text(p, path);
	pg_text(p, json_str(json_get(c->args, "text")));
	put_tags(p, json_get(c->args, "tags"));
	pg_bool(p, !slice_is(json_str(json_get(c->args, "mode")), "replace"));
	pg_text(p, slice_str(c->idem_key));
	pg_submit(r, CONN_READS, (int)(c->tool->deadline_us / 1000), on_stored, c);
}
