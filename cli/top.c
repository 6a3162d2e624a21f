/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl top: the screen and its keys (the home of ncurses). */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/report.h"
#include "cli/top_view.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/config.h"

#include <curses.h> /* last: its ERR would be that of err.h */

struct top {
	struct top_view view;
	const char *state;
	int64_t interval_us, next_us;
	int paused, ends;
};

/* ---- without a screen */

static int print_frame(struct top *t)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	int status = top_view_refresh(&t->view, t->state);
	if (status) {
		report("%s", t->view.problem[TOP_STATUS].n ? t->view.problem[TOP_STATUS].p
							   : "the node cannot be asked");
		return status;
	}
	top_view_print(&out, &t->view);
	fputs(out.p, stdout);
	return EXIT_FINE;
}

/* ---- the screen */

/* How many bytes of the line's n fill at most `wide` columns, one a code point. */
static size_t fitting(const char *line, size_t n, int wide)
{
	size_t i = 0;
	for (; i < n; i++)
		if (((unsigned char)line[i] & 0xc0) != 0x80 && wide-- == 0)
			break;
	return i;
}

static void put_line(int y, const char *line, size_t n, int attributes)
{
	attrset(attributes);
	mvaddnstr(y, 0, line, (int)fitting(line, n, COLS));
	attrset(A_NORMAL);
}

static void put_foot(const struct top *t)
{
	char foot[160];
	snprintf(foot, sizeof foot, "q quit  p %s  s sort (%s)%s",
		 t->paused ? "go on" : "pause", top_sort_word(t->view.sort),
		 t->paused ? "  PAUSED" : "");
	put_line(LINES - 1, foot, strlen(foot), A_REVERSE);
}

static void draw(const struct top *t)
{
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	size_t n, before = 1;
	int y = 0;
	top_view_print(&out, &t->view);
	erase();
	for (const char *p = out.p; p && *p && y < LINES - 1; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		put_line(y, p, n, y == 0 ? A_REVERSE : before ? A_NORMAL : A_BOLD);
		before = n;
		y++;
	}
	put_foot(t);
	refresh();
}

static void on_key(struct top *t, int key)
{
	if (key == 'q' || key == 'Q')
		t->ends = 1;
	else if (key == 'p' || key == 'P')
		t->paused = !t->paused;
	else if (key == 's' || key == 'S')
		t->view.sort = (t->view.sort + 1) % TOP_SORT__COUNT;
	else if (key == ' ')
		t->next_us = 0;
}

/* -1 for ever: only a key or another size of the window changes what a paused screen
 * shows. */
static int patience_ms(const struct top *t)
{
	int64_t left = t->next_us - clock_mono_us();
	return t->paused && t->next_us ? -1 : left < 0 ? 0 : (int)(left / 1000) + 1;
}

static void turn(struct top *t)
{
	if (!t->next_us || (!t->paused && clock_mono_us() >= t->next_us)) {
		top_view_refresh(&t->view, t->state);
		t->next_us = clock_mono_us() + t->interval_us;
	}
	draw(t);
	timeout(patience_ms(t));
	int key = getch();
	/* A terminal that went away answers at once, for ever. */
	if (key == ERR && !isatty(STDIN_FILENO))
		t->ends = 1;
	on_key(t, key);
}

static int run_screen(struct top *t)
{
	setlocale(LC_CTYPE, "");
	SCREEN *screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		report("this terminal (TERM=%s) has no screen: one plain frame instead",
		       getenv("TERM") ? getenv("TERM") : "");
		return print_frame(t);
	}
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	while (!t->ends)
		turn(t);
	endwin();
	delscreen(screen);
	return EXIT_FINE;
}

int top_command(const struct args *a)
{
	static struct config config;
	static struct top t;
	config_load(&config);
	t = (struct top){.state = config.state_dir};
	t.view.sort = top_sort_of(args_text(a, PARAM_sort, NULL));
	t.interval_us = args_number(a, PARAM_interval, 1) * 1000000;
	int plain =
		args_has(a, O(once)) || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO);
	int status = plain ? print_frame(&t) : run_screen(&t);
	top_view_fini(&t.view);
	return status;
}
