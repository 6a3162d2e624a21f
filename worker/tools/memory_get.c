/* SPDX-License-Identifier: Apache-2.0
 * memory_get: a window of lines of one document, with the line to go on from. */
#include <stdio.h>
#include <string.h>

#include "common/pg/pool.h"
#include "worker/sql.h"
#include "worker/tools/memory.h"

void tool_memory_get(struct tool_call *c);

#define LINES_MOST 120
#define BYTES_MOST 12000

static int64_t count_lines(struct slice body)
{
	int64_t n = 0;
	while (body.p && body.n) {
		slice_cut(&body, '\n');
		n++;
	}
	return n;
}

/* A line longer than the window is cut where a character begins. */
static size_t fitting(struct slice line, size_t room)
{
	size_t n = line.n < room ? line.n : room;
	while (n < line.n && n && ((unsigned char)line.p[n] & 0xC0) == 0x80)
		n--;
	return n;
}

/* Adds lines `from` .. to text; returns the number of the line after the last one. */
static int64_t take_window(struct strbuf *text, struct slice body, int64_t from,
			   int64_t lines)
{
	int64_t at = 1;
	while (body.p && body.n) {
		struct slice line = slice_cut(&body, '\n');
		if (at >= from + lines)
			return at;
		if (at >= from) {
			if (text->n && text->n + line.n + 1 > BYTES_MOST)
				return at;
			strbuf_add(text, line.p, fitting(line, BYTES_MOST));
			strbuf_add_char(text, '\n');
		}
		at++;
	}
	return at;
}

static void say_window(struct tool_call *c, struct slice body, int64_t version)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	int64_t from = 1, lines = LINES_MOST, total = count_lines(body);
	json_i64(json_get(c->args, "from"), &from);
	json_i64(json_get(c->args, "lines"), &lines);
	int64_t next = take_window(&text, body, from, lines);
	struct json_out o = json_out(&c->output);
	json_obj(&o);
	json_kv_str(&o, "path", memory_path(c));
	json_kv_i64(&o, "version", version);
	json_kv_i64(&o, "from", from);
	json_kv_i64(&o, "lines", next > from ? next - from : 0);
	json_kv_i64(&o, "total", total);
	if (next <= total)
		json_kv_i64(&o, "next", next);
	json_kv_str(&o, "text", text.p ? strbuf_slice(&text) : SLICE(""));
	json_obj_end(&o);
}

static void say_absent(struct tool_call *c, const struct pg_result *paths)
{
	char names[600];
	size_t n = 0;
	names[0] = 0;
	for (int i = 0; i < pg_rows(paths) && n < sizeof names; i++)
		n += (size_t)snprintf(names + n, sizeof names - n, "%s%.*s",
				      n ? ", " : "", SLICE_ARG(pg_get_text(paths, i, 0)));
	tool_error(c, "there is no document '%.*s'; there %s%s",
		   SLICE_ARG(memory_path(c)), n ? "are: " : "is none yet", names);
}

static void on_read(void *arg, const struct pg_answer *a)
{
	struct tool_call *c = arg;
	if (a->err || pg_get_i64(a->results[0], 0, 1) != c->env->tenant) {
		tool_error(c, "the memory could not be read");
		op_finish(c->op, ERR_DATABASE);
		return;
	}
	if (pg_rows(a->results[1]) == 0) {
		say_absent(c, a->results[2]);
		op_finish(c->op, ERR_TOOL_FAILED);
		return;
	}
	say_window(c, pg_get_text(a->results[1], 0, 0), pg_get_i64(a->results[1], 0, 1));
	op_finish(c->op, ERR_OK);
}

void tool_memory_get(struct tool_call *c)
{
	const struct tool_env *e = c->env;
	struct pg_request *r = pg_begin(e->pool);
	struct pg_params *p = pg_add(r, SQL_CAP);
	op_start(c->op, NULL, NULL, 0);
	pg_text(p, slice_str(e->cap));
	p = pg_add(r, SQL_MEMORY_GET);
	pg_i64(p, e->tenant);
	pg_uuid(p, e->agent);
	pg_text(p, memory_path(c));
	p = pg_add(r, SQL_MEMORY_PATHS);
	pg_i64(p, e->tenant);
	pg_uuid(p, e->agent);
	pg_submit(r, CONN_READS, (int)(c->tool->deadline_us / 1000), on_read, c);
}
