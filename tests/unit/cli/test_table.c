/* SPDX-License-Identifier: Apache-2.0
 * JSON as tables; the frame of top. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/table.h"
#include "cli/top_view.h"
#include "common/attr.h"

static struct json_doc *doc(const char *text)
{
	struct json_doc *d = json_parse(slice_str(text), 1 << 20, NULL, 0);
	assert_non_null(d);
	return d;
}

static void shows(const char *json, enum format f, const char *text)
{
	AUTO(auto_json_free) struct json_doc *d = doc(json);
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	table_put(&b, json_root(d), f);
	assert_string_equal(b.p, text);
}

static void test_formats(void **state)
{
	(void)state;
	shows("\"text\"", FORMAT_TEXT, "text");
	shows("12", FORMAT_NUMBER, "12");
	shows("null", FORMAT_NUMBER, "-");
	shows("true", FORMAT_YES, "yes");
	shows("false", FORMAT_YES, "-");
	shows("2", FORMAT_YES, "2");
	shows("850", FORMAT_MS, "850 ms");
	shows("12345", FORMAT_MS, "12.3 s");
	shows("245000", FORMAT_MS, "4 min 5 s");
	shows("7380000", FORMAT_MS, "2 h 3 min");
	shows("273600000", FORMAT_MS, "3 d 4 h");
	shows("-1500", FORMAT_MS, "-1.5 s");
	shows("\"soon\"", FORMAT_MS, "soon");
	shows("1234", FORMAT_US, "1.2 ms");
	shows("512", FORMAT_KIB, "512.0 kB");
	shows("2048", FORMAT_KIB, "2.0 MB");
	shows("999", FORMAT_BYTES, "999 B");
	shows("{\"a\":[1,null]}", FORMAT_JSON, "{\"a\":[1,null]}");
}

/* What a tenant wrote must not move the operator's cursor. */
static void test_controls_are_blanks(void **state)
{
	(void)state;
	shows("\"a\\u001b[2Jb\\r\\nc\\u007f\"", FORMAT_TEXT, "a [2Jb  c ");
	shows("\"\\u009b31m\\u00e4\"", FORMAT_TEXT, " 31m\xc3\xa4");
	shows("{\"k\":\"\\u001b]0;\"}", FORMAT_JSON, "{\"k\":\"\\u001B]0;\"}");
}

static void test_paths(void **state)
{
	AUTO(auto_json_free) struct json_doc *d = doc("{\"a\":{\"b\":{\"c\":3}}}");
	int64_t n = 0;
	(void)state;
	assert_true(json_i64(table_at(json_root(d), "a.b.c"), &n));
	assert_int_equal(n, 3);
	assert_ptr_equal(table_at(json_root(d), ""), json_root(d));
	assert_null(table_at(json_root(d), "a.x.c"));
	assert_null(table_at(NULL, "a"));
}

static void prints(enum command_id command, const char *json, const char *text)
{
	AUTO(auto_json_free) struct json_doc *d = doc(json);
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	table_print(&b, json_root(d), &(struct table_view){.command = command});
	assert_string_equal(b.p, text);
}

static void test_tables(void **state)
{
	(void)state;
	prints(COMMAND_tenant_list,
	       "{\"tenants\":[{\"id\":1,\"slug\":\"default\",\"status\":\"active\","
	       "\"weight\":100,\"maxRunning\":50,\"maxQueued\":10000,\"createdAt\":"
	       "\"now\"}"
	       ",{\"id\":12,\"slug\":\"\xc3\xa4\",\"status\":\"suspended\"}]}",
	       "ID  SLUG     STATUS     WEIGHT  MAX RUNNING  MAX QUEUED  CREATED\n"
	       " 1  default  active        100           50       10000  now\n"
	       "12  \xc3\xa4        suspended       -            -           -  -\n");
	prints(COMMAND_tenant_list, "{\"tenants\":[]}", "no tenants\n");
	prints(COMMAND_run_list, "{\"runs\":[],\"total\":0}", "no runs\n");
}

static void test_a_cut_list_says_so(void **state)
{
	AUTO(auto_json_free)
	struct json_doc *d = doc("{\"dead\":[{\"run\":\"r\"}],\"total\":7}");
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	table_print(&b, json_root(d), &(struct table_view){.command = COMMAND_dead_list});
	assert_non_null(strstr(b.p, "1 of 7; --limit shows more\n"));
}

