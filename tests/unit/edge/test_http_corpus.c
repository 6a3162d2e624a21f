/* SPDX-License-Identifier: Apache-2.0
 * What the HTTP door answers to good, odd and hostile requests, in one piece, byte by
 * byte and in random pieces: the answers must be the same. */
#include "tests/unit/edge/bed.h"

#include <time.h>

#include "edge/reply.h"

#define LINE "GET /health HTTP/1.1\r\n"
#define HOST "Host: x\r\n"
#define END "\r\n"
#define GET LINE HOST
#define POST "POST /echo HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

#define FILL(text, count) .fill = (text), .times = (count)

/* The input is `text`, then `fill` repeated `times`, then `tail`. */
struct http_case {
	const char *name, *text, *fill;
	int times;
	const char *tail;
	const char *want;
	bool shut; /* the client sends no more */
	size_t n;  /* of text when it holds NUL bytes */
};

static const struct http_case cases[] = {
	{"plain", GET END, .want = "200"},
	{"dup CL differing", POST "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
	 .want = "400 c"},
	{"dup CL same", POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
	 .want = "400 c"},
	{"CL list 2,2", POST "Content-Length: 2, 2\r\n\r\nab", .want = "400 c"},
	{"CL+TE", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	 .want = "400 c"},
	{"TE xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	 .want = "400 c"},
	{"TE gzip", POST "Transfer-Encoding: gzip\r\n\r\n", .want = "400 c"},
	{"TE chunked, identity",
	 POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", .want = "400 c"},
	{"TE twice chunked",
	 POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	 .want = "400 c"},
	{"TE in HTTP/1.0",
	 "POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	 .want = "400 c"},
	{"chunked ok", CHUNKED "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", .want = "200"},
	{"chunked then another", CHUNKED "3\r\nabc\r\n0\r\n\r\n" GET END,
	 .want = "200,200"},
	{"chunk-size overflow", CHUNKED "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
	 .want = "4xx c"},
	{"chunk 0x2", CHUNKED "0x2\r\nab\r\n0\r\n\r\n", .want = "400 c"},
	{"chunk size -1", CHUNKED "-1\r\nab\r\n0\r\n\r\n", .want = "400 c"},
	{"chunk bare LF", CHUNKED "2\nab\n0\n\n", .want = "400 c"},
	{"chunk ext LF", CHUNKED "2;x\nab\r\n0\r\n\r\n", .want = "400 c"},
	{"chunk no CRLF after data", CHUNKED "2\r\nabXX0\r\n\r\n", .want = "400 c"},
	{"chunk trailers", CHUNKED "2\r\nab\r\n0\r\nX-Evil: 1\r\n\r\n", .want = "400 c"},
	{"chunk of one byte each", CHUNKED, FILL("1\r\nx\r\n", 5000), .tail = "0\r\n\r\n",
	 .want = "200"},
	{"chunk leading zeros flood", CHUNKED, FILL("0000000000000000", 600000),
	 .tail = "1\r\nx\r\n", .want = "4xx c"},
	{"bare LF lines", "GET /health HTTP/1.1\nHost: x\n\n", .want = "400 c"},
	{"bare LF in one line", LINE "Host: x\nX: y\r\n\r\n", .want = "400 c"},
	{"bare CR in value", GET "X: a\rb\r\n\r\n", .want = "400 c"},
	{"NUL in value", GET "X: a\0b\r\n\r\n", .want = "400 c",
	 .n = sizeof(GET "X: a\0b\r\n\r\n") - 1},
	{"NUL in name", GET "X\0Y: b\r\n\r\n", .want = "400 c",
	 .n = sizeof(GET "X\0Y: b\r\n\r\n") - 1},
	{"obs-fold", GET "X: a\r\n b\r\n\r\n", .want = "400 c"},
	{"space before colon", GET "X : a\r\n\r\n", .want = "400 c"},
	{"space before first hdr", LINE " Host: x\r\n\r\n", .want = "400 c"},
	{"empty name", GET ": a\r\n\r\n", .want = "400 c"},
	{"no colon", GET "nonsense\r\n\r\n", .want = "400 c"},
	{"missing Host", LINE END, .want = "400 c"},
	{"missing Host in HTTP/1.0", "GET /health HTTP/1.0\r\n\r\n", .want = "200 c"},
	{"dup Host", GET HOST END, .want = "400 c"},
	{"bad Host", LINE "Host: a b\r\n\r\n", .want = "400 c"},
	{"Host with path", LINE "Host: a/b\r\n\r\n", .want = "400 c"},
	{"Host with user", LINE "Host: u@h\r\n\r\n", .want = "400 c"},
	{"Host with port", LINE "Host: [::1]:80\r\n\r\n", .want = "200"},
	{"1MB header", GET "X: ", FILL("aaaaaaaaaaaaaaaa", 65536), .tail = END END,
	 .want = "431 c"},
	{"100k headers", GET, FILL("A: b\r\n", 100000), .tail = END, .want = "431 c"},
	{"101 headers", GET, FILL("A: b\r\n", 100), .tail = END, .want = "431 c"},
	{"100 headers", GET, FILL("A: b\r\n", 99), .tail = END, .want = "200"},
	{"long URI 32K", "GET /", FILL("a", 32768), .tail = " HTTP/1.1\r\n" HOST END,
	 .want = "414 c"},
	{"long URI 7K", "GET /health?", FILL("a", 7000), .tail = " HTTP/1.1\r\n" HOST END,
	 .want = "200"},
	{"negative CL", POST "Content-Length: -1\r\n\r\n", .want = "400 c"},
	{"CL +2", POST "Content-Length: +2\r\n\r\nab", .want = "400 c"},
	{"CL overflow", POST "Content-Length: 99999999999999999999\r\n\r\nab",
	 .want = "400 c"},
	{"CL 2x", POST "Content-Length: 2x\r\n\r\nab", .want = "400 c"},
	{"CL empty", POST "Content-Length:\r\n\r\n", .want = "400 c"},
	{"absolute-form", "GET http://x/health HTTP/1.1\r\n" HOST END, .want = "200"},
	{"absolute-form without path", "GET http://x HTTP/1.1\r\n" HOST END,
	 .want = "404"},
	{"HTTP/0.9", "GET /health HTTP/0.9\r\n" HOST END, .want = "400 c"},
	{"no version", "GET /health\r\n\r\n", .want = "400 c"},
	{"HTTP/2.0 vers", "GET /health HTTP/2.0\r\n" HOST END, .want = "505 c"},
	{"HTTP/1.9 vers", "GET /health HTTP/1.9\r\n" HOST END, .want = "505 c"},
	{"junk version", "GET /health HTTP/1.x\r\n" HOST END, .want = "400 c"},
	{"lower-case version", "GET /health http/1.1\r\n" HOST END, .want = "400 c"},
	{"pipelined x3", GET END GET END GET END, .want = "200,200,200"},
	{"pipelined x100", "", FILL(GET END, 100), .want = "many"},
	{"pipelined bad 2nd", GET END "GET /health HTTP/1.1\r\n\r\n" GET END,
	 .want = "200,400 c"},
	{"Expect 100", POST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
	 .want = "100"},
	{"Expect bogus", POST "Content-Length: 2\r\nExpect: 200-maybe\r\n\r\nab",
	 .want = "417 c"},
	{"CL over limit", POST "Content-Length: 2000000\r\n\r\n",
	 FILL("aaaaaaaaaaaaaaaa", 125000), .want = "413 c"},
	{"CL over limit, no body sent", POST "Content-Length: 2000000\r\n\r\n",
	 .want = "413 c"},
	{"chunked over limit", CHUNKED, FILL("10\r\naaaaaaaaaaaaaaaa\r\n", 70000),
	 .tail = "0\r\n\r\n", .want = "413 c"},
	{"one chunk over limit", CHUNKED "200000\r\nab", .want = "413 c"},
	{"early close mid-body", POST "Content-Length: 10\r\n\r\nabc", .want = "- c",
	 .shut = true},
	{"early close mid-head", LINE "Hos", .want = "- c", .shut = true},
	{"half close after the request", GET END, .want = "200 c", .shut = true},
	{"invalid UTF-8 path", "GET /%ff%fe HTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"raw 8-bit path", "GET /\xc3\xa4 HTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"overlong UTF-8 path", "GET /%c0%af HTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"%00 in path", "GET /a%00b HTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"bad escape in path", "GET /a%zz HTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"cut escape in path", "GET /a%4 HTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"CTL in path", "GET /a\x01 HTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"fragment in path", "GET /health#x HTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"lower-case method", "get /health HTTP/1.1\r\n" HOST END, .want = "501 c"},
	{"unknown method", "BREW /health HTTP/1.1\r\n" HOST END, .want = "501 c"},
	{"HEAD", "HEAD /health HTTP/1.1\r\n" HOST END, .want = "200(short)"},
	{"CONNECT", "CONNECT x:80 HTTP/1.1\r\n" HOST END, .want = "501 c"},
	{"TRACE", "TRACE /health HTTP/1.1\r\n" HOST END, .want = "501 c"},
	{"Upgrade h2c",
	 GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
	     "HTTP2-Settings: AAMAAABk\r\n\r\n",
	 .want = "200"},
	{"Upgrade with a body, then another",
	 POST
	 "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab" GET END,
	 .want = "200,200"},
	{"tab sep request line", "GET\t/health\tHTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"two spaces req line", "GET  /health HTTP/1.1\r\n" HOST END, .want = "400 c"},
	{"space after version", "GET /health HTTP/1.1 \r\n" HOST END, .want = "400 c"},
	{"leading CRLF", "\r\n\r\n" GET END, .want = "200"},
	{"leading CRLF flood", "", FILL("\r\n", 50), .tail = GET END, .want = "400 c"},
	{"PRI h2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .want = "505 c"},
	{"GET with body smuggle",
	 GET "Content-Length: 34\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n\n",
	 .want = "200"},
	{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", .want = "400 c",
	 .n = 11},
	{"connection: close", GET "Connection: close\r\n\r\n" GET END, .want = "200 c"},
	{"HTTP/1.0 keep-alive", "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	 .want = "200"},
	{"empty value", GET "X:\r\n\r\n", .want = "200"},
	{"unknown path", "GET /nothing HTTP/1.1\r\n" HOST END, .want = "404"},
};

/* GET and HEAD /health: 200; POST /echo: the body's length. */
static void on_request(void *arg, struct request *r)
{
	char text[32];
	(void)arg;
	if (slice_is(r->head.path, "/health")) {
		reply_head(r, 200);
		reply_body(r, "text/plain", SLICE("fine\n"));
	} else if (slice_is(r->head.path, "/echo")) {
		snprintf(text, sizeof text, "%zu\n", r->body.n);
		reply_head(r, 200);
		reply_body(r, "text/plain", slice_str(text));
	} else {
		reply_err(r, ERR_NOT_FOUND, NULL, NULL, 0);
	}
}

static struct strbuf build(const struct http_case *c)
{
	struct strbuf b = STRBUF_INIT;
	strbuf_add(&b, c->text, c->n ? c->n : strlen(c->text));
	for (int i = 0; i < c->times; i++)
		strbuf_add_str(&b, c->fill);
	if (c->tail)
		strbuf_add_str(&b, c->tail);
	return b;
}

/* pieces: 0 one piece, 1 byte by byte, 2 random pieces. */
static void play(const struct http_case *c, int pieces, char *summary, size_t size)
{
	AUTO(strbuf_fini) struct strbuf in = build(c);
	struct client client = client_open();
	for (size_t at = 0; at < in.n && !client.closed;) {
		size_t n = pieces == 0 ? in.n : pieces == 1 ? 1 : 1 + (size_t)rand() % 40;
		if (n > in.n - at)
			n = in.n - at;
		client_send(&client, in.p + at, n);
		at += n;
		if (pieces && has_text(&client, "connection: close"))
			break;
	}
	if (c->shut)
		shutdown(client.fd, SHUT_WR);
	bed_settle(&client);
	client_summary(&client, summary, size);
	client_close(&client);
	loop_turn(bed_loop, 0);
}

static bool is_wanted(const char *want, const char *got)
{
	if (!strcmp(want, "many"))
		return strlen(got) == 100 * 4 - 1 && !strchr(got, 'c');
	if (!strcmp(want, "4xx c"))
		return got[0] == '4' && !strcmp(got + 3, " c");
	return !strcmp(want, got);
}

static void play_all(int pieces)
{
	bed_open((struct server_config){.on_request = on_request});
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[512];
		if (pieces == 1 && cases[i].times > 5000)
			continue;
		play(&cases[i], pieces, got, sizeof got);
		if (!is_wanted(cases[i].want, got))
			fail_msg("%s: wanted %s, got %s", cases[i].name, cases[i].want,
				 got);
	}
	bed_close();
}

static void test_in_one_piece(void **state)
{
	(void)state;
	play_all(0);
}

static void test_byte_by_byte(void **state)
{
	(void)state;
	play_all(1);
}

static void test_random_pieces(void **state)
{
	(void)state;
	unsigned seed = (unsigned)time(NULL);
	print_message("seed %u\n", seed);
	srand(seed);
	play_all(2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_one_piece),
					   cmocka_unit_test(test_byte_by_byte),
					   cmocka_unit_test(test_random_pieces)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
