/* SPDX-License-Identifier: Apache-2.0
 * files.tbl as tools, and the way of one call. */
#include "sandbox/files/files_run.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/die.h"
#include "common/err.h"
#include "sandbox/files/files_call.h"
#include "sandbox/files/files_text.h"

static const struct {
	const char *name, *description, *schema;
	bool (*answer)(struct files_call *c);
} tools[] = {
#define FILE_TOOL(name, effect, description, schema)                                     \
	{#name, description, schema, files_##name},
#include "sandbox/files/files.tbl"
#undef FILE_TOOL
};

const char *files_tool_name(enum files_tool which)
{
	check(which < ARRAY_LEN(tools));
	return tools[which].name;
}

const char *files_tool_description(enum files_tool which)
{
	check(which < ARRAY_LEN(tools));
	return tools[which].description;
}

const char *files_tool_schema(enum files_tool which)
{
	check(which < ARRAY_LEN(tools));
	return tools[which].schema;
}

bool files_tool_find(struct slice name, enum files_tool *which)
{
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (slice_is(name, tools[i].name)) {
			*which = (enum files_tool)i;
			return true;
		}
	return false;
}

static bool answer(enum files_tool which, struct files_call *c, struct slice args)
{
	char err[200];
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(args, FILES_ARGS_MOST, err, sizeof err);
	if (!d)
		return files_refuse(&c->why, "the arguments are not valid JSON: %s", err);
	c->args = json_root(d);
	if (json_kind(c->args) != JSON_OBJECT)
		return files_refuse(&c->why, "the arguments must be a JSON object");
	return tools[which].answer(c);
}

void files_answer(enum files_tool which, int workspace_fd, struct slice args,
		  struct strbuf *out)
{
	struct files_call c = {.root = workspace_fd,
			       .own_root = -1,
			       .prefix = SLICE(""),
			       .why.workspace = workspace_fd};
	check(which < ARRAY_LEN(tools));
	if (!answer(which, &c, args)) {
		AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
		strbuf_printf(&text, "%s: %s", tools[which].name, c.why.text);
		strbuf_reset(&c.out);
		struct json_out o = json_out(&c.out);
		json_obj(&o);
		json_kv_str(&o, "error", strbuf_slice(&text));
		if (c.why.full)
			json_kv_cstr(&o, "code", err_code(ERR_QUOTA));
		json_obj_end(&o);
	}
	strbuf_add_slice(out, strbuf_slice(&c.out));
	strbuf_fini(&c.out);
	auto_close(&c.own_root);
}

/* More than the limit is read too, and forgotten, so that the writer gets to its end. */
static void drain(int fd)
{
	static char piece[65536];
	ssize_t n;
	do
		n = read(fd, piece, sizeof piece);
	while (n > 0 || (n < 0 && errno == EINTR));
}

static void put_all(int fd, struct slice s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* nobody wants to know */
			return;
		s = slice_of(s.p + n, s.n - (size_t)n);
	}
}

void files_run(enum files_tool which, int workspace_fd, int in, int out)
{
	AUTO(strbuf_fini) struct strbuf args = STRBUF_INIT, result = STRBUF_INIT;
	signal(SIGXFSZ, SIG_IGN); /* a file's limit is an error to tell of */
	signal(SIGPIPE, SIG_IGN);
	if (files_slurp(in, FILES_ARGS_MOST + 1, &args) < 0)
		strbuf_reset(&args);
	if (args.n > FILES_ARGS_MOST)
		drain(in);
	files_answer(which, workspace_fd, args.n ? strbuf_slice(&args) : SLICE(""),
		     &result);
	put_all(out, strbuf_slice(&result));
}
