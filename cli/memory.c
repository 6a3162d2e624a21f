/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl memory: the documents of an agent's memory, and terabitsctl agent
 * revisions: what an agent was, by the node's HTTP door. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/follow.h"
#include "cli/node.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/json.h"

#define ANSWER_MOST ((size_t)64 << 20)
#define TEXT_MOST ((size_t)1 << 20)

struct asking {
	const struct args *args;
	struct node node;
	struct strbuf path, body; /* of the request; of the answer */
};

static int begin(struct asking *x, const struct args *a, const char *tail)
{
	static struct config config;
	*x = (struct asking){.args = a};
	config_load(&config);
	strbuf_add_str(&x->path, "/v1/agents/");
	follow_encode(&x->path, args_text(a, PARAM_agent, "main"));
	strbuf_add_str(&x->path, tail);
	return node_open(&x->node, &config, NODE_TOKEN);
}

static int end(struct asking *x, int status)
{
	node_close(&x->node);
	strbuf_fini(&x->path);
	strbuf_fini(&x->body);
	return status;
}

static void add_query(struct asking *x, const char *name, const char *value)
{
	if (!value)
		return;
	strbuf_add_char(&x->path, memchr(x->path.p, '?', x->path.n) ? '&' : '?');
	strbuf_add_str(&x->path, name);
	strbuf_add_char(&x->path, '=');
	follow_encode(&x->path, value);
}

static bool on_piece(void *arg, struct slice piece)
{
	struct asking *x = arg;
	strbuf_add_slice(&x->body, piece);
	return x->body.n <= ANSWER_MOST;
}

static int ask(struct asking *x, const char *method, struct slice body)
{
	struct node_answer a;
	int status = EXIT_FINE;
	node_call(&x->node,
		  &(struct node_request){.method = method,
					 .path = x->path.p,
					 .body = body,
					 .on_piece = on_piece,
					 .arg = x},
		  &a);
	if (a.err || a.status / 100 != 2) {
		node_report(&x->node, &a);
		status = a.err ? EXIT_AWAY : a.status == 404 ? EXIT_ABSENT : EXIT_FAILED;
	}
	node_answer_fini(&a);
	return status;
}

static int print(struct asking *x)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&x->body), ANSWER_MOST, NULL, 0);
	ask_print(x->args, slice_trim(strbuf_slice(&x->body)), json_root(d));
	return EXIT_FINE;
}

/* ---- lists */

static int list(const struct args *a, const char *tail)
{
	struct asking x;
	if (begin(&x, a, tail))
		return end(&x, EXIT_FAILED);
	add_query(&x, "prefix", args_text(a, PARAM_prefix, NULL));
	add_query(&x, "limit", args_text(a, PARAM_limit, NULL));
	int status = ask(&x, "GET", SLICE_NONE);
	return end(&x, status ? status : print(&x));
}

int memory_list_command(const struct args *a)
{
	return list(a, "/memory");
}

int agent_revisions_command(const struct args *a)
{
	return list(a, "/revisions");
}

int memory_search_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf words = STRBUF_INIT;
	struct asking x;
	if (begin(&x, a, "/memory/search"))
		return end(&x, EXIT_FAILED);
	for (int i = 0; i < a->rest_count; i++)
		strbuf_printf(&words, "%s%s", i ? " " : "", a->rest[i]);
	strbuf_add_char(&words, 0);
	add_query(&x, "q", words.p);
	add_query(&x, "limit", args_text(a, PARAM_limit, NULL));
	int status = ask(&x, "GET", SLICE_NONE);
	return end(&x, status ? status : print(&x));
}

/* ---- one document */

int memory_get_command(const struct args *a)
{
	struct asking x;
	if (begin(&x, a, "/memory/content"))
		return end(&x, EXIT_FAILED);
	add_query(&x, "path", a->text[PARAM_document]);
	int status = ask(&x, "GET", SLICE_NONE);
	if (!status && (fwrite(x.body.p, 1, x.body.n, stdout) != x.body.n ||
			fflush(stdout) == EOF)) {
		report("the document cannot be written to the output: %s",
		       strerror(errno));
		status = EXIT_FAILED;
	}
	return end(&x, status);
}

/* At most TEXT_MOST bytes and one, which tells that it is longer. */
static int read_text(struct strbuf *out, const char *path)
{
	bool input = !strcmp(path, "-");
	FILE *f = input ? stdin : fopen(path, "re");
	if (f) {
		out->n += fread(strbuf_reserve(out, TEXT_MOST + 1), 1, TEXT_MOST + 1, f);
		int failed = ferror(f);
		if (!input)
			fclose(f);
		if (!failed && out->n <= TEXT_MOST)
			return 0;
		errno = failed ? errno : EFBIG;
	}
	report("%s cannot be read: %s", path, strerror(errno));
	return -1;
}

int memory_put_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	struct asking x;
	if (read_text(&text, args_text(a, PARAM_local, "-")))
		return EXIT_FAILED;
	if (begin(&x, a, "/memory/content"))
		return end(&x, EXIT_FAILED);
	add_query(&x, "path", a->text[PARAM_document]);
	add_query(&x, "tags", args_text(a, PARAM_tags, NULL));
	int status = ask(&x, "PUT", text.n ? strbuf_slice(&text) : SLICE(""));
	return end(&x, status ? status : print(&x));
}
