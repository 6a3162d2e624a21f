/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl status and drain: the node of this machine by its admin socket. */
#include "cli/status.h"

#include <stdio.h>

#include "cli/admin.h"
#include "cli/command.h"
#include "common/attr.h"
#include "common/config.h"

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

/* What those that wait, wait for: words of 'run why'. */
static void put_reasons(struct strbuf *out, json_t reasons)
{
	struct json_iter it = json_iter(reasons);
	struct slice word;
	size_t before = out->n;
	for (json_t n; (n = json_next(&it, &word));)
		strbuf_printf(out, "%s%lld %.*s", out->n == before ? "waiting   " : ", ",
			      (long long)json_double(n, 0), SLICE_ARG(word));
	if (out->n > before)
		strbuf_add_char(out, '\n');
}

/* What a node may say beside: the queue's rarer states, rates, how long starts waited. */
static void put_more(struct strbuf *out, json_t s)
{
	static const char *const counts[] = {"claiming", "retrying", "asking",
					     "folded",   "held",     "paused"};
	json_t rates = json_get(s, "rates"), waits = json_get(s, "waits");
	size_t before = out->n;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		json_t v = json_get(s, counts[i]);
		if (json_kind(v) == JSON_BOOL && json_bool(v, false))
			strbuf_printf(out, "%s%s", out->n == before ? "queue     " : ", ",
				      counts[i]);
		else if (number(s, counts[i]))
			strbuf_printf(out, "%s%lld %s",
				      out->n == before ? "queue     " : ", ",
				      number(s, counts[i]), counts[i]);
	}
	if (out->n > before)
		strbuf_add_char(out, '\n');
	if (rates)
		strbuf_printf(out, "rates     %.1f accepted, %.1f ended a second\n",
			      json_double(json_get(rates, "acceptedPerS"), 0),
			      json_double(json_get(rates, "endedPerS"), 0));
	if (waits)
		strbuf_printf(
			out,
			"waits     half at most %lld ms, 99 of 100 at most %lld ms\n",
			number(waits, "p50Ms"), number(waits, "p99Ms"));
	put_reasons(out, json_get(waits, "reasons"));
}

static void put_sandbox(struct strbuf *out, json_t v)
{
	const char *missing = json_cstr(json_get(v, "missing"), "");
	if (!v)
		return;
	strbuf_printf(out, "sandbox   %s: %s\n", word(v, "level"), word(v, "summary"));
	if (*missing)
		strbuf_printf(out, "          %s\n", missing);
}

void status_print(struct strbuf *out, json_t s)
{
	struct json_iter it = json_iter(json_get(s, "children"));
	strbuf_printf(out, "node      %s, pid %lld, version %s\n", word(s, "node"),
		      number(s, "pid"), word(s, "version"));
	strbuf_printf(out, "state     %s, up ", word(s, "state"));
	put_duration(out, number(s, "uptimeMs") / 1000);
	strbuf_printf(out, "\nlisten    %s\nmodel     %s\ndatabase  %s\n",
		      word(s, "listen"), word(s, "model"),
		      json_bool(json_get(s, "database"), false) ? "up" : "away");
	strbuf_printf(out,
		      "runs      %lld running, %lld waiting, %lld delayed in %lld lanes; "
		      "%lld accepted, %lld ended\n",
		      number(s, "running"), number(s, "waiting"), number(s, "delayed"),
		      number(s, "lanes"), number(s, "accepted"), number(s, "ended"));
	put_sandbox(out, json_get(s, "sandbox"));
	put_more(out, s);
	strbuf_add_char(out, '\n');
	strbuf_printf(out, "%-7s %2s  %-8s %8s %18s %10s %7s %12s\n", "CHILD", "NO",
		      "STATE", "PID", "LOAD", "MEMORY", "DEATHS", "WORST TURN");
	for (json_t c; (c = json_next(&it, NULL));)
		put_child(out, c);
}

/* ---- commands */

static struct json_doc *ask(const char *cmd, struct strbuf *line, int *status)
{
	static struct config config;
	AUTO(strbuf_fini) struct strbuf request = STRBUF_INIT;
	config_load(&config);
	strbuf_printf(&request, "{\"cmd\":\"%s\"}\n", cmd);
	return admin_ask(config.state_dir, strbuf_slice(&request), line, status);
}

int status_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf line = STRBUF_INIT, table = STRBUF_INIT;
	int status;
	AUTO(auto_json_free) struct json_doc *d = ask("status", &line, &status);
	if (!d)
		return status;
	if (!args_wants_json(a))
		status_print(&table, json_root(d));
	fputs(args_wants_json(a) ? line.p : table.p, stdout);
	if (args_wants_json(a))
		putchar('\n');
	return EXIT_FINE;
}

int drain_command(const struct args *a)
{
	AUTO(strbuf_fini) struct strbuf line = STRBUF_INIT;
	int status;
	(void)a;
	AUTO(auto_json_free) struct json_doc *d = ask("drain", &line, &status);
	if (!d)
		return status;
	puts("the node takes no more work and stops when its runs have ended");
	return EXIT_FINE;
}
