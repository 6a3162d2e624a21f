/* SPDX-License-Identifier: Apache-2.0
 * Finding and reading the migrations. */
#include "cli/migrations.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/strbuf.h"

#define FILE_MOST ((size_t)4 << 20)
#define LEVELS_UP 4

/* ---- names and order */

int migrations_version_of(const char *file)
{
	size_t n = strlen(file), i;
	int version = 0;
	if (n < 10 || file[4] != '_' || strcmp(file + n - 4, ".sql"))
		return 0;
	for (i = 0; i < 4; i++) {
		if (!isdigit((unsigned char)file[i]))
			return 0;
		version = version * 10 + (file[i] - '0');
	}
	for (i = 5; i < n - 4; i++)
		if (!islower((unsigned char)file[i]) &&
		    !isdigit((unsigned char)file[i]) && file[i] != '_')
			return 0;
	return version;
}

static int compare(const void *a, const void *b)
{
	const struct migration *x = a, *y = b;
	return x->version != y->version
		       ? (x->version > y->version) - (x->version < y->version)
		       : strcmp(x->file, y->file);
}

int migrations_order(struct migrations *m, char *err, size_t err_size)
{
	if (m->count)
		qsort(m->list, m->count, sizeof *m->list, compare);
	for (size_t i = 0; i < m->count; i++) {
		int version = m->list[i].version, expected = (int)i + 1;
		if (version == expected)
			continue;
		if (i > 0 && version == m->list[i - 1].version)
			snprintf(err, err_size,
				 "%s and %s have the same number: give one of them the "
				 "next free one",
				 m->list[i - 1].file, m->list[i].file);
		else
			snprintf(err, err_size,
				 "migration %04d is missing before %s: numbers go from "
				 "0001 on without gaps",
				 expected, m->list[i].file);
		return -1;
	}
	return 0;
}

/* ---- the directory */

static int is_directory(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* base + middle + "migrations" when that is a directory. */
static char *look(const char *base, const char *middle)
{
	struct strbuf b = STRBUF_INIT;
	strbuf_printf(&b, "%s%smigrations", base, middle);
	if (is_directory(b.p))
		return b.p;
	strbuf_fini(&b);
	return NULL;
}

char *migrations_directory(const char *given, char *err, size_t err_size)
{
	char exe[4096], *found;
	const char *from = given ? "--dir" : "TERABITS_MIGRATIONS";
	const char *named = given ? given : getenv("TERABITS_MIGRATIONS");
	if (named && *named) {
		if (is_directory(named))
			return xstrdup(named);
		snprintf(err, err_size, "%s: %s is no directory", from, named);
		return NULL;
	}
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	exe[n > 0 ? n : 0] = 0;
	char *slash = strrchr(exe, '/');
	if (slash)
		*slash = 0;
	if ((found = look(exe, "/../share/terabits/")))
		return found;
	for (int level = 0; level <= LEVELS_UP; level++) {
		if ((found = look(exe, "/")))
			return found;
		slash = strrchr(exe, '/');
		if (!slash)
			break;
		*slash = 0;
	}
	snprintf(err, err_size,
		 "the migrations were not found beside the program: name their directory "
		 "with --dir or TERABITS_MIGRATIONS");
	return NULL;
}

/* ---- reading */

static int read_file(int dir, const char *file, struct strbuf *out)
{
	AUTO(auto_close) int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;
	while (n > 0 && out->n <= FILE_MOST) {
		n = read(fd, strbuf_reserve(out, 65536), 65536);
		out->n += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		return -1;
	errno = EFBIG;
	return out->n > FILE_MOST ? -1 : 0;
}

static int add(struct migrations *m, int dir, const char *file, char *err,
	       size_t err_size)
{
	struct strbuf text = STRBUF_INIT;
	int version = migrations_version_of(file);
	if (!version) {
		snprintf(err, err_size,
			 "%s is no migration's name: it must be like 0010_some_words.sql",
			 file);
		return -1;
	}
	if (read_file(dir, file, &text)) {
		snprintf(err, err_size, "%s cannot be read: %s", file, strerror(errno));
		strbuf_fini(&text);
		return -1;
	}
	m->list = xrealloc(m->list, (m->count + 1) * sizeof *m->list);
	struct migration *one = &m->list[m->count++];
	*one = (struct migration){.version = version, .file = xstrdup(file)};
	crypto_sha256(strbuf_slice(&text), one->sha256);
	one->sql = xstrndup(text.p ? text.p : "", text.n);
	size_t n = text.n;
	strbuf_fini(&text);
	if (n == 0 || strlen(one->sql) != n) {
		snprintf(err, err_size, "%s is %s", file,
			 n ? "no text: it holds a NUL byte" : "empty");
		return -1;
	}
	return 0;
}

int migrations_load(struct migrations *m, const char *directory, char *err,
		    size_t err_size)
{
	char why[200];
	int rv = 0;
	*m = (struct migrations){0};
	DIR *d = opendir(directory);
	if (!d) {
		snprintf(err, err_size, "%s cannot be read: %s", directory,
			 strerror(errno));
		return -1;
	}
	for (struct dirent *e; !rv && (e = readdir(d));) {
		size_t n = strlen(e->d_name);
		if (e->d_name[0] != '.' && n > 4 && !strcmp(e->d_name + n - 4, ".sql"))
			rv = add(m, dirfd(d), e->d_name, why, sizeof why);
	}
	closedir(d);
	if (!rv)
		rv = migrations_order(m, why, sizeof why);
	if (!rv && m->count == 0) {
		snprintf(why, sizeof why, "there is no migration");
		rv = -1;
	}
	if (rv)
		snprintf(err, err_size, "in %s: %s", directory, why);
	return rv;
}

void migrations_fini(struct migrations *m)
{
	for (size_t i = 0; i < m->count; i++) {
		free(m->list[i].file);
		free(m->list[i].sql);
	}
	free(m->list);
	*m = (struct migrations){0};
}

bool migrations_was_so(int version, struct slice sha256)
{
	static const struct {
		int version;
		const char *hex;
	} rows[] = {
#define CORRECTED(version, hex) {version, hex},
#include "cli/corrected.tbl"
#undef CORRECTED
	};
	char hex[65] = "";
	if (sha256.n == 32)
		crypto_hex(sha256.p, sha256.n, hex);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].version == version && !strcmp(rows[i].hex, hex))
			return true;
	return false;
}
