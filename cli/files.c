/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl files: what is in an agent's workspace, by the node's HTTP door. Streamed:
 * a file is never held whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/node.h"
#include "cli/report.h"
#include "cli/table.h"
#include "common/alloc.h"
#include "common/attr.h"
#include "common/json.h"

#define PAGE "200"
#define PAGE_MOST ((size_t)16 << 20)

struct job {
	const struct args *args;
	struct node node;
	struct strbuf path; /* of the request */
	int fd;             /* of the local file */
	struct strbuf body; /* of a page */
	int broken;         /* errno of the local file */
};

static void put_escaped(struct strbuf *b, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || strchr("-._~", c))
			strbuf_add_char(b, (char)c);
		else
			strbuf_printf(b, "%%%02X", c);
	}
}

static void put_query(struct job *j, const char *name, const char *value)
{
	int first = !memchr(j->path.p, '?', j->path.n);
	strbuf_add_char(&j->path, first ? '?' : '&');
	strbuf_add_str(&j->path, name);
	strbuf_add_char(&j->path, '=');
	put_escaped(&j->path, value);
}

static void compose(struct job *j, const char *tail)
{
	const char *session = args_text(j->args, PARAM_session, NULL);
	strbuf_reset(&j->path);
	strbuf_add_str(&j->path, "/v1/agents/");
	put_escaped(&j->path, args_text(j->args, PARAM_agent, "main"));
	strbuf_add_str(&j->path, tail);
	put_query(j, "path", args_text(j->args, PARAM_path, ""));
	if (session)
		put_query(j, "session", session);
}

static int open_job(struct job *j, const struct args *a)
{
	static struct config config;
	*j = (struct job){.args = a, .fd = -1};
	config_load(&config);
	return node_open(&j->node, &config, NODE_TOKEN);
}

static int close_job(struct job *j, int status)
{
	node_close(&j->node);
	strbuf_fini(&j->path);
	strbuf_fini(&j->body);
	return status;
}

/* EXIT_FINE when the answer is what was asked for; else reported. */
static int judge(struct job *j, const struct node_answer *a)
{
	if (j->broken)
		report("%s: %s", args_text(j->args, PARAM_local, "-"),
		       strerror(j->broken));
	else if (a->err || a->status / 100 != 2)
		node_report(&j->node, a);
	else
		return EXIT_FINE;
	return j->broken ? EXIT_FAILED
	       : a->err  ? EXIT_AWAY
			 : (a->status == 404 ? EXIT_ABSENT : EXIT_FAILED);
}

/* ---- list */

static bool on_page(void *arg, struct slice piece)
{
	struct job *j = arg;
	strbuf_add_slice(&j->body, piece);
	return j->body.n <= PAGE_MOST;
}

/* The next page's place, malloc'ed, NULL: this was the last. */
static char *print_page(struct job *j)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&j->body), PAGE_MOST, NULL, 0);
	struct table_view view = {.command = command_id(j->args->command),
				  .args = j->args};
	struct slice next = json_str(json_get(json_root(d), "next"));
	if (args_wants_json(j->args)) {
		fwrite(j->body.p, 1, j->body.n, stdout);
	} else {
		table_print(&out, json_root(d), &view);
		fputs(out.n ? out.p : "", stdout);
	}
	return next.n ? xstrndup(next.p, next.n) : NULL;
}

int files_list_command(const struct args *a)
{
	struct job j;
	int status = EXIT_FAILED;
	char *after = NULL;
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	do {
		struct node_answer answer;
		compose(&j, "/files");
		put_query(&j, "limit", PAGE);
		put_query(&j, "depth", args_has(a, O(all)) ? "100" : "1");
		if (after)
			put_query(&j, "after", after);
		free(after);
		after = NULL;
		strbuf_reset(&j.body);
		node_call(&j.node,
			  &(struct node_request){.method = "GET",
						 .path = j.path.p,
						 .on_piece = on_page,
						 .arg = &j},
			  &answer);
		status = judge(&j, &answer);
		if (status == EXIT_FINE)
			after = print_page(&j);
		node_answer_fini(&answer);
	} while (after);
	return close_job(&j, status);
}

