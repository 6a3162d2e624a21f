/* SPDX-License-Identifier: Apache-2.0
 * A workspace of its own for each test, with a secret beside it that no tool may ever
 * show or change. */
#ifndef TB_FILES_BED_H
#define TB_FILES_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/json.h"
#include "sandbox/files/files_run.h"

#define CANARY "canary-7717"

static char base[64];      /* holds ws/ and secret */
static int ws = -1;        /* the workspace */
static struct strbuf said; /* the last answer */
static struct json_doc *doc;

static inline void put_at(int dir, const char *path, const void *text, size_t n)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

static inline void put(const char *path, const char *text)
{
	put_at(ws, path, text, strlen(text));
}

/* What a file of the workspace holds; "(none)" when there is none. */
static inline const char *got(const char *path)
{
	static char text[1 << 20];
	int fd = openat(ws, path, O_RDONLY);
	if (fd < 0)
		return "(none)";
	ssize_t n = read(fd, text, sizeof text - 1);
	assert_true(n >= 0);
	text[n] = 0;
	close(fd);
	return text;
}

static inline void dir_at(const char *path)
{
	assert_int_equal(mkdirat(ws, path, 0755), 0);
}

static inline void link_at(const char *target, const char *path)
{
	assert_int_equal(symlinkat(target, ws, path), 0);
}

static inline int setup(void **state)
{
	char path[96];
	(void)state;
	umask(022);
	snprintf(base, sizeof base, "/var/tmp/tb-files-XXXXXX");
	assert_non_null(mkdtemp(base));
	snprintf(path, sizeof path, "%s/ws", base);
	assert_int_equal(mkdir(path, 0755), 0);
	ws = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(ws >= 0);
	int top = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	put_at(top, "secret", CANARY, strlen(CANARY));
	assert_int_equal(mkdirat(top, "outside", 0755), 0);
	put_at(top, "outside/secret", CANARY, strlen(CANARY));
	close(top);
	return 0;
}

static inline int teardown(void **state)
{
	char path[96], text[64] = "";
	(void)state;
	json_free(doc);
	doc = NULL;
	strbuf_fini(&said);
	for (int i = 0; i < 2; i++) { /* nothing outside ever changes */
		snprintf(path, sizeof path, "%s/%ssecret", base, i ? "outside/" : "");
		int fd = open(path, O_RDONLY);
		assert_true(fd >= 0);
		assert_int_equal(read(fd, text, sizeof text), strlen(CANARY));
		assert_memory_equal(text, CANARY, strlen(CANARY));
		close(fd);
	}
	close(ws);
	snprintf(path, sizeof path, "rm -rf -- %s", base);
	return system(path); /* some paths in there are too long for nftw */
}

/* The answer to arguments as JSON text. */
static inline json_t ask(enum files_tool tool, const char *args)
{
	char err[200];
	json_free(doc);
	strbuf_reset(&said);
	files_answer(tool, ws, slice_str(args), &said);
	doc = json_parse(strbuf_slice(&said), 4 << 20, err, sizeof err);
	if (!doc)
		fail_msg("%s: not JSON: %s: %.300s", args, err, said.p);
	assert_true(slice_find(strbuf_slice(&said), SLICE(CANARY)) < 0);
	assert_true(json_kind(json_root(doc)) == JSON_OBJECT);
	return json_root(doc);
}

/* {"path": path, and more} with the path escaped. */
static inline json_t ask_path(enum files_tool tool, struct slice path, const char *more)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_str(&b, "{\"path\":\"");
	json_escape(&b, path);
	strbuf_printf(&b, "\"%s}", more);
	return ask(tool, b.p);
}

static inline const char *error_of(json_t answer)
{
	return json_cstr(json_get(answer, "error"), "(no error)");
}

static inline const char *text_of(json_t answer)
{
	return json_cstr(json_get(answer, "text"), error_of(answer));
}

static inline int64_t number_of(json_t answer, const char *name)
{
	int64_t n = -1;
	json_i64(json_get(answer, name), &n);
	return n;
}

/* The answer as text is exactly this. */
static inline void expect(enum files_tool tool, const char *args, const char *answer)
{
	ask(tool, args);
	if (strcmp(said.p, answer) != 0)
		fail_msg("%s\n  said %s\n  not  %s", args, said.p, answer);
}

static inline void expect_error(enum files_tool tool, const char *args, const char *says)
{
	json_t a = ask(tool, args);
	if (strcmp(error_of(a), says) != 0 || json_len(a) != 1)
		fail_msg("%s\n  said %s\n  not  %s", args, said.p, says);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
