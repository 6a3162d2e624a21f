/* SPDX-License-Identifier: Apache-2.0
 * A request borrows from the packet it came in: who waits needs a copy. */
#include "sandbox/launcher/waiting.h"

#include <stdlib.h>

#include "common/alloc.h"

static char *keep(char *at, struct slice *s)
{
	if (s->n)
		memcpy(at, s->p, s->n);
	*s = slice_of(at, s->n);
	return at + s->n;
}

struct waiting *waiting_add(struct list *all, const struct wire_jail_open *m,
			    struct room *r)
{
	struct waiting *w = xcalloc(1, sizeof *w + m->argv.n + m->env.n + m->cwd.n);
	w->open = *m;
	w->room = r;
	keep(keep(keep(w->bytes, &w->open.argv), &w->open.env), &w->open.cwd);
	list_push(all, &w->node);
	return w;
}

void waiting_free(struct waiting *w)
{
	list_remove(&w->node);
	free(w);
}
