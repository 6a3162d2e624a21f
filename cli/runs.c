/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl run wait and run tail: a run through the node's HTTP door. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/ask.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/clock.h"

#define ASK_MOST_MS 30000
#define ASK_MARGIN_US 10000000
#define AWAY_TRIES 10
#define AWAY_PAUSE_US 500000
#define ANSWER_MOST ((size_t)1 << 20)

/* ---- tail */

int run_tail_command(const struct args *a)
{
	static struct config config;
	struct render out;
	struct node node;
	struct uuid run;
	uuid_parse(slice_str(a->text[PARAM_run]), &run);
	config_load(&config);
	render_init(&out, args_wants_json(a) ? RENDER_JSON : RENDER_TEXT);
	int status = node_open(&node, &config, NODE_TOKEN)
			     ? EXIT_FAILED
			     : follow_run(&node, &out, run, NULL);
	node_close(&node);
	return status;
}

/* ---- wait */

struct waiting {
	const struct args *args;
	struct node *node;
	int64_t until_us; /* INT64_MAX: no limit */
	int tries;
};

/* Milliseconds for the next question, at most. */
static int64_t next_ms(const struct waiting *w)
{
	int64_t left = (w->until_us - clock_mono_us()) / 1000;
	return left < 0 ? 0 : left < ASK_MOST_MS ? left : ASK_MOST_MS;
}

static int time_is_over(const struct waiting *w)
{
	return clock_mono_us() >= w->until_us;
}

/* What an answer of 200 says; -1: the run goes on. */
static int judge(struct waiting *w, const struct node_answer *a)
{
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&a->body), ANSWER_MOST, NULL, 0);
	struct slice status = json_str(json_get(json_root(d), "status"));
	if (!status.p) {
		report("%s answered no status: is this a Terabits node?", w->node->url);
		return EXIT_FAILED;
	}
	w->tries = 0;
	if (slice_is(status, "timeout") && !time_is_over(w))
		return -1;
	ask_print(w->args, slice_trim(strbuf_slice(&a->body)), json_root(d));
	if (slice_is(status, "timeout"))
		report("run %s has not ended in %ld s; 'run why' says what it waits for",
		       w->args->text[PARAM_run], args_number(w->args, PARAM_seconds, 0));
	return slice_is(status, "timeout") ? EXIT_TIMEOUT
	       : slice_is(status, "ok")    ? EXIT_FINE
					   : EXIT_FAILED;
}

static int is_weather(const struct node_answer *a)
{
	return a->err || a->status == 502 || a->status == 503;
}

/* The node is away or cannot answer now; -1: try again. */
static int pause_or_end(struct waiting *w, const struct node_answer *a)
{
	if (w->tries++ < AWAY_TRIES && !time_is_over(w)) {
		usleep(AWAY_PAUSE_US);
		return -1;
	}
	node_report(w->node, a);
	return a->err ? EXIT_AWAY : EXIT_FAILED;
}

static int wait_once(struct waiting *w)
{
	char path[120];
	struct node_answer a;
	int64_t ms = next_ms(w);
	int status = EXIT_FAILED;
	snprintf(path, sizeof path, "/v1/runs/%s/wait?timeoutMs=%lld",
		 w->args->text[PARAM_run], (long long)ms);
	node_call(w->node,
		  &(struct node_request){.method = "GET",
					 .path = path,
					 .total_us = ms * 1000 + ASK_MARGIN_US},
		  &a);
	if (!a.err && a.status == 200) {
		status = judge(w, &a);
	} else if (is_weather(&a)) {
		status = pause_or_end(w, &a);
	} else {
		node_report(w->node, &a);
		status = a.status == 404 ? EXIT_ABSENT : EXIT_FAILED;
	}
	node_answer_fini(&a);
	return status;
}

int run_wait_command(const struct args *a)
{
	static struct config config;
	struct node node;
	struct waiting w = {.args = a, .node = &node, .until_us = INT64_MAX};
	int status = EXIT_FAILED;
	if (args_has(a, O(seconds)))
		w.until_us = clock_mono_us() + a->number[PARAM_seconds] * 1000000;
	config_load(&config);
	if (node_open(&node, &config, NODE_TOKEN) == 0)
		do
			status = wait_once(&w);
		while (status < 0);
	node_close(&node);
	return status;
}
