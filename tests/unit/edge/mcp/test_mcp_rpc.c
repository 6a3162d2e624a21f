/* SPDX-License-Identifier: Apache-2.0
 * The ladder of rules, rung by rung; whence a request may come; arguments of tools. */
#include "tests/unit/edge/some_events.h"

#include "edge/cors.h"
#include "edge/mcp/mcp_origin.h"
#include "edge/mcp/mcp_rpc.h"
#include "edge/mcp/mcp_tools.h"

#define META(version)                                                                    \
	"\"_meta\":{\"" MCP_META "protocolVersion\":\"" version "\",\"" MCP_META         \
	"clientCapabilities\":{}}"
#define ASK(method, params)                                                              \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":{" params "}}"
#define TELL(method, params)                                                             \
	"{\"jsonrpc\":\"2.0\",\"method\":\"" method "\",\"params\":{" params "}}"
#define NEW MCP_MODERN
#define OLD "2025-11-25"

static const struct {
	const char *body, *version, *method, *name; /* headers; NULL: none */
	int status, code;                           /* 0: it is taken */
	bool modern;
} cases[] = {
	{"", NULL, NULL, NULL, 400, RPC_PARSE_ERROR, false},
	{"{", NULL, NULL, NULL, 400, RPC_PARSE_ERROR, false},
	{"[]", NULL, NULL, NULL, 400, RPC_INVALID_REQUEST, false},
	{"5", NULL, NULL, NULL, 400, RPC_INVALID_REQUEST, false},
	{"{}", NULL, NULL, NULL, 400, RPC_INVALID_REQUEST, false},
	{"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", NULL, NULL, NULL, 400,
	 RPC_INVALID_REQUEST, false},
	{"{\"jsonrpc\":\"2.0\",\"id\":1}", NULL, NULL, NULL, 400, RPC_INVALID_REQUEST,
	 false},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":[]}", NULL, NULL,
	 NULL, 400, RPC_INVALID_REQUEST, false},
	/* with a handshake */
	{ASK("initialize", "\"protocolVersion\":\"2025-06-18\""), NULL, NULL, NULL, 0, 0,
	 false},
	{ASK("initialize", "\"protocolVersion\":\"1999-01-01\""), NULL, NULL, NULL, 0, 0,
	 false},
	{ASK("initialize", ""), NULL, NULL, NULL, 200, RPC_INVALID_PARAMS, false},
	{ASK("initialize", "\"protocolVersion\":\"" OLD "\""), NEW, NULL, NULL, 400,
	 RPC_HEADER_MISMATCH, false},
	{ASK("tools/list", ""), NULL, NULL, NULL, 0, 0, false},
	{ASK("tools/list", ""), OLD, "other", "other", 0, 0, false},
	{ASK("tools/list", ""), "1999-01-01", NULL, NULL, 400, RPC_UNSUPPORTED_VERSION,
	 false},
	{TELL("notifications/initialized", ""), OLD, NULL, NULL, 0, 0, false},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", OLD, NULL, NULL, 0, 0, false},
	/* without */
	{ASK("tools/list", META(NEW)), NEW, "tools/list", NULL, 0, 0, true},
	{ASK("tools/list", META(NEW)), " " NEW " ", "\ttools/list ", NULL, 0, 0, true},
	{ASK("tools/list", ""), NEW, "tools/list", NULL, 400, RPC_INVALID_PARAMS, true},
	{ASK("tools/list", "\"_meta\":{}"), NEW, "tools/list", NULL, 400,
	 RPC_INVALID_PARAMS, true},
	{ASK("tools/list", "\"_meta\":{\"" MCP_META "protocolVersion\":\"" NEW "\"}"),
	 NEW, "tools/list", NULL, 400, RPC_INVALID_PARAMS, true},
	{ASK("tools/list", "\"_meta\":{\"" MCP_META "protocolVersion\":5,\"" MCP_META
			   "clientCapabilities\":{}}"),
	 NEW, "tools/list", NULL, 400, RPC_INVALID_PARAMS, true},
	{ASK("tools/list", META("v9")), "v9", "tools/list", NULL, 400,
	 RPC_UNSUPPORTED_VERSION, true},
	{ASK("tools/list", META("v9")), NEW, "tools/list", NULL, 400, RPC_HEADER_MISMATCH,
	 true},
	{ASK("tools/list", META(NEW)), OLD, "tools/list", NULL, 400, RPC_HEADER_MISMATCH,
	 true},
	{ASK("tools/list", META(NEW)), NULL, "tools/list", NULL, 400, RPC_HEADER_MISMATCH,
	 true},
	{ASK("tools/list", META(NEW)), NEW, NULL, NULL, 400, RPC_HEADER_MISMATCH, true},
	{ASK("tools/list", META(NEW)), NEW, "TOOLS/LIST", NULL, 400, RPC_HEADER_MISMATCH,
	 true},
	{ASK("tools/call", "\"name\":\"a\"," META(NEW)), NEW, "tools/call", "a", 0, 0,
	 true},
	{ASK("tools/call", "\"name\":\"a\"," META(NEW)), NEW, "tools/call", NULL, 400,
	 RPC_HEADER_MISMATCH, true},
	{ASK("tools/call", "\"name\":\"a\"," META(NEW)), NEW, "tools/call", "b", 400,
	 RPC_HEADER_MISMATCH, true},
	{ASK("initialize", META(NEW)), NEW, "initialize", NULL, 0, 0, true},
	{TELL("notifications/cancelled", ""), NEW, "notifications/cancelled", NULL, 0, 0,
	 true},
	{TELL("notifications/cancelled", ""), NEW, "other", NULL, 400,
	 RPC_HEADER_MISMATCH, true},
};

