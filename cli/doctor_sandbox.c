/* SPDX-License-Identifier: Apache-2.0
 * How well tools are confined: by the word of the node that runs, else by a trial of its
 * launcher. */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/admin.h"
#include "cli/report.h"

#define SAID_BYTES 4096

static void say_level(struct doctor *d, const char *who, const char *level,
		      const char *summary, const char *missing)
{
	if (!strcmp(level, "full"))
		doctor_say(d, VERDICT_OK, "%s full: %s", who, summary);
	else
		doctor_say(d,
			   strcmp(d->config.sandbox_require, "full") ? VERDICT_WARN
								     : VERDICT_FAIL,
			   "%s reduced: %s. %s", who, summary, missing);
}

/* ---- a node */

static void ask_node(struct doctor *d)
{
	AUTO(strbuf_fini) struct strbuf line = STRBUF_INIT, said = STRBUF_INIT;
	int status;
	report_into(&said);
	AUTO(auto_json_free)
	struct json_doc *doc = admin_ask(d->config.state_dir,
					 SLICE("{\"cmd\":\"status\"}\n"), &line, &status);
	report_into(NULL);
	json_t v = doc ? json_get(json_root(doc), "sandbox") : NULL;
	if (!doc)
		doctor_say(d, VERDICT_WARN, "the node does not say: %s",
			   said.n ? said.p : "no answer");
	else if (!v)
		doctor_say(d, VERDICT_WARN,
			   "the node has no launcher yet: ask again when it is ready");
	else
		say_level(d, "the node's jails are", json_cstr(json_get(v, "level"), "?"),
			  json_cstr(json_get(v, "summary"), "?"),
			  json_cstr(json_get(v, "missing"), ""));
}

/* ---- a launcher */

/* Beside this program, unless the node's programs are elsewhere. */
static int launcher_path(const struct doctor *d, char *out, size_t size)
{
	static const char name[] = "terabits-launcher";
	char self[4096];
	if (*d->config.binaries_dir)
		return snprintf(out, size, "%s/%s", d->config.binaries_dir, name) >=
		       (int)size;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n <= 0)
		return -1;
	self[n] = 0;
	*strrchr(self, '/') = 0;
	return snprintf(out, size, "%s/%s", self, name) >= (int)size;
}

/* Its exit status, -1: it did not run; both its outputs in `said`. */
static int run(const char *path, char *said)
{
	int ends[2], status = -1;
	size_t n = 0;
	*said = 0;
	if (pipe2(ends, O_CLOEXEC))
		return -1;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		execl(path, path, "--probe", (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	for (ssize_t got; child > 0 && n < SAID_BYTES - 1 &&
			  (got = read(ends[0], said + n, SAID_BYTES - 1 - n)) > 0;)
		n += (size_t)got;
	said[n] = 0;
	close(ends[0]);
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What a log line has to say to people. */
static const char *message_in(char *said)
{
	char *at = strstr(said, "message=\"");
	if (!at)
		return *said ? said : "it says nothing";
	at += strlen("message=\"");
	at[strcspn(at, "\"")] = 0;
	return at;
}

static void try_launcher(struct doctor *d)
{
	char path[4200], said[SAID_BYTES];
	if (launcher_path(d, path, sizeof path) || access(path, X_OK)) {
		doctor_say(d, VERDICT_FAIL,
			   "terabits-launcher is not beside this program: set "
			   "TERABITS_BINARIES to where it is");
		return;
	}
	int status = run(path, said);
	char *rest = said, *level = strsep(&rest, "\n"), *summary = strsep(&rest, "\n"),
	     *missing = strsep(&rest, "\n");
	if (status == 0 && missing) {
		say_level(d, "started from here, jails are", level, summary, missing);
		return;
	}
	doctor_say(d, VERDICT_FAIL, "no tool can run here: %s", message_in(said));
}

void doctor_sandbox(struct doctor *d)
{
	if (admin_is_there(d->config.state_dir))
		ask_node(d);
	else
		try_launcher(d);
}
