/* SPDX-License-Identifier: Apache-2.0
 * The whole door under arbitrary bytes: connection, parser, route, handler and its
 * reading of the body, in place of Postgres and the supervisor those of the unit tests.
 * The first byte says in which pieces the rest comes; the second one the route whose body
 * it is, 0: it is all of the request. Whatever comes, the call ends and leaves nothing.
 */
#include "tests/unit/edge/api_bed.h"

#include "common/die.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The path of a route, with things of the bed in it. */
static void put_path(struct strbuf *out, const char *pattern)
{
	static const char *const words[] = {"default", RUN, "1"};
	struct slice rest = slice_str(pattern);
	unsigned n = strstr(pattern, "/agents/:") ? 0 : 1;
	for (rest.p++, rest.n--; rest.p;) {
		struct slice word = slice_cut(&rest, '/');
		strbuf_add_char(out, '/');
		if (slice_is(word, ":"))
			strbuf_add_str(out, words[n++ % ARRAY_LEN(words)]);
		else
			strbuf_add_slice(out, word);
	}
}

static const char *method_of(unsigned methods)
{
	return methods & METHOD_POST     ? "POST"
	       : methods & METHOD_PUT    ? "PUT"
	       : methods & METHOD_PATCH  ? "PATCH"
	       : methods & METHOD_DELETE ? "DELETE"
					 : "GET";
}

static void put_request(struct strbuf *out, unsigned route, struct slice body)
{
	const struct route_row *row =
		route_row((enum route)(1 + route % (ROUTE__COUNT - 1)));
	strbuf_printf(out, "%s ", method_of(row->methods));
	put_path(out, row->pattern);
	strbuf_printf(out,
		      " HTTP/1.1\r\nHost: x\r\n" BEARER "Content-Length: %zu\r\n\r\n",
		      body.n);
	strbuf_add_slice(out, body);
}

/* The client goes, then the supervisor, then the door; nothing of a call is left. What
 * waits for a Postgres that this bed has not, ends with its connection. */
static void finish(void)
{
	uint32_t it = 0, sub = 0;
	client_close(&c);
	memset(&c, 0, sizeof c);
	bed_settle(NULL);
	call_lost(&edge);
	bed_settle(NULL);
	server_free(bed_server);
	loop_turn(bed_loop, 0);
	check(!handle_next(edge.calls, &it) && !handle_next(edge.subs, &sub));
	check(map_count(edge.waiting) == 0);
	opener_free(edge.opener);
	loop_turn(bed_loop, 0);
	loop_free(bed_loop);
	handles_free(edge.calls);
	handles_free(edge.subs);
	map_free(edge.waiting);
	map_free(edge.transfers);
	cache_free(edge.tokens);
	cache_free(edge.agents);
	cache_free(edge.sessions);
	strbuf_fini(&edge.scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(strbuf_fini) struct strbuf in = STRBUF_INIT;
	if (size < 3)
		return 0;
	struct slice all = slice_of(data + 2, size - 2);
	size_t step = data[0] < 128 ? all.n + 4096 : 1 + data[0] % 64;
	setup(NULL);
	edge.transfers = map_new();
	db.scopes = SCOPE_RUN | SCOPE_READ | SCOPE_WRITE | SCOPE_ADMIN;
	if (data[0] & 1)
		completed();
	if (data[1])
		put_request(&in, data[1], all);
	else
		strbuf_add_slice(&in, all);
	for (size_t at = 0; at < in.n && !c.closed; at += step)
		client_send(&c, in.p + at, step < in.n - at ? step : in.n - at);
	bed_settle(&c);
	check(data[1] == 0 || c.got.n == 0 || !strncmp(c.got.p, "HTTP/1.1 ", 9));
	finish();
	return 0;
}
