/* SPDX-License-Identifier: Apache-2.0
 * The bed of the API's tests, from bytes to bytes: an edge between a supervisor
 * (api_link.h) and a Postgres (api_db.h) that do as the test says. One program each. */
#ifndef TB_TEST_API_BED_H
#define TB_TEST_API_BED_H

#include "tests/unit/edge/api_link.h"
#include "tests/unit/edge/api_meter.h"

/* ---- the bed */

static struct client c;

UNUSED static void on_request(void *arg, struct request *r)
{
	r->trusted = db.trusted;
	call_begin(arg, r);
}

UNUSED static int setup(void **state)
{
	(void)state;
	memset(&db, 0, sizeof db);
	memset(&sup, 0, sizeof sup);
	memset(&asks, 0, sizeof asks);
	memset(&meter, 0, sizeof meter);
	memset(&edge, 0, sizeof edge);
	db.scopes = SCOPE_RUN | SCOPE_READ;
	db.agent = (struct agent_row){.max_running = 10,
				      .lane_cap = LIMIT_LANE_WAITING,
				      .drop = DROP_REJECT,
				      .debounce_ms = AGENT_DEBOUNCE_MS};
	bed_open((struct server_config){.on_request = on_request, .arg = &edge});
	edge.loop = bed_loop;
	edge.server = bed_server;
	edge.pool = (struct pg_pool *)&db;
	edge.calls = handles_new();
	edge.subs = handles_new();
	edge.waiting = map_new();
	edge.waiting_most = 4096;
	edge.tokens = auth_cache_new(&edge);
	edge.agents = lookup_agents_new(&edge);
	edge.sessions = lookup_sessions_new(&edge);
	edge.opener = opener_new(&edge);
	edge.linked = edge.ready = true;
	c = client_open();
	return 0;
}

UNUSED static int teardown(void **state)
{
	(void)state;
	uint32_t it = 0;
	client_close(&c);
	memset(&c, 0, sizeof c);
	bed_settle(NULL);
	assert_null(handle_next(edge.calls, &it));
	it = 0;
	assert_null(handle_next(edge.subs, &it));
	assert_int_equal(map_count(edge.waiting), 0);
	opener_free(edge.opener);
	bed_close();
	handles_free(edge.calls);
	handles_free(edge.subs);
	map_free(edge.waiting);
	cache_free(edge.tokens);
	cache_free(edge.agents);
	cache_free(edge.sessions);
	strbuf_fini(&edge.scratch);
	return 0;
}

UNUSED static void say(const char *text)
{
	strbuf_reset(&c.got);
	client_say(&c, text);
}

UNUSED static void post(const char *path, const char *fields, const char *body)
{
	char text[4096];
	snprintf(text, sizeof text,
		 "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s", path,
		 fields, strlen(body), body);
	say(text);
}

UNUSED static void expect(const char *text)
{
	if (!has_text(&c, text))
		fail_msg("no '%s' in: %s", text, c.got.p ? c.got.p : "");
}

UNUSED static void expect_not(const char *text)
{
	if (has_text(&c, text))
		fail_msg("'%s' in: %s", text, c.got.p);
}

/* Text that stands before other text. */
UNUSED static void expect_order(const char *first, const char *second)
{
	expect(first);
	char *at = strstr(c.got.p, first);
	if (!strstr(at + strlen(first), second))
		fail_msg("no '%s' after '%s' in: %s", second, first, c.got.p);
}

/* ---- what Postgres holds */

UNUSED static void completed(void)
{
	db.run = (struct run_row){.found = true,
				  .ended = true,
				  .state = SLICE("completed"),
				  .agent = id(AGENT),
				  .agent_name = SLICE("default"),
				  .session_key = SLICE("web:1"),
				  .accepted_us = 1700000000000000,
				  .started_us = 1700000000000000,
				  .ended_us = 1700000001000000,
				  .text = SLICE("Hello"),
				  .output_seq = 2};
}

UNUSED static void running(void)
{
	completed();
	db.run.ended = false;
	db.run.state = SLICE("running");
	db.run.text = SLICE_NONE;
	db.run.ended_us = 0;
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
