/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl status and drain: the node of this machine by its admin socket. */
#include "cli/status.h"

#include <stdio.h>

#include "cli/admin.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/config.h"

#define ANSWER_MOST ((size_t)1 << 20)

/* ---- the table */

static long long number(json_t v, const char *key)
{
	int64_t n = 0;
	json_i64(json_get(v, key), &n);
	return n;
}

static const char *word(json_t v, const char *key)
{
	return json_cstr(json_get(v, key), "?");
}

static void put_duration(struct strbuf *out, long long seconds)
{
	if (seconds >= 86400)
		strbuf_printf(out, "%lld d ", seconds / 86400);
	if (seconds >= 3600)
		strbuf_printf(out, "%lld h ", seconds / 3600 % 24);
	if (seconds >= 60)
		strbuf_printf(out, "%lld min ", seconds / 60 % 60);
	strbuf_printf(out, "%lld s", seconds % 60);
}

static void put_child(struct strbuf *out, json_t c)
{
	char pid[24] = "-";
	int is_edge = json_get(c, "connections") != NULL;
	if (number(c, "pid") > 0)
		snprintf(pid, sizeof pid, "%lld", number(c, "pid"));
	strbuf_printf(out, "%-7s %2lld  %-8s %8s %6lld %-11s %7.1f MB %7lld %9.1f ms\n",
		      word(c, "kind"), number(c, "ordinal"), word(c, "state"), pid,
		      number(c, is_edge ? "connections" : "runs"),
		      is_edge ? "connections" : "runs",
		      (double)number(c, "rssKib") / 1024.0, number(c, "deaths"),
		      (double)number(c, "worstTurnUs") / 1000.0);
}

void status_print(struct strbuf *out, json_t s)
{
	struct json_iter it = json_iter(json_get(s, "children"));
	strbuf_printf(out, "node      %s, pid %lld, version %s\n", word(s, "node"),
		      number(s, "pid"), word(s, "version"));
	strbuf_printf(out, "state     %s, up ", word(s, "state"));
	put_duration(out, number(s, "uptimeMs") / 1000);
	strbuf_printf(out, "\nlisten    http://%s\nmodel     %s\ndatabase  %s\n",
		      word(s, "listen"), word(s, "model"),
		      json_bool(json_get(s, "database"), false) ? "up" : "away");
	strbuf_printf(out,
		      "runs      %lld running, %lld waiting, %lld delayed in %lld lanes; "
		      "%lld accepted, %lld ended\n\n",
		      number(s, "running"), number(s, "waiting"), number(s, "delayed"),
		      number(s, "lanes"), number(s, "accepted"), number(s, "ended"));
	strbuf_printf(out, "%-7s %2s  %-8s %8s %18s %10s %7s %12s\n", "CHILD", "NO",
		      "STATE", "PID", "LOAD", "MEMORY", "DEATHS", "WORST TURN");
	for (json_t c; (c = json_next(&it, NULL));)
		put_child(out, c);
}

/* ---- commands */

/* Asks and parses. NULL: reported, *status is the exit status. */
static struct json_doc *ask(const char *command, struct strbuf *line, int *status)
{
	static struct config config;
	char why[160];
	config_load(&config);
	*status = admin_ask(config.state_dir, command, line);
	if (*status)
		return NULL;
	struct json_doc *d = json_parse(strbuf_slice(line), ANSWER_MOST, why, sizeof why);
	const char *error = d ? json_cstr(json_get(json_root(d), "error"), NULL) : why;
	if (!error)
		return d;
	report("the node answered: %s", error);
	json_free(d);
	*status = EXIT_FAILED;
	return NULL;
}

int status_command(int argc, char **argv)
{
	AUTO(strbuf_fini) struct strbuf line = STRBUF_INIT, table = STRBUF_INIT;
	int as_json = 0, status;
	const struct args_option options[] = {{"--json", ARGS_FLAG, &as_json, 0, 0}};
	if (args_take(options, ARRAY_LEN(options), argc, argv, ARGS_NO_WORDS) < 0)
		return EXIT_USAGE;
	AUTO(auto_json_free) struct json_doc *d = ask("status", &line, &status);
	if (!d)
		return status;
	if (!as_json)
		status_print(&table, json_root(d));
	fputs(as_json ? line.p : table.p, stdout);
	if (as_json)
		putchar('\n');
	return EXIT_FINE;
}

int drain_command(int argc, char **argv)
{
	AUTO(strbuf_fini) struct strbuf line = STRBUF_INIT;
	int status;
	if (args_take(NULL, 0, argc, argv, ARGS_NO_WORDS) < 0)
		return EXIT_USAGE;
	AUTO(auto_json_free) struct json_doc *d = ask("drain", &line, &status);
	if (!d)
		return status;
	puts("the node takes no more work and stops when its runs have ended");
	return EXIT_FINE;
}
