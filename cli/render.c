/* SPDX-License-Identifier: Apache-2.0
 * Text as it comes; tools and the run's own life as lines in brackets. */
#include "cli/render.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/strbuf.h"

#define INPUT_MOST 200

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

/* What a model writes must not steer the terminal. */
static void put_plain(FILE *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t')
			fputc(c, out);
	}
}

static void put_text(struct render *r, struct slice text)
{
	if (text.n == 0)
		return;
	put_plain(r->out, text);
	r->mid_line = text.p[text.n - 1] != '\n';
}

/* At most INPUT_MOST bytes, cut between two characters. */
static void put_short(FILE *out, struct slice s)
{
	size_t n = s.n;
	if (n > INPUT_MOST)
		for (n = INPUT_MOST; n && ((unsigned char)s.p[n] & 0xc0) == 0x80;)
			n--;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f)
			fputc(s.p[i], out);
	if (n < s.n)
		fputs("...", out);
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

static void show_tool(struct render *r, const struct render_event *e)
{
	struct strbuf input = STRBUF_INIT;
	struct slice state = json_str(json_get(e->body, "toolState"));
	struct slice error = json_str(json_get(e->body, "error"));
	json_t given = json_get(e->body, "toolInput");
	int is_over = slice_is(state, "completed") || slice_is(state, "error");
	if (json_get(e->body, "content")) {
		show_printed(r, json_str(json_get(e->body, "content")));
		return;
	}
	render_break(r);
	fputs(r->dim ? "\033[2m[tool " : "[tool ", r->out);
	put_short(r->out, json_str(json_get(e->body, "toolName")));
	fputc(' ', r->out);
	put_short(r->out, state);
	if (given && !is_over) {
		fputc(' ', r->out);
		json_print(&input, given);
		put_short(r->out, strbuf_slice(&input));
	}
	if (error.n) {
		fputs(": ", r->out);
		put_short(r->out, error);
	}
	fputs(r->dim ? "]\033[0m\n" : "]\n", r->out);
	fflush(r->out);
	strbuf_fini(&input);
}

static void show_lifecycle(struct render *r, const struct render_event *e)
{
	struct slice phase = json_str(json_get(e->body, "phase"));
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
	put_plain(r->notes, text.n ? text : SLICE("no reason was given"));
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
