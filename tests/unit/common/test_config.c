/* SPDX-License-Identifier: Apache-2.0
 * Settings: defaults, file, environment, ranges, and secrets that leave the environment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/config.h"

static char path[] = "/tmp/test_config.XXXXXX";

static const char *const names[] = {
	"TERABITS_CONFIG",
#define CONF(name, TYPE, env, fallback, min, max, doc) env,
#include "common/config.tbl"
#undef CONF
};

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
	setenv("TERABITS_CONFIG", path, 1);
}

static int begin(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unsetenv(names[i]);
	return 0;
}

static void drop(struct config *c)
{
	config_wipe(c);
#define config_drop_STR(name) free(c->name)
#define config_drop_SECRET(name) free(c->name)
#define config_drop_INT(name)
#define config_drop_BOOL(name)
#define CONF(name, TYPE, env, fallback, min, max, doc) config_drop_##TYPE(name);
#include "common/config.tbl"
#undef CONF
}

static void test_defaults(void **state)
{
	(void)state;
	struct config c;
	config_load(&c);
	assert_string_equal(c.listen, "127.0.0.1:7717");
	assert_int_equal(c.workers, 1);
	assert_string_equal(c.openai_api_key, "");
	drop(&c);
}

static void test_environment_over_file(void **state)
{
	(void)state;
	struct config c;
	write_file("# a comment\nlisten = \"0.0.0.0:1\"\nworkers = 3\nmodel = 'a/b'\n");
	setenv("TERABITS_WORKERS", "62", 1);
	setenv("TERABITS_WORKER_RUNS", "", 1); /* an empty number says nothing */
	setenv("TERABITS_MODEL", "", 1);       /* an empty text is a text */
	config_load(&c);
	assert_string_equal(c.listen, "0.0.0.0:1");
	assert_int_equal(c.workers, 62);
	assert_int_equal(c.worker_runs, 512);
	assert_string_equal(c.model, "");
	drop(&c);
}

static void test_secret_leaves_the_environment(void **state)
{
	(void)state;
	struct config c;
	setenv("OPENAI_API_KEY", "sk-very-secret", 1);
	config_load(&c);
	assert_string_equal(c.openai_api_key, "sk-very-secret");
	assert_null(getenv("OPENAI_API_KEY"));
	config_wipe(&c);
	assert_string_equal(c.openai_api_key, "");
	assert_string_equal(c.listen, "127.0.0.1:7717");
	drop(&c);
}

/* Overwritten where it stood: /proc/PID/environ shows the initial block for ever. */
static void test_secret_is_wiped_in_place(void **state)
{
	(void)state;
	struct config c;
	static char mine[] = "OPENAI_API_KEY=sk-in-place";
	putenv(mine);
	config_load(&c);
	assert_string_equal(mine, "OPENAI_API_KEY=");
	assert_int_equal(mine[sizeof mine - 2], 0);
	drop(&c);
}

/* Its exit status; what it says is left in `said`. */
static char said[2000];

static int load_in_child(void)
{
	int p[2], status;
	size_t n = 0;
	ssize_t got;
	assert_int_equal(pipe(p), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct config c;
		dup2(p[1], STDERR_FILENO);
		config_load(&c);
		_exit(0);
	}
	close(p[1]);
	while ((got = read(p[0], said + n, sizeof said - 1 - n)) > 0)
		n += (size_t)got;
	said[n] = 0;
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_dies(const char *names_it, const char *names_range)
{
	assert_int_equal(load_in_child(), 2);
	if (!strstr(said, names_it) || !strstr(said, names_range))
		fail_msg("it said: %s", said);
	const char *newline = strchr(said, '\n');
	assert_true(newline && !newline[1]); /* one line */
}

static void test_bad_environment(void **state)
{
	static const struct {
		const char *name, *value, *range;
	} cases[] = {
		{"TERABITS_WORKERS", "0", "from 1 to 62"},
		{"TERABITS_WORKERS", "65", "from 1 to 62"},
		{"TERABITS_WORKERS", "-1", "from 1 to 62"},
		{"TERABITS_WORKERS", "two", "from 1 to 62"},
		{"TERABITS_WORKERS", "2x", "from 1 to 62"},
		{"TERABITS_WORKERS", "2 ", "from 1 to 62"},
		{"TERABITS_WORKERS", "99999999999999999999", "from 1 to 62"},
		{"TERABITS_DRAIN_SECONDS", "3601", "from 0 to 3600"},
		{"TERABITS_LISTEN", "", "1 to 2000 bytes"},
		{"TERABITS_LISTEN_PLAIN", "1", "yes or no"},
		{"TERABITS_LOG_LEVEL", "abcdefghijk", "1 to 10 bytes"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		begin(state);
		setenv(cases[i].name, cases[i].value, 1);
		assert_dies(cases[i].name, cases[i].range);
	}
	begin(state);
	assert_int_equal(load_in_child(), 0);
}

static void test_bad_file(void **state)
{
	static const struct {
		const char *text, *line, *says;
	} cases[] = {
		{"workers = 3\nlisten = \"x\"\nworkers = 65\n", ":3: ", "from 1 to 62"},
		{"\n\nworkers = many\n", ":3: ", "from 1 to 62"},
		{"log_level = \"abcdefghijk\"\n", ":1: ", "1 to 10 bytes"},
		{"listen = \"x\"\nno_such_key = 3\n", ":2: ", "no_such_key"},
		{"listen = \n", "", ""},
		{"listen \"x\"\n", ":1: ", ""},
	};
	char where[100];
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		begin(state);
		write_file(cases[i].text);
		snprintf(where, sizeof where, "%s%s", path, cases[i].line);
		assert_dies(where, cases[i].says);
	}
	begin(state);
	setenv("TERABITS_CONFIG", "/nonexistent/file", 1);
	assert_dies("/nonexistent/file", "No such file");
}

/* A secret that is too long is refused without being printed. */
static void test_refusal_hides_a_secret(void **state)
{
	(void)state;
	static char key[1200];
	memset(key, 'k', sizeof key - 1);
	setenv("OPENAI_API_KEY", key, 1);
	assert_dies("OPENAI_API_KEY", "0 to 1000 bytes, not 1199");
	assert_null(strstr(said, "kkkk"));
}

static void test_help_names_all(void **state)
{
	(void)state;
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	config_help(f);
	fclose(f);
	for (size_t i = 1; i < ARRAY_LEN(names); i++)
		assert_non_null(strstr(text, names[i]));
	free(text);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, begin)

int main(void)
{
	int fd = mkstemp(path);
	close(fd);
	const struct CMUnitTest tests[] = {
		STORY(test_defaults),
		STORY(test_environment_over_file),
		STORY(test_secret_leaves_the_environment),
		STORY(test_secret_is_wiped_in_place),
		STORY(test_bad_environment),
		STORY(test_bad_file),
		STORY(test_refusal_hides_a_secret),
		STORY(test_help_names_all),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