static void test_records_and_sections(void **state)
{
	(void)state;
	prints(COMMAND_lane_show,
	       "{\"session\":\"s\",\"slot\":7,\"paused\":true,\"runs\":[{\"run\":\"r\","
	       "\"ageMs\":1500}]}",
	       "session  s\nslot     7\npaused   yes\n\n"
	       "RUN  STATE  MODE  PRIORITY  POSITION    AGE  DUE IN  CRASHES  WORKER\n"
	       "r    -      -            -         -  1.5 s       -        -       -\n");
}

static int is_r2(const struct args *a, json_t item)
{
	(void)a;
	return slice_is(json_str(json_get(item, "run")), "r2");
}

static void test_filter_and_limit(void **state)
{
	AUTO(auto_json_free)
	struct json_doc *d = doc("{\"dead\":[{\"run\":\"r1\"},{\"run\":\"r2\"},{\"run\":"
				 "\"r2\"}],\"total\":9}");
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	(void)state;
	table_print(&b, json_root(d),
		    &(struct table_view){COMMAND_dead_list, "dead", is_r2, NULL, 1});
	assert_null(strstr(b.p, "r1"));
	const char *first = strstr(b.p, "r2");
	assert_non_null(first);
	assert_null(strstr(first + 1, "r2"));
}

/* ---- top */

#define STATUS(accepted, ended)                                                          \
	"{\"version\":\"1\",\"state\":\"serving\",\"uptimeMs\":61000,\"listen\":\"h:"    \
	"1\","                                                                           \
	"\"database\":true,\"running\":3,\"waiting\":4,\"delayed\":0,\"lanes\":2,"       \
	"\"accepted\":" #accepted ",\"ended\":" #ended "}"

static void test_rates(void **state)
{
	struct top_view v = {0};
	(void)state;
	v.answer[TOP_STATUS] = doc(STATUS(100, 90));
	top_view_rates(&v, 5000000);
	assert_true(v.accepted_rate == 0);
	json_free(v.answer[TOP_STATUS]);
	v.answer[TOP_STATUS] = doc(STATUS(130, 100));
	top_view_rates(&v, 7000000);
	assert_true(v.accepted_rate == 15 && v.ended_rate == 5);
	json_free(v.answer[TOP_STATUS]);
	v.answer[TOP_STATUS] =
		doc("{\"accepted\":1,\"rates\":{\"acceptedPerS\":2.5,\"endedPerS\":1}}");
	top_view_rates(&v, 8000000);
	assert_true(v.accepted_rate == 2.5 && v.ended_rate == 1);
	top_view_fini(&v);
}

/* Sessions in the order of a frame's lanes. */
static void sorted_as(enum top_sort sort, const char *first, const char *last)
{
	struct top_view v = {.sort = sort};
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	v.answer[TOP_STATUS] = doc(STATUS(1, 1));
	v.answer[TOP_LANES] =
		doc("{\"lanes\":["
		    "{\"tenant\":\"b\",\"session\":\"few\",\"waiting\":1,\"worker\":0,"
		    "\"active\":null},"
		    "{\"tenant\":\"c\",\"session\":\"many\",\"waiting\":9,\"worker\":2,"
		    "\"active\":null},"
		    "{\"tenant\":\"a\",\"session\":\"some\",\"waiting\":5,\"worker\":1,"
		    "\"active\":\"r\"}]}");
	top_view_print(&b, &v);
	assert_true(strstr(b.p, first) < strstr(b.p, last));
	assert_non_null(strstr(b.p, "terabits 1  serving, up 1 min 1 s"));
	assert_non_null(strstr(b.p, "worker.list: not asked"));
	top_view_fini(&v);
}

static void test_frame(void **state)
{
	(void)state;
	sorted_as(TOP_BY_WAITING, "many", "some");
	sorted_as(TOP_BY_WAITING, "some", "few");
	sorted_as(TOP_BY_ACTIVE, "some", "many");
	sorted_as(TOP_BY_TENANT, "some", "few");
	sorted_as(TOP_BY_TENANT, "few", "many");
	sorted_as(TOP_BY_WORKER, "few", "some");
	assert_int_equal(top_sort_of("worker"), TOP_BY_WORKER);
	assert_int_equal(top_sort_of(NULL), TOP_BY_WAITING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_controls_are_blanks),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_a_cut_list_says_so),
		cmocka_unit_test(test_records_and_sections),
		cmocka_unit_test(test_filter_and_limit),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_frame),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
