/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl files: what is in an agent's workspace, and terabitsctl skill: what is
 * among the tenant's skills, by the node's HTTP door. Streamed: a file is never held
 * whole. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/follow.h"
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
	const char
		*remote; /* of the tenant's skills; NULL: of a workspace, by the args */
	struct strbuf path; /* of the request */
	int fd;             /* of the local file */
	struct strbuf body; /* of a page */
	int broken;         /* errno of the local file */
};

static void put_query(struct job *j, const char *name, const char *value)
{
	int first = !memchr(j->path.p, '?', j->path.n);
	strbuf_add_char(&j->path, first ? '?' : '&');
	strbuf_add_str(&j->path, name);
	strbuf_add_char(&j->path, '=');
	follow_encode(&j->path, value);
}

static void compose(struct job *j, const char *tail)
{
	const char *session = args_text(j->args, PARAM_session, NULL);
	strbuf_reset(&j->path);
	if (j->remote) {
		strbuf_printf(&j->path, "/v1/skills%s", tail);
		put_query(j, "path", j->remote);
		return;
	}
	strbuf_add_str(&j->path, "/v1/agents/");
	follow_encode(&j->path, args_text(j->args, PARAM_agent, "main"));
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

static int get_file(struct job *j, const char *local)
{
	AUTO(strbuf_fini) struct strbuf part = STRBUF_INIT;
	struct node_answer answer;
	if (open_part(j, local, &part))
		return EXIT_FAILED;
	compose(j, "/files/content");
	node_call(&j->node,
		  &(struct node_request){.method = "GET",
					 .path = j->path.p,
					 .on_piece = on_bytes,
					 .arg = j},
		  &answer);
	int status = judge(j, &answer);
	node_answer_fini(&answer);
	if (is_stream(local))
		return status;
	int e = close(j->fd) ? errno : 0;
	if (status == EXIT_FINE && (e || rename(part.p, local))) {
		report("%s: %s", local, strerror(e ? e : errno));
		status = EXIT_FAILED;
	}
	if (status != EXIT_FINE)
		unlink(part.p);
	return status;
}

int files_get_command(const struct args *a)
{
	struct job j;
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	return close_job(&j, get_file(&j, args_text(a, PARAM_local, NULL)));
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

static int put_file(struct job *j, const char *local)
{
	struct stat st;
	struct node_answer answer;
	j->fd = is_stream(local) ? STDIN_FILENO : open(local, O_RDONLY | O_CLOEXEC);
	if (j->fd < 0 || fstat(j->fd, &st) || S_ISDIR(st.st_mode)) {
		report("%s: %s", local, j->fd < 0 ? strerror(errno) : "no file");
		return EXIT_FAILED;
	}
	compose(j, "/files/content");
	node_call(&j->node,
		  &(struct node_request){.method = "PUT",
					 .path = j->path.p,
					 .on_read = on_read,
					 .body_bytes =
						 S_ISREG(st.st_mode) ? st.st_size : -1,
					 .arg = j},
		  &answer);
	int status = judge(j, &answer);
	if (status == EXIT_FINE && args_wants_json(j->args))
		printf("%.*s", SLICE_ARG(strbuf_slice(&answer.body)));
	node_answer_fini(&answer);
	if (!is_stream(local))
		close(j->fd);
	return status;
}

int files_put_command(const struct args *a)
{
	struct job j;
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	return close_job(&j, put_file(&j, args_text(a, PARAM_local, NULL)));
}

/* ---- remove */

static int remove_it(struct job *j, bool recursive)
{
	struct node_answer answer;
	compose(j, "/files");
	if (recursive)
		put_query(j, "recursive", "true");
	node_call(&j->node, &(struct node_request){.method = "DELETE", .path = j->path.p},
		  &answer);
	int status = judge(j, &answer);
	if (status == EXIT_FINE && args_wants_json(j->args))
		printf("%.*s", SLICE_ARG(strbuf_slice(&answer.body)));
	node_answer_fini(&answer);
	return close_job(j, status);
}

int files_remove_command(const struct args *a)
{
	struct job j;
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	return remove_it(&j, args_has(a, O(recursive)));
}

/* ---- skills */

/* By default of a skill its SKILL.md is meant. */
static const char *file_of(struct strbuf *b, const char *skill)
{
	strbuf_add_str(b, skill);
	if (!strchr(skill, '/'))
		strbuf_add_str(b, "/SKILL.md");
	return b->p;
}

int skill_list_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	struct job j;
	struct node_answer answer;
	const char *session = args_text(a, PARAM_session, NULL);
	struct table_view view = {.command = command_id(a->command), .args = a};
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	strbuf_add_str(&j.path, "/v1/agents/");
	follow_encode(&j.path, args_text(a, PARAM_agent, "main"));
	strbuf_add_str(&j.path, "/skills");
	if (session)
		put_query(&j, "session", session);
	node_call(&j.node,
		  &(struct node_request){.method = "GET",
					 .path = j.path.p,
					 .on_piece = on_page,
					 .arg = &j},
		  &answer);
	int status = judge(&j, &answer);
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&j.body), PAGE_MOST, NULL, 0);
	if (status == EXIT_FINE && args_wants_json(a)) {
		fwrite(j.body.p, 1, j.body.n, stdout);
	} else if (status == EXIT_FINE) {
		table_print(&out, json_root(d), &view);
		fputs(out.n ? out.p : "", stdout);
	}
	node_answer_fini(&answer);
	return close_job(&j, status);
}

int skill_show_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf remote = STRBUF_INIT;
	struct job j;
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	j.remote = file_of(&remote, args_text(a, PARAM_skill, ""));
	return close_job(&j, get_file(&j, NULL));
}

/* Every file below a folder, under the same names; links are left out. */
static int put_folder(struct job *j, const char *local, const char *skill)
{
	char *const roots[] = {xstrdup(local), NULL};
	size_t skip = strlen(local);
	int status = EXIT_FINE;
	FTS *all = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	for (const FTSENT *e; status == EXIT_FINE && all && (e = fts_read(all));) {
		AUTO(strbuf_fini) struct strbuf remote = STRBUF_INIT;
		if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR ||
		    e->fts_info == FTS_NS) {
			report("%s: %s", e->fts_path, strerror(e->fts_errno));
			status = EXIT_FAILED;
		}
		if (e->fts_info != FTS_F)
			continue;
		const char *below = e->fts_path + skip;
		strbuf_printf(&remote, "%s/%s", skill, below + strspn(below, "/"));
		j->remote = remote.p;
		status = put_file(j, e->fts_path);
		j->remote = NULL;
	}
	if (all)
		fts_close(all);
	free(roots[0]);
	return status;
}

int skill_put_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf remote = STRBUF_INIT;
	const char *local = args_text(a, PARAM_local, NULL);
	const char *skill = args_text(a, PARAM_skill, "");
	struct stat st;
	struct job j;
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	if (!is_stream(local) && stat(local, &st) == 0 && S_ISDIR(st.st_mode))
		return close_job(&j, put_folder(&j, local, skill));
	j.remote = file_of(&remote, skill);
	return close_job(&j, put_file(&j, local));
}

int skill_remove_command(const struct args *a)
{
	struct job j;
	if (open_job(&j, a))
		return close_job(&j, EXIT_FAILED);
	j.remote = args_text(a, PARAM_skill, "");
	return remove_it(&j, true);
}
