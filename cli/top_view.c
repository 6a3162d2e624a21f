/* SPDX-License-Identifier: Apache-2.0
 * Four questions, and the tables of the commands that ask them alone. */
#include "cli/top_view.h"

#include <stdlib.h>
#include <string.h>

#include "cli/admin.h"
#include "cli/report.h"
#include "cli/table.h"
#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"

#define LANES_ASKED 200
#define TENANTS_ASKED 5 /* the lanes come below them, and must be seen */

static const char *const sort_words[] = {"waiting", "active", "tenant", "worker"};

const char *top_sort_word(enum top_sort s)
{
	return sort_words[s];
}

enum top_sort top_sort_of(const char *word)
{
	for (int i = 0; word && i < TOP_SORT__COUNT; i++)
		if (!strcmp(sort_words[i], word))
			return (enum top_sort)i;
	return TOP_BY_WAITING;
}

/* ---- asking */

static const char *const questions[] = {"status", "queue.stats", "worker.list",
					"lane.list"};

static void compose(struct strbuf *out, enum top_question q)
{
	struct json_out o = admin_begin(out, questions[q]);
	if (q == TOP_LANES || q == TOP_STATS)
		json_kv_i64(&o, "limit", q == TOP_LANES ? LANES_ASKED : TENANTS_ASKED);
	admin_end(&o);
}

static int ask(struct top_view *v, const char *state, enum top_question q)
{
	AUTO(strbuf_fini) struct strbuf request = STRBUF_INIT, line = STRBUF_INIT;
	int status;
	compose(&request, q);
	json_free(v->answer[q]);
	strbuf_reset(&v->problem[q]);
	report_into(&v->problem[q]);
	v->answer[q] = admin_ask(state, strbuf_slice(&request), &line, &status);
	report_into(NULL);
	return status;
}

int top_view_refresh(struct top_view *v, const char *state)
{
	int status = ask(v, state, TOP_STATUS);
	for (int q = TOP_STATS; q < TOP_QUESTIONS; q++) {
		if (!status) {
			ask(v, state, (enum top_question)q);
			continue;
		}
		json_free(v->answer[q]);
		v->answer[q] = NULL;
	}
	if (!status)
		top_view_rates(v, clock_mono_us());
	return status;
}

void top_view_fini(struct top_view *v)
{
	for (int q = 0; q < TOP_QUESTIONS; q++) {
		json_free(v->answer[q]);
		strbuf_fini(&v->problem[q]);
		v->answer[q] = NULL;
	}
}

/* ---- the head */

static int64_t number(json_t v, const char *key)
{
	int64_t n = 0;
	json_i64(json_get(v, key), &n);
	return n;
}

void top_view_rates(struct top_view *v, int64_t now_us)
{
	json_t s = json_root(v->answer[TOP_STATUS]), told = json_get(s, "rates");
	int64_t accepted = number(s, "accepted"), ended = number(s, "ended");
	double seconds = (double)(now_us - v->seen_us) / 1e6;
	if (told) {
		v->accepted_rate = json_double(json_get(told, "acceptedPerS"), 0);
		v->ended_rate = json_double(json_get(told, "endedPerS"), 0);
	} else if (v->seen_us && seconds > 0 && accepted >= v->accepted) {
		v->accepted_rate = (double)(accepted - v->accepted) / seconds;
		v->ended_rate = (double)(ended - v->ended) / seconds;
	}
	v->seen_us = now_us;
	v->accepted = accepted;
	v->ended = ended;
}

static void put_head(struct strbuf *out, const struct top_view *v)
{
	json_t s = json_root(v->answer[TOP_STATUS]), waits = json_get(s, "waits");
	strbuf_printf(out, "terabits %s  %s, up ", json_cstr(json_get(s, "version"), "?"),
		      json_cstr(json_get(s, "state"), "?"));
	table_put_duration(out, (double)number(s, "uptimeMs"));
	strbuf_printf(out, "  %s  database %s\n", json_cstr(json_get(s, "listen"), "?"),
		      json_bool(json_get(s, "database"), false) ? "up" : "AWAY");
	strbuf_printf(out,
		      "runs   %lld running, %lld waiting, %lld delayed, %lld retrying in "
		      "%lld lanes\n",
		      (long long)number(s, "running"), (long long)number(s, "waiting"),
		      (long long)number(s, "delayed"), (long long)number(s, "retrying"),
		      (long long)number(s, "lanes"));
	strbuf_printf(out, "rates  %.1f accepted/s, %.1f ended/s", v->accepted_rate,
		      v->ended_rate);
	if (waits)
		strbuf_printf(out, "; starts waited %lld ms (half), %lld ms (99 of 100)",
			      (long long)number(waits, "p50Ms"),
			      (long long)number(waits, "p99Ms"));
	strbuf_add_char(out, '\n');
}

