/* SPDX-License-Identifier: Apache-2.0
 * Text as it comes; tools and the run's own life as lines in brackets. */
#include "cli/render.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/plain.h"
#include "common/strbuf.h"

#define INPUT_MOST 200
#define ERROR_MOST 2000

static int is_same_place(int a, int b)
{
	struct stat x, y;
	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

void render_init(struct render *r, enum render_form form)
{
	const char *plain = getenv("NO_COLOR");
	*r = (struct render){.out = stdout, .notes = stderr, .form = form};
	r->dim = isatty(STDOUT_FILENO) && !(plain && *plain);
	r->shared = is_same_place(STDOUT_FILENO, STDERR_FILENO);
}

void render_break(struct render *r)
{
	if (r->mid_line)
		fputc('\n', r->out);
	r->mid_line = 0;
	fflush(r->out);
}

void render_note(struct render *r, const char *fmt, ...)
{
	va_list ap;
	fflush(r->out);
	if (r->shared)
		render_break(r);
	fputc('[', r->notes);
	va_start(ap, fmt);
	vfprintf(r->notes, fmt, ap);
	va_end(ap);
	fputs("]\n", r->notes);
	fflush(r->notes);
}

static void put_text(struct render *r, struct slice text)
{
	if (text.n == 0)
		return;
	plain_put(r->out, text, true);
	r->mid_line = text.p[text.n - 1] != '\n';
}

/* ---- one function a type */

static void show_assistant(struct render *r, const struct render_event *e)
{
	if (json_bool(json_get(json_get(e->body, "metadata"), "reset"), false)) {
		render_break(r);
		render_note(r, "the answer broke off; what was shown of it is void, it "
			       "starts again");
	}
	put_text(r, json_str(json_get(e->body, "content")));
	if (e->id.n && !memchr(e->id.p, '.', e->id.n))
		render_break(r); /* the message is complete */
	fflush(r->out);
}

/* What a program prints, while it runs. */
static void show_printed(struct render *r, struct slice text)
{
	if (r->dim)
		fputs("\033[2m", r->out);
	put_text(r, text);
	if (r->dim)
		fputs("\033[0m", r->out);
	fflush(r->out);
}

static void put_short(struct render *r, struct slice s)
{
	plain_put_short(r->out, s, INPUT_MOST);
}

/* Of a call that a person has to allow, or has answered. */
static void put_approval(struct render *r, json_t approval)
{
	struct slice state = json_str(json_get(approval, "state"));
	struct slice said = json_str(json_get(approval, "message"));
	if (slice_is(state, "pending")) {
		fputs(" waits to be allowed", r->out);
		return;
	}
	fputs(slice_is(state, "once") || slice_is(state, "session") ? " was allowed"
								    : " was refused",
	      r->out);
	if (said.n) {
		fputs(": ", r->out);
		put_short(r, said);
	}
}

static void put_call(struct render *r, json_t event)
{
	AUTO(strbuf_fini) struct strbuf input = STRBUF_INIT;
	struct slice state = json_str(json_get(event, "toolState"));
	struct slice error = json_str(json_get(event, "error"));
	json_t given = json_get(event, "toolInput"), about = json_get(event, "metadata");
	json_t approval = json_get(about, "approval");
	int is_over = slice_is(state, "completed") || slice_is(state, "error");
	int64_t ms;
	put_short(r, json_str(json_get(event, "toolName")));
	if (approval)
		put_approval(r, approval);
	else
		fputc(' ', r->out);
	if (!approval)
		put_short(r, state);
	if (given && !is_over) {
		fputc(' ', r->out);
		json_print(&input, given);
		put_short(r, strbuf_slice(&input));
	}
	if (is_over && json_i64(json_get(about, "durationMs"), &ms))
		fprintf(r->out, " in %lld ms", (long long)ms);
	if (error.n) {
		fputs(": ", r->out);
		put_short(r, error);
	}
}

static void show_tool(struct render *r, const struct render_event *e)
{
	if (json_get(e->body, "content")) {
		show_printed(r, json_str(json_get(e->body, "content")));
		return;
	}
	render_break(r);
	fputs(r->dim ? "\033[2m[tool " : "[tool ", r->out);
	put_call(r, e->body);
	fputs(r->dim ? "]\033[0m\n" : "]\n", r->out);
	fflush(r->out);
}

static void show_lifecycle(struct render *r, const struct render_event *e)
{
	struct slice phase = json_str(json_get(e->body, "phase"));
	if (slice_is(phase, "start") && r->quiet)
		return;
	if (slice_is(phase, "start"))
		render_note(r, "run %s started",
			    json_cstr(json_get(e->body, "runId"), "?"));
	else
		render_break(r); /* how it ended is the command's to say */
}

static void show_error(struct render *r, const struct render_event *e)
{
	struct slice text = json_str(json_get(e->body, "error"));
	render_break(r);
	fputs("[error: ", r->notes);
	plain_put_short(r->notes, text.n ? text : SLICE("no reason was given"),
			ERROR_MOST);
	fputs("]\n", r->notes);
	fflush(r->notes);
}

static const struct {
	const char *type;
	void (*show)(struct render *r, const struct render_event *e);
} shows[] = {{"assistant", show_assistant},
	     {"tool", show_tool},
	     {"lifecycle", show_lifecycle},
	     {"error", show_error}};

void render_event(struct render *r, const struct render_event *e)
{
	struct slice type = json_str(json_get(e->body, "type"));
	if (r->form == RENDER_JSON) {
		fprintf(r->out, "%.*s\n", SLICE_ARG(e->data));
		fflush(r->out);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(shows); i++)
		if (slice_is(type, shows[i].type))
			shows[i].show(r, e);
}