/* ---- get */

static bool on_bytes(void *arg, struct slice piece)
{
	struct job *j = arg;
	while (piece.n) {
		ssize_t n = write(j->fd, piece.p, piece.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			j->broken = errno;
			return false;
		}
		piece = slice_of(piece.p + n, piece.n - (size_t)n);
	}
	return true;
}

static int is_stream(const char *local)
{
	return !local || !strcmp(local, "-");
}

/* It takes its name when it is whole. */
static int open_part(struct job *j, const char *local, struct strbuf *part)
{
	if (is_stream(local)) {
		j->fd = STDOUT_FILENO;
		return 0;
	}
	strbuf_printf(part, "%s.part", local);
	j->fd = open(part->p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (j->fd >= 0)
		return 0;
	report("%s: %s", part->p, strerror(errno));
	return -1;
}

int files_get_command(const struct args *a)
{
	const char *local = args_text(a, PARAM_local, NULL);
	AUTO(strbuf_fini) struct strbuf part = STRBUF_INIT;
	struct job j;
	struct node_answer answer;
	if (open_job(&j, a) || open_part(&j, local, &part))
		return close_job(&j, EXIT_FAILED);
	compose(&j, "/files/content");
	node_call(&j.node,
		  &(struct node_request){.method = "GET",
					 .path = j.path.p,
					 .on_piece = on_bytes,
					 .arg = &j},
		  &answer);
	int status = judge(&j, &answer);
	node_answer_fini(&answer);
	if (is_stream(local))
		return close_job(&j, status);
	int e = close(j.fd) ? errno : 0;
	if (status == EXIT_FINE && (e || rename(part.p, local))) {
		report("%s: %s", local, strerror(e ? e : errno));
		status = EXIT_FAILED;
	}
	if (status != EXIT_FINE)
		unlink(part.p);
	return close_job(&j, status);
}

/* ---- put */

static long on_read(void *arg, char *to, size_t room)
{
	struct job *j = arg;
	ssize_t n;
	do
		n = read(j->fd, to, room);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		j->broken = errno;
	return (long)n;
}

int files_put_command(const struct args *a)
{
	const char *local = args_text(a, PARAM_local, NULL);
	struct job j;
	struct stat st;
	struct node_answer answer;
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	j.fd = is_stream(local) ? STDIN_FILENO : open(local, O_RDONLY | O_CLOEXEC);
	if (j.fd < 0 || fstat(j.fd, &st) || S_ISDIR(st.st_mode)) {
		report("%s: %s", local, j.fd < 0 ? strerror(errno) : "no file");
		return close_job(&j, EXIT_FAILED);
	}
	compose(&j, "/files/content");
	node_call(&j.node,
		  &(struct node_request){.method = "PUT",
					 .path = j.path.p,
					 .on_read = on_read,
					 .body_bytes =
						 S_ISREG(st.st_mode) ? st.st_size : -1,
					 .arg = &j},
		  &answer);
	int status = judge(&j, &answer);
	if (status == EXIT_FINE && args_wants_json(a))
		printf("%.*s", SLICE_ARG(strbuf_slice(&answer.body)));
	node_answer_fini(&answer);
	if (!is_stream(local))
		close(j.fd);
	return close_job(&j, status);
}

/* ---- remove */

int files_remove_command(const struct args *a)
{
	struct job j;
	struct node_answer answer;
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	compose(&j, "/files");
	if (args_has(a, O(recursive)))
		put_query(&j, "recursive", "true");
	node_call(&j.node, &(struct node_request){.method = "DELETE", .path = j.path.p},
		  &answer);
	int status = judge(&j, &answer);
	if (status == EXIT_FINE && args_wants_json(a))
		printf("%.*s", SLICE_ARG(strbuf_slice(&answer.body)));
	node_answer_fini(&answer);
	return close_job(&j, status);
}
