/* SPDX-License-Identifier: Apache-2.0
 * Places of lists, as their texts say them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/attr.h"
#include "edge/place.h"

#define RUN "0192f3a0-0000-7000-8000-0000000000bb"

static void test_places(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",           RUN,         RUN ":1",       RUN ":1:",  RUN "::1",
		RUN ":1:2:3", RUN ":-1:0", RUN ":0:32768", RUN ":1:x", "0192f3a0:1:2",
		":1:2"};
	struct place p;
	assert_true(place_parse(SLICE(RUN ":12:32767"), &p));
	assert_int_equal(p.step, 12);
	assert_int_equal(p.call, 32767);
	assert_int_equal(p.run.b[15], 0xbb);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(place_parse(slice_str(bad[i]), &p));
	assert_int_equal(place_newest().run.b[0], 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_places)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
