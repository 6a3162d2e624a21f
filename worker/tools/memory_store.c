/* SPDX-License-Identifier: Apache-2.0
 * memory_store: one transaction that writes a document and its version; the same call
 * again finds what it wrote (tb.memory_store). */
#include "common/pg/pool.h"
#include "proto/tools/memory_path.h"
#include "worker/sql.h"
#include "worker/tools/keyed_write.h"
#include "worker/tools/memory.h"

void tool_memory_store(struct tool_call *c);

static void put_tags(struct pg_params *p, json_t tags)
{
	struct json_iter it = json_iter(tags);
	pg_array(p, PG_TEXT);
	for (json_t t; (t = json_next(&it, NULL));)
		pg_text(p, json_str(t));
	pg_array_end(p);
}

static void put(struct pg_request *r, const struct tool_call *c, struct slice document)
{
	const struct tool_env *e = c->env;
	struct pg_params *p = pg_add(r, SQL_MEMORY_STORE);
	pg_text(p, slice_str(e->cap));
	pg_uuid(p, e->run);
	pg_i64(p, e->fence);
	pg_uuid(p, e->agent);
	pg_uuid(p, uuid7_new());
	pg_text(p, memory_path(c));
	pg_text(p, document);
	put_tags(p, json_get(c->args, "tags"));
	pg_bool(p, !slice_is(json_str(json_get(c->args, "mode")), "replace"));
	pg_text(p, slice_str(c->idem_key));
}

static enum err take(struct tool_call *c, const struct pg_result *rows)
{
	struct json_out o = json_out(&c->output);
	json_obj(&o);
	json_kv_str(&o, "path", memory_path(c));
	json_kv_i64(&o, "version", pg_get_i64(rows, 0, 1));
	json_kv_bool(&o, "created", pg_get_bool(rows, 0, 2));
	json_obj_end(&o);
	return ERR_OK;
}

static const struct keyed_write write = {
	put, take,
	"another transaction in the database holds this agent's memory; nothing was "
	"written, try again",
	"the memory could not be written"};

void tool_memory_store(struct tool_call *c)
{
	const char *problem = memory_path_problem(memory_path(c));
	if (!problem) {
		keyed_write_start(c, &write, json_str(json_get(c->args, "text")));
		return;
	}
	op_start(c->op, NULL, NULL, 0);
	tool_error(c, "argument 'path' %s", problem);
	op_finish(c->op, ERR_TOOL_ARGUMENTS);
}