static void test_the_ladder(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mcp_headers h = {slice_str(cases[i].version),
					slice_str(cases[i].method),
					slice_str(cases[i].name)};
		struct mcp_rpc r;
		struct mcp_fault f;
		bool fine = mcp_rpc_read(slice_str(cases[i].body), 1000, &h, &r, &f);
		if (fine != !cases[i].status || f.status != cases[i].status ||
		    f.code != cases[i].code ||
		    (r.method.n && r.is_modern != cases[i].modern))
			fail_msg("%s with %s: %d %d %s", cases[i].body,
				 cases[i].version ? cases[i].version : "none", f.status,
				 f.code, f.message);
		mcp_rpc_fini(&r);
	}
}

static void test_methods_of_the_eras(void **state)
{
	(void)state;
	struct mcp_rpc old = {0}, new = {.is_modern = true};
	static const struct {
		const char *method;
		bool old, new;
	} methods[] = {{"initialize", true, false},       {"ping", true, false},
		       {"server/discover", false, true},  {"tools/list", true, true},
		       {"tools/call", true, true},        {"prompts/list", false, false},
		       {"logging/setLevel", false, false}};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		old.method = new.method = slice_str(methods[i].method);
		assert_true(mcp_method_exists(&old) == methods[i].old);
		assert_true(mcp_method_exists(&new) == methods[i].new);
	}
	assert_string_equal(mcp_version_for(SLICE("2025-03-26")), "2025-03-26");
	assert_string_equal(mcp_version_for(SLICE(MCP_MODERN)), OLD);
	assert_string_equal(mcp_version_for(SLICE("x")), OLD);
}

