/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl doctor: a line a check. */
#include "cli/doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/slice.h"

static const struct {
	const char *name;
	void (*look)(struct doctor *d);
} checks[] = {
#define CHECK(name, function) {#name, function},
#define HEALTH(name, sql)
#include "cli/checks.tbl"
#undef CHECK
#undef HEALTH
};

static void put_json(struct doctor *d, const char *word, const char *text)
{
	json_obj(&d->json);
	json_kv_cstr(&d->json, "check", d->check);
	json_kv_cstr(&d->json, "verdict", word);
	json_kv_cstr(&d->json, "text", text);
	json_obj_end(&d->json);
}

void doctor_say(struct doctor *d, enum verdict v, const char *fmt, ...)
{
	static const char *const words[] = {"ok", "warn", "FAIL"};
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	d->count[v]++;
	if (d->as_json)
		put_json(d, words[v], text ? text : "");
	else
		printf("%-4s  %-24s %s\n", words[v], d->check, text ? text : "");
	fflush(stdout);
	free(text);
}

static void begin(struct doctor *d)
{
	d->as_json = args_wants_json(d->args);
	d->json = json_out(&d->json_text);
	json_obj(&d->json);
	json_key(&d->json, "checks");
	json_arr(&d->json);
}

static void end(struct doctor *d)
{
	json_arr_end(&d->json);
	json_kv_i64(&d->json, "ok", d->count[VERDICT_OK]);
	json_kv_i64(&d->json, "warn", d->count[VERDICT_WARN]);
	json_kv_i64(&d->json, "fail", d->count[VERDICT_FAIL]);
	json_obj_end(&d->json);
	if (d->as_json)
		puts(d->json_text.p);
	else
		printf("\n%d ok, %d warnings, %d failures\n", d->count[VERDICT_OK],
		       d->count[VERDICT_WARN], d->count[VERDICT_FAIL]);
	strbuf_fini(&d->json_text);
}

int doctor_command(const struct args *a)
{
	static struct doctor d;
	int only_invariants = args_has(a, O(invariants));
	d = (struct doctor){.args = a};
	config_load(&d.config);
	begin(&d);
	for (size_t i = 0; i < ARRAY_LEN(checks) && !only_invariants; i++) {
		d.check = checks[i].name;
		checks[i].look(&d);
	}
	doctor_database(&d, only_invariants ? DOCTOR_INVARIANTS : DOCTOR_ALL);
	end(&d);
	return d.count[VERDICT_FAIL] ? EXIT_FAILED : EXIT_FINE;
}
