/* SPDX-License-Identifier: Apache-2.0
 * The rules of gitignore(5): '!' takes back, a '/' within ties a rule to its directory, a
 * '/' at the end means directories. */
#include "sandbox/files/files_ignore.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "sandbox/files/files_glob.h"
#include "sandbox/files/files_text.h"

#define RULES_MOST 1000
#define FILE_MOST (64 << 10)

static const char *const never_listed[] = {".git",         ".hg",         ".svn",
					   "node_modules", "__pycache__", ".venv"};

struct rule {
	struct files_glob glob;
	char *at; /* the directory whose rule it is */
	bool keeps, only_dirs, by_path;
};

struct files_ignore {
	struct rule *list[RULES_MOST];
	size_t n;
};

struct files_ignore *files_ignore_new(void)
{
	return xcalloc(1, sizeof(struct files_ignore));
}

void files_ignore_free(struct files_ignore *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n; i++) {
		free(g->list[i]->at);
		free(g->list[i]);
	}
	free(g);
}

static void add_rule(struct files_ignore *g, struct slice line, struct slice at)
{
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	while (line.n && line.p[line.n - 1] == ' ' &&
	       !(line.n > 1 && line.p[line.n - 2] == '\\'))
		line.n--;
	if (!line.n || line.p[0] == '#' || g->n == RULES_MOST)
		return;
	struct rule *r = xcalloc(1, sizeof *r);
	r->keeps = line.p[0] == '!';
	line = slice_of(line.p + r->keeps, line.n - r->keeps);
	r->only_dirs = line.n && line.p[line.n - 1] == '/';
	line.n -= r->only_dirs;
	r->by_path = slice_find(line, SLICE("/")) >= 0;
	if (slice_has_prefix(line, SLICE("/")))
		line = slice_of(line.p + 1, line.n - 1);
	if (!line.n || !files_glob_compile(&r->glob, line)) {
		free(r);
		return;
	}
	r->at = xstrndup(at.p ? at.p : "", at.n);
	g->list[g->n++] = r;
}

void files_ignore_load(struct files_ignore *g, int dir, struct slice at)
{
	struct stat st;
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	AUTO(auto_close)
	int fd = openat(dir, ".gitignore",
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > FILE_MOST ||
	    files_slurp(fd, FILE_MOST, &text) <= 0)
		return;
	struct slice rest = strbuf_slice(&text);
	while (rest.p)
		add_rule(g, slice_cut(&rest, '\n'), at);
}

/* The path from the rule's directory; SLICE_NONE: it is elsewhere. */
static struct slice below(const struct rule *r, struct slice path)
{
	struct slice at = slice_str(r->at);
	if (!at.n)
		return path;
	if (!slice_has_prefix(path, at) || path.n <= at.n || path.p[at.n] != '/')
		return SLICE_NONE;
	return slice_of(path.p + at.n + 1, path.n - at.n - 1);
}

static struct slice last_name(struct slice path)
{
	const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
	size_t before = slash ? (size_t)(slash + 1 - path.p) : 0;
	return slice_of(path.p + before, path.n - before);
}

bool files_ignored(const struct files_ignore *g, struct slice path, bool is_dir)
{
	struct slice name = last_name(path);
	for (size_t i = 0; is_dir && i < ARRAY_LEN(never_listed); i++)
		if (slice_is(name, never_listed[i]))
			return true;
	for (size_t i = g->n; i--;) {
		const struct rule *r = g->list[i];
		struct slice from = below(r, path);
		if (from.p && (is_dir || !r->only_dirs) &&
		    files_glob_matches(&r->glob, r->by_path ? from : name))
			return !r->keeps;
	}
	return false;
}