/* ---- lanes in order */

static enum top_sort sort_by;

static int compare_numbers(json_t a, json_t b, const char *key)
{
	double x = json_double(json_get(a, key), -1),
	       y = json_double(json_get(b, key), -1);
	return (x > y) - (x < y);
}

/* A run's id, a flag or a count: something, or nothing. */
static int is_active(json_t lane)
{
	json_t v = json_get(lane, "active");
	return json_kind(v) == JSON_STRING || json_bool(v, false) ||
	       json_double(v, 0) > 0;
}

static int compare_tenants(json_t a, json_t b)
{
	const char *x = json_cstr(json_get(a, "tenant"), NULL);
	const char *y = json_cstr(json_get(b, "tenant"), NULL);
	return x && y ? strcmp(x, y) : compare_numbers(a, b, "tenant");
}

static int compare_lanes(const void *p, const void *q)
{
	json_t a = *(const json_t *)p, b = *(const json_t *)q;
	int way = 0;
	if (sort_by == TOP_BY_ACTIVE)
		way = is_active(b) - is_active(a);
	else if (sort_by == TOP_BY_TENANT)
		way = compare_tenants(a, b);
	else if (sort_by == TOP_BY_WORKER)
		way = compare_numbers(a, b, "worker");
	if (!way)
		way = compare_numbers(b, a, "waiting");
	return way ? way
		   : strcmp(json_cstr(json_get(a, "session"), ""),
			    json_cstr(json_get(b, "session"), ""));
}

/* {"lanes":[..]} again, sorted. */
static struct json_doc *sorted(json_t answer, enum top_sort sort)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	json_t list = json_get(answer, "lanes");
	size_t n = json_len(list), k = 0;
	json_t *lanes = xcalloc(n + 1, sizeof *lanes);
	struct json_iter it = json_iter(list);
	struct json_out o = json_out(&b);
	for (json_t item; (item = json_next(&it, NULL));)
		lanes[k++] = item;
	sort_by = sort;
	qsort(lanes, k, sizeof *lanes, compare_lanes);
	json_obj(&o);
	json_key(&o, "lanes");
	json_arr(&o);
	for (size_t i = 0; i < k; i++)
		json_put_value(&o, lanes[i]);
	json_arr_end(&o);
	json_obj_end(&o);
	free(lanes);
	return json_parse(strbuf_slice(&b), b.n, NULL, 0);
}

/* ---- the tables */

static void put_part(struct strbuf *out, const struct top_view *v, enum top_question q,
		     json_t answer, enum command_id columns, const char *section)
{
	struct table_view view = {.command = columns, .only = section};
	AUTO(strbuf_fini) struct strbuf part = STRBUF_INIT;
	if (v->answer[q])
		table_print(&part, answer, &view);
	else
		strbuf_printf(&part, "%s: %s\n", questions[q],
			      v->problem[q].n ? v->problem[q].p : "not asked");
	strbuf_add_char(out, '\n');
	strbuf_add_slice(out, strbuf_slice(&part));
}

void top_view_print(struct strbuf *out, const struct top_view *v)
{
	if (!v->answer[TOP_STATUS]) {
		strbuf_printf(out, "%s\n",
			      v->problem[TOP_STATUS].n ? v->problem[TOP_STATUS].p
						       : "not asked yet");
		return;
	}
	AUTO(auto_json_free)
	struct json_doc *lanes = sorted(json_root(v->answer[TOP_LANES]), v->sort);
	put_head(out, v);
	put_part(out, v, TOP_WORKERS, json_root(v->answer[TOP_WORKERS]),
		 COMMAND_worker_list, "workers");
	put_part(out, v, TOP_STATS, json_root(v->answer[TOP_STATS]), COMMAND_queue_stats,
		 "tenants");
	put_part(out, v, TOP_LANES, json_root(lanes), COMMAND_lane_list, "lanes");
}
