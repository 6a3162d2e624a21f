/* SPDX-License-Identifier: Apache-2.0
 * From an operator's request to the question, and from its parts to one answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/alloc.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_names.h"
#include "tests/unit/supervisor/admin_inquiries.h"

static struct sup *const nobody;
static struct ask ask;
static char said[200];
static int holds;

void ask_hold(struct ask *a)
{
	(void)a;
	holds++;
}
void ask_release(struct ask *a)
{
	(void)a;
	holds--;
}
bool ask_is_over(const struct ask *a)
{
	return a->over;
}
void ask_fail(struct ask *a, enum err e, const char *fmt, ...)
{
	va_list ap;
	(void)e;
	va_start(ap, fmt);
	vsnprintf(said, sizeof said, fmt, ap);
	va_end(ap);
	a->over = true;
}
void ask_end_with(struct ask *a, struct slice json)
{
	snprintf(said, sizeof said, "%.*s", SLICE_ARG(json));
	a->over = true;
}
void names_find_run(struct ask *a, void (*then)(struct ask *a))
{
	a->names.tenant = 5;
	then(a);
}

static int begin(void **state)
{
	(void)state;
	ask = (struct ask){.sup = nobody, .by = "uid:7"};
	*said = 0;
	holds = 0;
	return 0;
}

static void test_a_request(void **state)
{
	(void)state;
	ask.args[ARG_RUN] = (struct arg){.given = true, .uuid = {{3}}};
	ask.args[ARG_STEP] = (struct arg){.given = true, .is_number = true, .number = 3};
	admin_run_request(&ask);
	assert_string_equal(said, "{\"ok\":\"true\"}");
	assert_int_equal(inquired.kind, INQUIRY_REQUEST);
	assert_int_equal(inquired.tenant, 5);
	assert_int_equal(inquired.step, 3);
	assert_int_equal(inquired.object.b[0], 3);
	assert_true(slice_is(inquired.by, "uid:7"));
	assert_int_equal(holds, 0);
	/* The command waits as long as the question may take. */
	assert_true(ask.limit_us > INQUIRY_MS * 1000ll);
}

static void test_a_key(void **state)
{
	(void)state;
	ask.args[ARG_KEY] = (struct arg){.given = true, .uuid = {{4}}};
	ask.args[ARG_TENANT] = (struct arg){.given = true, .is_number = true};
	admin_key_test(&ask); /* the platform's */
	assert_string_equal(said, "it is full");
	assert_int_equal(inquired.kind, INQUIRY_KEY);
	assert_int_equal(inquired.object.b[0], 4);
	ask.over = false;
	ask.args[ARG_TENANT].number = 2;
	ask.args[ARG_MODEL] = (struct arg){.given = true, .text = SLICE("m")};
	admin_key_test(&ask);
	assert_string_equal(said, "{\"ok\":\"true\"}");
	assert_true(slice_is(inquired.model, "m"));
	ask.over = false;
	ask.args[ARG_TENANT] = (struct arg){.given = true, .text = SLICE("two")};
	admin_key_test(&ask);
	assert_string_equal(said, "tenant: a number is needed");
	assert_int_equal(holds, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_a_request, begin),
		cmocka_unit_test_setup(test_a_key, begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
