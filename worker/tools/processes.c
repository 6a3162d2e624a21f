/* SPDX-License-Identifier: Apache-2.0
 * A list, in the order of their numbers. */
#include "worker/tools/processes.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/loop.h"
#include "common/strbuf.h"
#include "worker/tools/program.h"

/* Until a launcher that does not say that all have ended is not waited for any more. */
#define PATIENCE_US 3000000

struct processes {
	struct loop *loop;
	struct list list;
	unsigned lost; /* numbers up to this one were another worker's */
	unsigned last; /* the last one given */
	void (*on_quiet)(void *arg);
	void *arg;
	bool ending;
	struct loop_timer *patience;
	void (*watcher)(void *arg);
	void *watcher_arg;
};

static void on_patience_over(void *arg)
{
	struct processes *s = arg;
	for (struct program *p = NULL; (p = processes_next(s, p));)
		op_cancel(&p->jail.op, ERR_CANCELLED);
}

struct processes *processes_new(struct loop *l, void (*on_quiet)(void *arg), void *arg)
{
	struct processes *s = xcalloc(1, sizeof *s);
	s->loop = l;
	s->on_quiet = on_quiet;
	s->arg = arg;
	list_init(&s->list);
	return s;
}

struct program *processes_next(struct processes *s, struct program *p)
{
	struct list *n = p ? p->node.next : s->list.next;
	return n == &s->list ? NULL : list_entry(n, struct program, node);
}

static void forget(struct program *p)
{
	list_remove(&p->node);
	p->home = NULL;
	program_free(p);
}

void processes_free(struct processes *s)
{
	if (!s)
		return;
	for (struct program *p; (p = processes_next(s, NULL));)
		forget(p);
	loop_timer_free(s->patience);
	free(s);
}

void processes_lost(struct processes *s, unsigned number)
{
	if (s->lost < number)
		s->lost = number;
	if (s->last < number)
		s->last = number;
}

static unsigned count(struct processes *s, bool living)
{
	unsigned n = 0;
	for (struct program *p = NULL; (p = processes_next(s, p));)
		n += !living || !p->over;
	return n;
}

bool processes_have_room(const struct processes *s)
{
	return count((struct processes *)(uintptr_t)s, true) < PROCESSES_MOST;
}

void processes_adopt(struct processes *s, struct program *p)
{
	if (count(s, false) >= PROCESSES_MOST)
		for (struct program *old = NULL; (old = processes_next(s, old));)
			if (old->over) {
				forget(old);
				break;
			}
	p->home = s;
	p->number = ++s->last;
	list_push(&s->list, &p->node);
}

bool processes_end(struct processes *s)
{
	if (!count(s, true))
		return true;
	if (!s->ending) {
		s->ending = true;
		s->patience = loop_timer_new(s->loop, on_patience_over, s);
		loop_timer_start(s->patience, PATIENCE_US);
		for (struct program *p = NULL; (p = processes_next(s, p));)
			if (!p->over)
				jails_stop(&p->jail.work);
	}
	return !count(s, true); /* a launcher that is gone has answered already */
}

void processes_watch(struct processes *s, void (*fn)(void *arg), void *arg)
{
	s->watcher = fn;
	s->watcher_arg = arg;
}

void processes_changed(struct processes *s)
{
	if (s->watcher)
		s->watcher(s->watcher_arg);
	if (s->ending && !count(s, true))
		s->on_quiet(s->arg);
}

/* ---- names */

/* 0: it is none of ours. */
static unsigned number_in(struct slice name)
{
	long long n;
	if (name.n < 2 || name.n > 8 || *name.p != 'p' || name.p[1] < '1' ||
	    name.p[1] > '9' || !slice_to_i64(slice_of(name.p + 1, name.n - 1), &n))
		return 0;
	return (unsigned)n;
}

static void say_which(struct processes *s, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "there %s",
				    count(s, false) ? "are" : "is none");
	for (struct program *p = NULL; (p = processes_next(s, p)) && n < size;)
		n += (size_t)snprintf(out + n, size - n, " p%u", p->number);
}

struct program *processes_find(struct processes *s, struct slice name, char *why,
			       size_t size)
{
	unsigned number = number_in(name);
	char which[120];
	for (struct program *p = NULL; (p = processes_next(s, p));)
		if (p->number == number)
			return p;
	say_which(s, which, sizeof which);
	if (number && number <= s->lost)
		snprintf(why, size,
			 "the process p%u ended with the worker that ran it, and what it "
			 "printed is gone; start it again if it is needed",
			 number);
	else if (number && number <= s->last)
		snprintf(why, size,
			 "the process p%u ended, and was forgotten for newer ones; %s",
			 number, which);
	else
		snprintf(
			why, size,
			"this run started no process '%.*s'; %s. A process ends with the "
			"run that started it",
			name.n > 40 ? 40 : (int)name.n, name.p, which);
	return NULL;
}