static void test_whence_a_request_may_come(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		bool host, origin;
	} words[] = {{"localhost", true, false},
		     {"LocalHost:8080", true, false},
		     {"127.0.0.1:80", true, false},
		     {"[::1]:80", true, false},
		     {"192.168.1.2:80", true, false},
		     {"[fe80::1]", true, false},
		     {"evil.example.com", false, false},
		     {"127.evil.com", false, false},
		     {"localhost.evil.com", false, false},
		     {"", false, false},
		     {"[", false, false},
		     {"http://localhost:3000", false, true},
		     {"http://127.0.0.1", false, true},
		     {"http://[::1]:5", false, true},
		     {"http://192.168.1.2", false, false},
		     {"http://evil.example.com", false, false},
		     {"null", false, false}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct slice w = slice_str(words[i].word);
		if (mcp_host_is_fine(w) != words[i].host)
			fail_msg("host %s", words[i].word);
		if (mcp_origin_is_fine(w) != words[i].origin)
			fail_msg("origin %s", words[i].word);
	}
	assert_true(mcp_origin_is_fine(SLICE_NONE));
}

static void test_what_is_configured_may_come_too(void **state)
{
	(void)state;
	char why[200];
	struct cors *c =
		cors_new("https://app.example:8443, http://b.example", why, sizeof why);
	assert_non_null(c);
	assert_true(cors_names(c, SLICE("https://app.example:8443")));
	assert_false(cors_names(c, SLICE("https://app.example")));
	assert_true(cors_names_host(c, SLICE("APP.example:8443")));
	assert_true(cors_names_host(c, SLICE("b.example")));
	assert_false(cors_names_host(c, SLICE("example")));
	cors_free(c);
	assert_false(cors_names(NULL, SLICE("http://b.example")));
	assert_false(cors_names_host(NULL, SLICE("b.example")));
}

static void check_args(const char *tool, const char *args, const char *says)
{
	char why[256] = "";
	const struct mcp_tool *t = mcp_tool_find(slice_str(tool), SCOPE_ADMIN);
	assert_non_null(t);
	struct json_doc *doc = args ? json_parse(slice_str(args), 1000, NULL, 0) : NULL;
	bool fine = mcp_args_check(t, json_root(doc), why, sizeof why);
	assert_true(fine == !says);
	if (says && !strstr(why, says))
		fail_msg("%s %s: %s", tool, args, why);
	json_free(doc);
}

static void test_arguments(void **state)
{
	(void)state;
	check_args("sessions_list", NULL, NULL);
	check_args("sessions_list", "{\"limit\":200,\"status\":\"any\"}", NULL);
	check_args("sessions_list", "[]", "must be an object");
	check_args("sessions_list", "{\"limit\":201}", "limit must be an integer");
	check_args("sessions_list", "{\"limit\":\"1\"}", "limit must be an integer");
	check_args("sessions_list", "{\"status\":\"gone\"}", "status must be one of");
	check_args("sessions_list", "{\"agent\":\"\"}", "agent must be a string of 1 to");
	check_args("sessions_list", "{\"x\":1}", "no argument \"x\"");
	check_args("sessions_history", "{\"includeTools\":1}", "true or false");
	check_args("sessions_send", "{}", "message is missing");
}

static void test_scopes(void **state)
{
	(void)state;
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	assert_null(mcp_tool_find(SLICE("sessions_send"), SCOPE_READ));
	assert_null(mcp_tool_find(SLICE("run_get"), SCOPE_WRITE));
	assert_non_null(mcp_tool_find(SLICE("sessions_send"), SCOPE_RUN));
	assert_null(mcp_tool_find(SLICE("x"), SCOPE_ADMIN));
	mcp_tools_put(&o, SCOPE_READ);
	struct json_doc *doc = json_parse(strbuf_slice(&b), b.n, NULL, 0);
	assert_non_null(doc);
	struct json_iter it = json_iter(json_root(doc));
	for (json_t t; (t = json_next(&it, NULL));)
		assert_true(json_bool(
			json_get(json_get(t, "annotations"), "readOnlyHint"), false));
	json_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_ladder),
		cmocka_unit_test(test_methods_of_the_eras),
		cmocka_unit_test(test_whence_a_request_may_come),
		cmocka_unit_test(test_what_is_configured_may_come_too),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_scopes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
