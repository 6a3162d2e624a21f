/* SPDX-License-Identifier: Apache-2.0
 * The admin socket over a real connection, with a pretended queue, pretended workers and
 * a pretended control: lq_*, workers_* and control_* are this file's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "supervisor/admin.h"
#include "supervisor/admin_args.h"
#include "supervisor/admin_rates.h"
#include "supervisor/children.h"
#include "supervisor/control.h"
#include "supervisor/live.h"
#include "supervisor/sup.h"
#include "supervisor/workers.h"

/* ---- the pretended supervisor */

struct lq_run {
	struct uuid id;
	int64_t tenant, order_us, due_us;
	enum lq_state state;
	struct lq_why_info why;
	uint32_t crashes;
	int worker, lane;
};

#define RUNS_MOST 3000
static struct lq_run runs[RUNS_MOST];
static int run_count;
static struct live lives[RUNS_MOST + 1]; /* of those that run */
static bool endless;                     /* lq_each_lane comes to no end */
static struct sup sup;
static bool journal_up;
static int drains, scaled, drained, restarted, pinned_slot, pinned_worker;
static enum err worker_err;

/* The control's caller, answered when the test says so. */
static struct {
	control_done *done;
	void *arg;
	int64_t tenant;
	struct uuid run;
	struct control_decision decision;
	struct lq_pause pause;
	int on, calls;
	char by[24];
} asked;

static struct {
	enum wire_id id;
	struct wire_invalidate m;
	char kind[16];
	int n;
} sent;

static struct uuid id_of(int n)
{
	struct uuid u = {{0}};
	u.b[0] = 1;
	u.b[14] = (uint8_t)(n >> 8);
	u.b[15] = (uint8_t)n;
	return u;
}

static struct lq_lane_info lane_of(int n)
{
	struct lq_lane_info l = {.tenant = n % 2 + 1,
				 .session = id_of(n),
				 .agent = id_of(7),
				 .slot = (uint32_t)n % LIMIT_SLOTS,
				 .worker = n % 3 - 1};
	for (int i = 0; i < run_count; i++) {
		if (runs[i].lane != n)
			continue;
		if (runs[i].state == LQ_S_RUNNING)
			l.active = &runs[i];
		else
			l.waiting++;
		if (runs[i].state == LQ_S_WAITING && !l.head)
			l.head = &runs[i];
	}
	return l;
}

#include "tests/unit/supervisor/admin_inquiries.h"
#include "tests/unit/supervisor/admin_parked.h"
#include "tests/unit/supervisor/admin_pauses.h"
#include "tests/unit/supervisor/admin_workspaces.h"

static int lane_count(void)
{
	int most = -1;
	for (int i = 0; i < run_count; i++)
		if (runs[i].lane > most)
			most = runs[i].lane;
	return most + 1;
}

void lq_each_lane(const struct lq *q, bool (*fn)(void *, const struct lq_lane_info *),
		  void *ctx)
{
	(void)q;
	for (int i = 0, n = lane_count(); endless || i < n; i++) {
		struct lq_lane_info l = lane_of(endless ? i % n : i);
		if (!fn(ctx, &l))
			return;
	}
}

bool lq_lane(const struct lq *q, int64_t tenant, struct uuid session,
	     struct lq_lane_info *out)
{
	(void)q, (void)tenant, (void)session, (void)out;
	return false;
}

void lq_each_run(const struct lq *q, int64_t tenant, struct uuid session,
		 bool (*fn)(void *, struct lq_run *), void *ctx)
{
	(void)q, (void)tenant;
	for (int i = 0; i < run_count; i++)
		if (uuid_eq(id_of(runs[i].lane), session) && !fn(ctx, &runs[i]))
			return;
}

void lq_each_tenant(const struct lq *q, bool (*fn)(void *, const struct lq_tenant_info *),
		    void *ctx)
{
	(void)q;
	for (int64_t t = 1; t <= 60; t++) {
		struct lq_tenant_info i = {.tenant = t, .running = 2, .weight = 100};
		if (!fn(ctx, &i))
			return;
	}
}

struct lq_run *lq_find(const struct lq *q, struct uuid run)
{
	(void)q;
	for (int i = 0; i < run_count; i++)
		if (uuid_eq(runs[i].id, run))
			return &runs[i];
	return NULL;
}

struct lq_stats lq_stats(const struct lq *q)
{
	(void)q;
	return (struct lq_stats){.lanes = (uint32_t)lane_count(),
				 .runs = (uint32_t)run_count,
				 .waiting = 11,
				 .running = 12,
				 .delayed = 13,
				 .retrying = 14,
				 .folded = 15,
				 .claiming = 16,
				 .tenants = 60,
				 .paused = true,
				 .bytes = 4711};
}

struct lq_why_info lq_why(const struct lq *q, const struct lq_run *r)
{
	(void)q;
	return r->why;
}

struct uuid lq_run_id(const struct lq_run *r)
{
	return r->id;
}
struct uuid lq_run_session(const struct lq_run *r)
{
	return id_of(r->lane);
}
struct uuid lq_run_agent(const struct lq_run *r)
{
	(void)r;
	return id_of(7);
}
int64_t lq_run_tenant(const struct lq_run *r)
{
	return r->tenant;
}
int lq_run_worker(const struct lq_run *r)
{
	return r->worker;
}
enum run_mode lq_run_mode(const struct lq_run *r)
{
	(void)r;
	return MODE_FOLLOWUP;
}
int lq_run_priority(const struct lq_run *r)
{
	(void)r;
	return -3;
}
int64_t lq_run_order_us(const struct lq_run *r)
{
	return r->order_us;
}
uint32_t lq_run_crashes(const struct lq_run *r)
{
	return r->crashes;
}
enum lq_state lq_run_state(const struct lq_run *r)
{
	return r->state;
}
uint32_t lq_run_position(const struct lq_run *r)
{
	return r->why.position;
}
int64_t lq_run_due_us(const struct lq_run *r)
{
	return r->due_us;
}
uint32_t lq_worker_running(const struct lq *q, int worker)
{
	(void)q;
	return (uint32_t)worker + 5;
}

static void control(int64_t tenant, struct uuid run, const char *by, control_done *done,
		    void *arg)
{
	asked.done = done;
	asked.arg = arg;
	asked.tenant = tenant;
	asked.run = run;
	asked.calls++;
	snprintf(asked.by, sizeof asked.by, "%s", by);
}
void control_cancel(struct sup *s, int64_t tenant, struct uuid run, const char *by,
		    control_done *done, void *arg)
{
	(void)s;
	control(tenant, run, by, done, arg);
}
void control_redrive(struct sup *s, int64_t tenant, struct uuid run, struct slice key,
		     const char *by, control_done *done, void *arg)
{
	(void)s, (void)key;
	control(tenant, run, by, done, arg);
}
void control_decide(struct sup *s, const struct control_decision *d, control_done *done,
		    void *arg)
{
	char by[64];
	(void)s;
	snprintf(by, sizeof by, "%.*s", SLICE_ARG(d->by));
	control(d->tenant, d->run, by, done, arg);
	asked.decision = *d;
}
void control_pause(struct sup *s, const struct lq_pause *what, int on, const char *by,
		   control_done *done, void *arg)
{
	(void)s;
	control(what->tenant, what->id, by, done, arg);
	asked.pause = *what;
	asked.on = on;
}

enum err workers_scale(struct sup *s, int n)
{
	(void)s;
	scaled = n;
	return worker_err;
}
enum err workers_drain(struct sup *s, int ordinal)
{
	(void)s;
	drained = ordinal;
	return worker_err;
}
enum err workers_restart(struct sup *s, int ordinal)
{
	(void)s;
	restarted = ordinal;
	return worker_err;
}
enum err workers_pin(struct sup *s, unsigned slot, int ordinal)
{
	(void)s;
	pinned_slot = (int)slot;
	pinned_worker = ordinal;
	return worker_err;
}
int workers_target(const struct sup *s)
{
	(void)s;
	return 2;
}
int workers_pinned(const struct sup *s, unsigned slot)
{
	(void)s;
	return slot == 9 || slot == 10 ? 1 : -1;
}
uint32_t workers_slots(const struct sup *s, int ordinal)
{
	(void)s;
	return 2048u + (uint32_t)ordinal;
}

bool journal_is_up(const struct journal *j)
{
	(void)j;
	return journal_up;
}
unsigned journal_pending(const struct journal *j)
{
	(void)j;
	return 3;
}
void sup_drain(struct sup *s)
{
	(void)s;
	drains++;
}
char *sup_conninfo(const struct sup *s, const char *role)
{
	(void)s, (void)role;
	return xstrdup("host=/nonexistent connect_timeout=1");
}
bool children_has_pid(const struct sup *s, pid_t pid)
{
	(void)s, (void)pid;
	return false;
}
void child_send(struct child *c, enum wire_id id, const void *msg)
{
	(void)c;
	sent.id = id;
	sent.m = *(const struct wire_invalidate *)msg;
	snprintf(sent.kind, sizeof sent.kind, "%.*s", SLICE_ARG(sent.m.kind));
	sent.n++;
}

/* ---- a client */

static char dir[] = "/tmp/tbadminXXXXXX";
static struct child edge = {.role = ROLE_EDGE, .state = LIFE_READY, .sup = &sup};
static struct child workers[2] = {
	{.role = ROLE_WORKER, .state = LIFE_READY, .sup = &sup, .pid = 70},
	{.role = ROLE_WORKER, .state = LIFE_DOWN, .sup = &sup, .ordinal = 1}};

static int begin(void **state)
{
	(void)state;
	sup = (struct sup){.loop = loop_new()};
	sup.config.state_dir = dir;
	sup.lives = map_new();
	list_init(&sup.children);
	list_push(&sup.children, &edge.node);
	list_push(&sup.children, &workers[0].node);
	list_push(&sup.children, &workers[1].node);
	memset(runs, 0, sizeof runs);
	memset(&asked, 0, sizeof asked);
	memset(&sent, 0, sizeof sent);
	run_count = pause_count = drains = 0;
	worker_err = ERR_OK;
	endless = journal_up = false;
	parked_wait.tries = 0;
	sup.admin = admin_open(&sup);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	admin_close(sup.admin);
	loop_free(sup.loop);
	map_free(sup.lives);
	return 0;
}

static int connect_client(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path, sizeof a.sun_path, "%s/admin.sock", dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What came up to and with `lines` line ends, or up to the end of the connection. */
static char *hear(int fd, int lines)
{
	static struct strbuf got;
	int64_t until = clock_mono_us() + 20000000;
	strbuf_reset(&got);
	strbuf_add_str(&got, "");
	while (lines > 0) {
		char c;
		ssize_t n = recv(fd, &c, 1, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return got.p;
		if (n < 0) {
			assert_true(clock_mono_us() < until);
			loop_turn(sup.loop, 20);
			continue;
		}
		strbuf_add_char(&got, c);
		lines -= c == '\n';
	}
	return got.p;
}

static struct json_doc *doc;
/* The answer to one request, valid until the next. */
static json_t answer(int fd, const char *request)
{
	char err[200];
	if (request) {
		say(fd, request);
		say(fd, "\n");
	}
	char *line = hear(fd, 1);
	json_free(doc);
	doc = json_parse(slice_str(line), 8 << 20, err, sizeof err);
	if (!doc)
		fail_msg("%s: %s", err, line);
	return json_root(doc);
}

static json_t once(const char *request)
{
	int fd = connect_client();
	json_t v = answer(fd, request);
	close(fd);
	loop_turn(sup.loop, 0);
	return v;
}

static long long num(json_t v, const char *key)
{
	int64_t n = -1;
	assert_true(json_i64(json_get(v, key), &n));
	return n;
}

static void is(json_t v, const char *key, const char *text)
{
	assert_string_equal(json_cstr(json_get(v, key), "(none)"), text);
}

static void wait_asked(int calls)
{
	int64_t until = clock_mono_us() + 20000000;
	while (asked.calls < calls) {
		assert_true(clock_mono_us() < until);
		loop_turn(sup.loop, 20);
	}
}

static struct lq_run *add_run(int lane, enum lq_state state)
{
	struct lq_run *r = &runs[run_count];
	assert_true(run_count < RUNS_MOST);
	*r = (struct lq_run){.id = id_of(1000 + run_count),
			     .tenant = lane % 2 + 1,
			     .lane = lane,
			     .state = state,
			     .order_us = clock_real_us() - 5000000,
			     .worker = state == LQ_S_RUNNING ? 1 : LQ_NO_WORKER};
	run_count++;
	if (state == LQ_S_RUNNING) {
		lives[run_count].run = r->id;
		map_put(sup.lives, uuid_slice(&r->id), &lives[run_count]);
	}
	return r;
}

/* ---- arguments */

static const struct command *read_line(const char *line, struct arg *args, char *err)
{
	static struct json_doc *d;
	json_free(d);
	d = json_parse(slice_str(line), 65536, err, 400);
	assert_non_null(d);
	*err = 0;
	const struct command *c = command_read(json_root(d), args, err, 400);
	assert_true((c == NULL) == (*err != 0));
	return c;
}

static void test_args_are_typed(void **state)
{
	(void)state;
	struct arg a[ARG__COUNT];
	char err[400];
	struct uuid u;
	assert_non_null(
		read_line("{\"cmd\":\"lane.list\",\"args\":{\"tenant\":7}}", a, err));
	assert_true(a[ARG_TENANT].is_number && a[ARG_TENANT].number == 7);
	assert_false(a[ARG_LIMIT].given);
	assert_non_null(read_line("{\"cmd\":\"lane.list\",\"args\":{\"tenant\":\"12\"}}",
				  a, err));
	assert_true(a[ARG_TENANT].is_number && a[ARG_TENANT].number == 12);
	assert_non_null(read_line("{\"cmd\":\"lane.list\",\"args\":{\"tenant\":\"acme\","
				  "\"only\":\"busy\",\"limit\":1000}}",
				  a, err));
	assert_false(a[ARG_TENANT].is_number);
	assert_true(slice_is(a[ARG_TENANT].text, "acme"));
	assert_int_equal(a[ARG_LIMIT].number, 1000);
	assert_non_null(read_line("{\"args\":{\"run\":\"0192f3a0-0000-7000-8000-"
				  "000000000001\",\"tenant\":null},\"cmd\":\"run.show\"}",
				  a, err));
	uuid_parse(SLICE("0192f3a0-0000-7000-8000-000000000001"), &u);
	assert_true(uuid_eq(a[ARG_RUN].uuid, u));
	assert_true(a[ARG_TENANT].is_null && !a[ARG_TENANT].given);
	assert_non_null(read_line("{\"cmd\":\"status\"}", a, err));
	assert_non_null(read_line("{\"cmd\":\"status\",\"args\":{}}", a, err));
}

static void test_wrong_requests(void **state)
{
	(void)state;
	static const char *const wrong[][2] = {
		{"[]", "cmd: a request is"},
		{"7", "cmd: a request is"},
		{"{}", "cmd: a request is"},
		{"{\"cmd\":5}", "cmd: a request is"},
		{"{\"cmd\":\"nonsense\"}", "cmd: there is no command nonsense"},
		{"{\"cmd\":\"status\",\"more\":1}", "more: a request has cmd and args"},
		{"{\"cmd\":\"status\",\"args\":[]}", "args: an object is needed"},
		{"{\"cmd\":\"status\",\"args\":{\"x\":1}}",
		 "x: status takes no such argument, but none at all"},
		{"{\"cmd\":\"run.list\",\"args\":{\"agent\":\"x\"}}",
		 "agent: run.list takes no such argument, but tenant, limit, state"},
		{"{\"cmd\":\"run.show\"}", "run: a uuid is needed"},
		{"{\"cmd\":\"run.show\",\"args\":{\"run\":null}}",
		 "run: a uuid is needed"},
		{"{\"cmd\":\"run.show\",\"args\":{\"run\":\"x\"}}",
		 "run: a uuid is needed"},
		{"{\"cmd\":\"run.show\",\"args\":{\"run\":5}}", "run: a uuid is needed"},
		{"{\"cmd\":\"run.list\",\"args\":{\"limit\":0}}",
		 "limit: a whole number from 1 to 1000"},
		{"{\"cmd\":\"run.list\",\"args\":{\"limit\":1001}}", "limit: a whole"},
		{"{\"cmd\":\"run.list\",\"args\":{\"limit\":1.5}}", "limit: a whole"},
		{"{\"cmd\":\"run.list\",\"args\":{\"limit\":\"5\"}}", "limit: a whole"},
		{"{\"cmd\":\"run.list\",\"args\":{\"tenant\":-1}}",
		 "tenant: its number or its name"},
		{"{\"cmd\":\"run.list\",\"args\":{\"tenant\":true}}",
		 "tenant: its number"},
		{"{\"cmd\":\"run.list\",\"args\":{\"tenant\":\"\"}}",
		 "tenant: its number"},
		{"{\"cmd\":\"lane.list\",\"args\":{\"only\":\"idle\"}}",
		 "only: one of busy|waiting|paused"},
		{"{\"cmd\":\"lane.list\",\"args\":{\"only\":\"bus\"}}", "only: one of"},
		{"{\"cmd\":\"lane.list\",\"args\":{\"only\":\"\"}}", "only: one of"},
		{"{\"cmd\":\"lane.show\",\"args\":{\"session\":\"\"}}",
		 "session: a text of 1 to 512 bytes"},
		{"{\"cmd\":\"worker.scale\",\"args\":{\"n\":63}}",
		 "n: a whole number from 1 to 62"},
		{"{\"cmd\":\"worker.restart\",\"args\":{\"all\":1}}",
		 "all: true or false"},
	};
	struct arg a[ARG__COUNT];
	char err[400];
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_null(read_line(wrong[i][0], a, err));
		if (strncmp(err, wrong[i][1], strlen(wrong[i][1])) != 0)
			fail_msg("%s says %s", wrong[i][0], err);
	}
	json_t v = once("{\"cmd\":\"run.show\",\"args\":{}}");
	is(v, "code", "bad_request");
	v = once("{\"cmd\":\"status\"");
	is(v, "code", "bad_request");
	v = once("{\"cmd\":\"status\",\"cmd\":\"drain\"}");
	is(v, "code", "bad_request");
	assert_int_equal(drains, 0);
}

/* What a person reads of a lane that a failed run blocks. */
static void test_a_blocked_lane(void **state)
{
	(void)state;
	static const char because[] =
		"paused: run 01000000-0000-0000-0000-000000000063 failed (model_auth)";
	char line[200], id[UUID_TEXT_LEN + 1], sentence[256];
	struct lq_run *r = add_run(0, LQ_S_WAITING);
	r->why = (struct lq_why_info){.why = LQ_WHY_LANE_PAUSED};
	pauses[0] = (struct lq_pause){.scope = LQ_LANE,
				      .tenant = 1,
				      .id = id_of(0),
				      .failed_run = id_of(0x63),
				      .failed_code = "model_auth"};
	pause_count = 1;
	json_t lanes = json_get(once("{\"cmd\":\"lane.list\"}"), "lanes");
	is(json_at(lanes, 0), "pausedWhy", because);
	is(json_at(lanes, 0), "failedCode", "model_auth");
	json_t v = once("{\"cmd\":\"queue.stats\"}");
	is(json_at(json_get(v, "pauses"), 0), "failedRun",
	   "01000000-0000-0000-0000-000000000063");
	uuid_format(r->id, id);
	snprintf(line, sizeof line, "{\"cmd\":\"run.why\",\"args\":{\"run\":\"%s\"}}",
		 id);
	snprintf(sentence, sizeof sentence,
		 "%s. lane.resume skips that run, run.retry of it lets it go first again",
		 because);
	is(once(line), "sentence", sentence);
	pauses[0].failed_run = (struct uuid){{0}}; /* a person's */
	lanes = json_get(once("{\"cmd\":\"lane.list\"}"), "lanes");
	assert_null(json_get(json_at(lanes, 0), "pausedWhy"));
	is(once(line), "sentence", "its session is paused: lane.resume ends that");
}

/* What a person reads of a run whose start, acceptance or predecessor the database does
 * not take. */
static void test_a_parked_lane(void **state)
{
	(void)state;
	char line[200], id[UUID_TEXT_LEN + 1];
	struct lq_run *r = add_run(0, LQ_S_WAITING);
	uuid_format(r->id, id);
	snprintf(line, sizeof line, "{\"cmd\":\"run.why\",\"args\":{\"run\":\"%s\"}}",
		 id);
	for (size_t i = 0; i < ARRAY_LEN(parked_cases); i++) {
		r->state = parked_cases[i].state;
		r->why = (struct lq_why_info){.why = parked_cases[i].lq};
		parked_session = id_of(0);
		parked_kind = r->state == LQ_S_ENQUEUEING ? FLOW_ENQUEUE : FLOW_CLAIM;
		parked_wait = (struct journal_wait){.tries = 3,
						    .sqlstate = "55P03",
						    .message = "no",
						    .due_in_us = 2500000,
						    .held = parked_cases[i].held,
						    .pausing = parked_cases[i].pausing};
		json_t v = once(line);
		is(v, "why", parked_cases[i].why);
		is(v, "sentence", parked_cases[i].sentence);
		if (!strstr(parked_cases[i].sentence, "55P03")) {
			assert_null(json_get(v, "sqlstate"));
			continue;
		}
		is(v, "sqlstate", "55P03");
		assert_int_equal(num(v, "tries"), 3);
		assert_int_equal(num(v, "triedAgainInMs"), 2500);
	}
}

static void test_a_mean(void **state)
{
	(void)state;
	struct mean m = {0, 0};
	assert_true(mean_rate(&m) == 0);
	mean_add(&m, 40, 2);
	assert_true(mean_rate(&m) > 19.99 && mean_rate(&m) < 20.01);
	for (int i = 0; i < 3; i++)
		mean_add(&m, 0, 1);
	assert_true(mean_rate(&m) > 1 && mean_rate(&m) < 19);
	for (int i = 0; i < 100; i++)
		mean_add(&m, 300, 1);
	assert_true(mean_rate(&m) > 299 && mean_rate(&m) < 301);
	mean_add(&m, 50, 50); /* longer than it remembers */
	assert_true(mean_rate(&m) > 0.99 && mean_rate(&m) < 1.01);
	mean_add(&m, 7, 0);
	assert_true(mean_rate(&m) < 1.01);
}

/* ---- connections */

static void test_status(void **state)
{
	(void)state;
	sup.runs_accepted = 30;
	sup.runs_ended = 29;
	sup.waits = (struct waits){0};
	for (int i = 0; i < 3; i++)
		waits_add(&sup.waits, i < 2 ? 40000 : 7000000);
	for (int i = 0; i < 5; i++) { /* lane 0 is busy, lane 1 at a cap */
		struct lq_run *r = add_run(i / 3, i ? LQ_S_WAITING : LQ_S_RUNNING);
		r->why.why = i == 3 ? LQ_WHY_TENANT_CAP : LQ_WHY_LANE_BUSY;
	}
	json_t v = once("{\"cmd\":\"status\"}");
	static const char *const numbers[] = {
		"pid",        "uptimeMs", "lanes",  "waiting",  "running",
		"delayed",    "retrying", "folded", "claiming", "tenants",
		"queueBytes", "accepted", "ended"};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		assert_true(num(v, numbers[i]) >= 0);
	assert_int_equal(num(v, "waiting"), 11);
	assert_int_equal(num(v, "claiming"), 16);
	assert_int_equal(num(v, "queueBytes"), 4711);
	assert_int_equal(num(v, "ended"), 29);
	is(v, "state", "starting");
	assert_true(json_bool(json_get(v, "paused"), false));
	assert_false(json_bool(json_get(v, "held"), true));
	assert_false(json_bool(json_get(v, "database"), true));
	assert_int_equal(json_kind(json_get(json_get(v, "rates"), "acceptedPerS")),
			 JSON_NUMBER);
	json_t waits = json_get(v, "waits"), reasons = json_get(waits, "reasons");
	assert_int_equal(num(waits, "p50Ms"), 40);
	assert_int_equal(num(waits, "p99Ms"), 7000);
	assert_int_equal(num(reasons, "lane_busy"), 3);
	assert_int_equal(num(reasons, "tenant_cap"), 1);
	assert_int_equal(json_len(reasons), 2);
	assert_null(json_get(waits, "more"));
	assert_int_equal(json_len(json_get(v, "children")), 3);
	is(json_at(json_get(v, "children"), 2), "state", "down");
	v = once("{\"cmd\":\"drain\"}");
	assert_true(json_bool(json_get(v, "ok"), false));
	assert_int_equal(drains, 1);
}

static void test_order_and_patience(void **state)
{
	(void)state;
	char line[200], id[UUID_TEXT_LEN + 1];
	struct lq_run *r = add_run(0, LQ_S_RUNNING);
	int slow = connect_client(), quick = connect_client();
	uuid_format(r->id, id);
	snprintf(line, sizeof line,
		 "{\"cmd\":\"run.cancel\",\"args\":{\"run\":\"%s\"}}\n{\"cmd\":\"worker."
		 "list\"}\n",
		 id);
	say(slow, line);
	wait_asked(1);
	assert_true(uuid_eq(asked.run, r->id));
	assert_int_equal(asked.tenant, 1);
	snprintf(line, sizeof line, "uid:%u", (unsigned)getuid());
	assert_string_equal(asked.by, line);
	assert_int_equal(num(answer(quick, "{\"cmd\":\"status\"}"), "running"), 12);
	char c;
	assert_int_equal(recv(slow, &c, 1, 0), -1);
	asked.done(asked.arg, &(struct control_answer){.result = RESULT_CANCELLED});
	is(answer(slow, NULL), "status", "cancelled");
	assert_int_equal(num(answer(slow, NULL), "target"), 2);
	close(slow);
	close(quick);
}

static void test_control_answers(void **state)
{
	(void)state;
	char line[200], id[UUID_TEXT_LEN + 1];
	struct lq_run *r = add_run(1, LQ_S_RUNNING);
	int fd = connect_client();
	uuid_format(r->id, id);
	snprintf(line, sizeof line,
		 "{\"cmd\":\"run.cancel\",\"args\":{\"run\":\"%s\"}}\n", id);
	say(fd, line);
	wait_asked(1);
	asked.done(asked.arg, &(struct control_answer){0});
	is(answer(fd, NULL), "status", "cancelling");
	say(fd, line);
	wait_asked(2);
	asked.done(asked.arg, &(struct control_answer){.err = ERR_CONFLICT,
						       .message = "it had ended",
						       .result = RESULT_FAILED});
	json_t v = answer(fd, NULL);
	is(v, "code", "conflict");
	is(v, "error", "it had ended");
	is(v, "result", "failed");
	snprintf(line, sizeof line,
		 "{\"cmd\":\"run.retry\",\"args\":{\"run\":\"%s\",\"tenant\":2}}\n", id);
	say(fd, line);
	wait_asked(3);
	asked.done(asked.arg, &(struct control_answer){.run = r->id});
	is(answer(fd, NULL), "run", id);
	snprintf(line, sizeof line,
		 "{\"cmd\":\"dead.redrive\",\"args\":{\"run\":\"%s\",\"tenant\":2}}\n",
		 id);
	say(fd, line);
	wait_asked(4);
	asked.done(asked.arg, &(struct control_answer){.run = id_of(5)});
	v = json_at(json_get(answer(fd, NULL), "redriven"), 0);
	is(v, "run", id);
	uuid_format(id_of(5), id);
	is(v, "as", id);
	say(fd, line);
	wait_asked(5);
	asked.done(asked.arg, &(struct control_answer){.err = ERR_DATABASE});
	is(answer(fd, NULL), "code", "unavailable");
	close(fd);
}

static void test_a_client_that_leaves(void **state)
{
	(void)state;
	int fd = connect_client();
	say(fd, "{\"cmd\":\"queue.pause\",\"args\":{\"scope\":\"node\"}}\n");
	wait_asked(1);
	assert_int_equal(asked.pause.scope, LQ_NODE);
	assert_int_equal(asked.on, 1);
	close(fd);
	for (int i = 0; i < 3; i++)
		loop_turn(sup.loop, 0);
	asked.done(asked.arg, &(struct control_answer){.changed = true});
	for (int i = 0; i < 3; i++)
		loop_turn(sup.loop, 0);
	/* A reset, which ends the connection before its answer came. */
	fd = connect_client();
	say(fd, "{\"cmd\":\"status\"}\n{\"cmd\":\"queue.resume\",\"args\":{\"scope\":"
		"\"node\"}}\n");
	wait_asked(2);
	assert_int_equal(asked.on, 0);
	close(fd); /* with an answer that was not read */
	for (int i = 0; i < 3; i++)
		loop_turn(sup.loop, 0);
	asked.done(asked.arg, &(struct control_answer){.changed = false});
	/* One that only says nothing more still hears the answer. */
	fd = connect_client();
	say(fd, "{\"cmd\":\"queue.pause\",\"args\":{\"scope\":\"node\"}}\n{\"cmd\":"
		"\"status\"}\n");
	shutdown(fd, SHUT_WR);
	wait_asked(3);
	asked.done(asked.arg, &(struct control_answer){.changed = true});
	assert_true(json_bool(json_get(answer(fd, NULL), "changed"), false));
	assert_int_equal(num(answer(fd, NULL), "running"), 12);
	assert_string_equal(hear(fd, 1), "");
	close(fd);
}

static void test_the_time_limit(void **state)
{
	(void)state;
	int fd = connect_client();
	int64_t began = clock_mono_us();
	say(fd, "{\"cmd\":\"queue.pause\",\"args\":{\"scope\":\"node\"}}\n");
	json_t v = answer(fd, NULL);
	is(v, "code", "unavailable");
	assert_true(clock_mono_us() - began > 4500000);
	/* The late answer goes nowhere, and the connection goes on. */
	asked.done(asked.arg, &(struct control_answer){.changed = true});
	assert_int_equal(num(answer(fd, "{\"cmd\":\"status\"}"), "running"), 12);
	close(fd);
}

static void test_lines(void **state)
{
	(void)state;
	int fd = connect_client();
	say(fd, "{\"cmd\":\"sta");
	for (int i = 0; i < 3; i++)
		loop_turn(sup.loop, 0);
	say(fd, "tus\"}\n\n");
	assert_int_equal(num(answer(fd, NULL), "running"), 12);
	is(answer(fd, NULL), "code", "bad_request"); /* an empty line */
	static char big[40000];
	memset(big, ' ', sizeof big - 1);
	say(fd, big);
	assert_int_equal(num(answer(fd, "{\"cmd\":\"status\"}"), "running"), 12);
	say(fd, big);
	loop_turn(sup.loop, 0);
	say(fd, big);
	json_t v = answer(fd, NULL);
	is(v, "error", "a line has 64 kB at most");
	assert_string_equal(hear(fd, 1), "");
	close(fd);
}

static void fill(int lanes)
{
	for (int i = 0; i < lanes; i++)
		add_run(i, LQ_S_WAITING);
}

static void test_large_answers(void **state)
{
	(void)state;
	fill(1000);
	int fd = connect_client();
	for (int i = 0; i < 3; i++)
		say(fd, "{\"cmd\":\"run.list\",\"args\":{\"limit\":1000}}\n");
	for (int i = 0; i < 3; i++) {
		json_t v = answer(fd, NULL);
		assert_int_equal(json_len(json_get(v, "runs")), 1000);
		assert_int_equal(num(v, "total"), 1000);
	}
	/* One that does not read is cut at 4 MB. */
	int64_t until = clock_mono_us() + 60000000;
	ssize_t n;
	char c[65536];
	do {
		static const char ask[] =
			"{\"cmd\":\"run.list\",\"args\":{\"limit\":1000}}\n";
		n = send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL);
		loop_turn(sup.loop, 0);
		assert_true(clock_mono_us() < until);
	} while (n > 0 || errno == EAGAIN);
	while ((n = recv(fd, c, sizeof c, 0)) > 0)
		continue;
	assert_true(n == 0 || errno == ECONNRESET);
	close(fd);
}

/* ---- what is shown */

static void test_lists(void **state)
{
	(void)state;
	fill(60);
	add_run(0, LQ_S_RUNNING);
	add_run(3, LQ_S_RUNNING);
	add_run(3, LQ_S_DELAYED)->due_us = clock_real_us() + 60000000;
	json_t v = once("{\"cmd\":\"lane.list\"}");
	assert_int_equal(json_len(json_get(v, "lanes")), 50);
	assert_int_equal(num(v, "total"), 60);
	assert_null(json_get(v, "more"));
	json_t lane = json_at(json_get(v, "lanes"), 0);
	assert_int_equal(num(lane, "tenant"), 1);
	assert_int_equal(json_kind(json_get(lane, "worker")), JSON_NULL);
	assert_int_equal(json_kind(json_get(lane, "active")), JSON_STRING);
	assert_int_equal(num(json_at(json_get(v, "lanes"), 1), "worker"), 0);
	assert_int_equal(json_kind(json_get(json_at(json_get(v, "lanes"), 1), "active")),
			 JSON_NULL);
	v = once("{\"cmd\":\"lane.list\",\"args\":{\"tenant\":2,\"limit\":4}}");
	assert_int_equal(json_len(json_get(v, "lanes")), 4);
	assert_int_equal(num(v, "total"), 30);
	v = once("{\"cmd\":\"lane.list\",\"args\":{\"only\":\"busy\"}}");
	assert_int_equal(json_len(json_get(v, "lanes")), 2);
	assert_int_equal(num(v, "total"), 2);
	v = once("{\"cmd\":\"run.list\",\"args\":{\"state\":\"running\",\"tenant\":\"2\"}"
		 "}");
	assert_int_equal(num(v, "total"), 1);
	json_t run = json_at(json_get(v, "runs"), 0);
	is(run, "state", "running");
	is(run, "mode", "followup");
	assert_int_equal(num(run, "worker"), 1);
	assert_int_equal(num(run, "priority"), -3);
	assert_true(num(run, "ageMs") >= 5000 && num(run, "ageMs") < 60000);
	v = once("{\"cmd\":\"run.list\",\"args\":{\"state\":\"queued\",\"limit\":7}}");
	assert_int_equal(num(v, "total"), 60);
	assert_int_equal(json_len(json_get(v, "runs")), 7);
	v = once("{\"cmd\":\"run.list\",\"args\":{\"state\":\"scheduled\"}}");
	run = json_at(json_get(v, "runs"), 0);
	assert_int_equal(num(run, "position"), 2);
	assert_true(num(run, "dueInMs") > 30000);
	is(once("{\"cmd\":\"run.list\",\"args\":{\"state\":\"asleep\"}}"), "error",
	   "state: one of scheduled, queued, folded, claiming, running, retry_wait, "
	   "waiting is needed");
}

/* More lanes than can be looked at: the answer comes all the same, and says so. */
static void test_an_endless_queue(void **state)
{
	(void)state;
	fill(10);
	endless = true;
	json_t v = once("{\"cmd\":\"lane.list\",\"args\":{\"only\":\"paused\"}}");
	assert_int_equal(json_len(json_get(v, "lanes")), 0);
	assert_true(json_bool(json_get(v, "more"), false));
	assert_null(json_get(v, "total"));
	v = once("{\"cmd\":\"run.list\",\"args\":{\"tenant\":9}}");
	assert_true(json_bool(json_get(v, "more"), false));
	add_run(4, LQ_S_RUNNING); /* but what runs is found among all that waits */
	v = once("{\"cmd\":\"run.list\",\"args\":{\"state\":\"running\"}}");
	assert_int_equal(num(v, "total"), 1);
	v = once("{\"cmd\":\"run.list\",\"args\":{\"limit\":1000}}");
	assert_int_equal(num(v, "total"), 11);
}

static void test_queue(void **state)
{
	(void)state;
	pauses[0] = (struct lq_pause){.scope = LQ_AGENT, .tenant = 4, .id = id_of(8)};
	pause_count = 1;
	pace_batch(&sup.pace, 1, 1500000);
	json_t v = once("{\"cmd\":\"queue.stats\",\"args\":{\"limit\":3}}");
	assert_int_equal(json_len(json_get(v, "tenants")), 3);
	assert_int_equal(num(json_at(json_get(v, "tenants"), 2), "running"), 2);
	assert_int_equal(num(json_get(v, "journal"), "pending"), 3);
	assert_int_equal(num(json_get(v, "journal"), "lastBatchMs"), 1500);
	assert_int_equal(num(json_get(v, "journal"), "parkedLanes"), 2);
	json_t p = json_at(json_get(v, "pauses"), 0);
	is(p, "scope", "agent");
	assert_int_equal(num(p, "tenant"), 4);
	assert_int_equal(json_kind(json_get(p, "id")), JSON_STRING);
	static const char *const wrong[][2] = {
		{"\"scope\":\"node\",\"tenant\":1", "tenant: scope node takes none"},
		{"\"scope\":\"tenant\"", "tenant: needed with scope tenant"},
		{"\"scope\":\"tenant\",\"tenant\":1,\"agent\":\"x\"",
		 "agent: scope tenant takes none"},
		{"\"scope\":\"agent\",\"tenant\":1", "agent: needed with scope agent"},
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char line[200];
		snprintf(line, sizeof line, "{\"cmd\":\"queue.pause\",\"args\":{%s}}",
			 wrong[i][0]);
		is(once(line), "error", wrong[i][1]);
	}
	v = once(
		"{\"cmd\":\"queue.pause\",\"args\":{\"scope\":\"tenant\",\"tenant\":1}}");
	is(v, "code", "unavailable"); /* whether it exists, only the database knows */
	assert_int_equal(asked.calls, 0);
}

static void test_why(void **state)
{
	(void)state;
	char line[200], id[UUID_TEXT_LEN + 1], seen[LQ_WHY_TURN + 1][32];
	struct lq_run *other = add_run(0, LQ_S_RUNNING), *r = add_run(0, LQ_S_WAITING);
	uuid_format(r->id, id);
	snprintf(line, sizeof line, "{\"cmd\":\"run.why\",\"args\":{\"run\":\"%s\"}}",
		 id);
	for (int i = LQ_WHY_RUNS; i <= LQ_WHY_TURN; i++) {
		r->why = (struct lq_why_info){.why = (enum lq_why)i, .ahead = 4};
		json_t v = once(line);
		is(v, "run", id);
		assert_true(strlen(json_cstr(json_get(v, "sentence"), "")) > 10);
		assert_int_equal(num(v, "ahead"), 4);
		assert_null(json_get(v, "estimateMs")); /* no rate is known */
		snprintf(seen[i], sizeof seen[i], "%s",
			 json_cstr(json_get(v, "why"), "-"));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(seen[k], seen[i]);
	}
	r->why = (struct lq_why_info){.why = LQ_WHY_LANE_BUSY,
				      .other = other,
				      .position = 1,
				      .due_us = clock_real_us() + 9000000};
	json_t v = once(line);
	uuid_format(other->id, id);
	is(v, "other", id);
	is(v, "why", "lane_busy");
	assert_true(num(v, "dueInMs") > 1000);
	assert_int_equal(num(v, "position"), 1);
	/* Two runs a second end: the fifth of the line starts in 2.5 s. */
	int64_t until = clock_mono_us() + 20000000;
	r->why = (struct lq_why_info){.why = LQ_WHY_TURN, .ahead = 4};
	int64_t estimate = 0;
	sup.runs_ended = 2;
	while (!json_i64(json_get(once(line), "estimateMs"), &estimate))
		assert_true(clock_mono_us() < until);
	assert_true(estimate > 1200 && estimate < 6000);
}

static void test_workers(void **state)
{
	(void)state;
	json_t v = json_at(json_get(once("{\"cmd\":\"worker.list\"}"), "workers"), 1);
	assert_int_equal(num(v, "ordinal"), 1);
	is(v, "state", "down");
	assert_int_equal(num(v, "pinned"), 2);
	assert_int_equal(num(v, "slots"), 2049);
	assert_int_equal(num(v, "runs"), 6);
	assert_int_equal(num(v, "uptimeMs"), 0);
	v = once("{\"cmd\":\"worker.scale\",\"args\":{\"n\":5}}");
	assert_int_equal(num(v, "from"), 2);
	assert_int_equal(num(v, "to"), 5);
	assert_int_equal(scaled, 5);
	assert_int_equal(
		num(once("{\"cmd\":\"worker.drain\",\"args\":{\"worker\":1}}"), "worker"),
		1);
	assert_int_equal(drained, 1);
	once("{\"cmd\":\"worker.restart\",\"args\":{\"all\":true}}");
	assert_int_equal(restarted, -1);
	once("{\"cmd\":\"worker.restart\",\"args\":{\"worker\":0}}");
	assert_int_equal(restarted, 0);
	is(once("{\"cmd\":\"worker.restart\"}"), "code", "bad_request");
	is(once("{\"cmd\":\"worker.restart\",\"args\":{\"worker\":0,\"all\":true}}"),
	   "code", "bad_request");
	v = once("{\"cmd\":\"worker.pin\",\"args\":{\"slot\":9,\"worker\":1}}");
	assert_int_equal(num(v, "slot"), 9);
	assert_int_equal(num(v, "worker"), 1);
	v = once("{\"cmd\":\"worker.pin\",\"args\":{\"slot\":9,\"worker\":null}}");
	assert_int_equal(json_kind(json_get(v, "worker")), JSON_NULL);
	assert_int_equal(pinned_worker, -1);
	assert_int_equal(pinned_slot, 9);
	is(once("{\"cmd\":\"worker.pin\",\"args\":{\"slot\":9}}"), "code", "bad_request");
	is(once("{\"cmd\":\"worker.pin\",\"args\":{\"worker\":1}}"), "code",
	   "bad_request");
	worker_err = ERR_NOT_FOUND;
	v = once("{\"cmd\":\"worker.drain\",\"args\":{\"worker\":8}}");
	is(v, "code", "not_found");
	is(v, "error", "there is no worker 8");
	worker_err = ERR_CONFLICT;
	is(once("{\"cmd\":\"worker.drain\",\"args\":{\"worker\":0}}"), "code",
	   "conflict");
}

static void test_invalidate(void **state)
{
	(void)state;
	json_t v =
		once("{\"cmd\":\"invalidate\",\"args\":{\"tenant\":3,\"kind\":\"token\","
		     "\"id\":\"0192f3a0-0000-7000-8000-000000000001\"}}");
	assert_int_equal(json_len(v), 0);
	assert_int_equal(json_kind(v), JSON_OBJECT);
	assert_int_equal(sent.n, 2); /* the two that are ready */
	assert_int_equal(sent.id, WIRE_INVALIDATE);
	assert_int_equal(sent.m.tenant, 3);
	assert_string_equal(sent.kind, "token");
	assert_int_equal(sent.m.id.b[0], 1);
	is(once("{\"cmd\":\"invalidate\",\"args\":{\"tenant\":3,\"kind\":\"token\"}}"),
	   "code", "bad_request");
	once("{\"cmd\":\"invalidate\",\"args\":{\"tenant\":3,\"kind\":\"tenant\"}}");
	assert_int_equal(sent.n, 4);
	assert_true(uuid_is_nil(sent.m.id));
}

/* What only the database knows is not waited for while it is away. */
static void test_without_a_database(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"{\"cmd\":\"dead.list\"}",
		"{\"cmd\":\"lane.list\",\"args\":{\"tenant\":\"acme\"}}",
		"{\"cmd\":\"lane.show\",\"args\":{\"tenant\":1,\"session\":\"0192f3a0-"
		"0000-7000-"
		"8000-000000000001\"}}",
		"{\"cmd\":\"lane.clear\",\"args\":{\"tenant\":1,\"agent\":\"main\","
		"\"session\":"
		"\"k\"}}",
		"{\"cmd\":\"run.show\",\"args\":{\"run\":\"0192f3a0-0000-7000-8000-"
		"000000000001\"}}",
		"{\"cmd\":\"dead.redrive\",\"args\":{\"all\":true}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		json_t v = once(lines[i]);
		is(v, "code", "unavailable");
		is(v, "error", "the database is away");
	}
}

/* The worker's answer is the socket's, whole. */
static void test_inquiries(void **state)
{
	(void)state;
	char line[200], id[UUID_TEXT_LEN + 1];
	struct lq_run *r = add_run(0, LQ_S_RUNNING);
	int fd = connect_client();
	uuid_format(lq_run_id(r), id);
	snprintf(line, sizeof line,
		 "{\"cmd\":\"run.request\",\"args\":{\"run\":\"%s\",\"step\":3}}", id);
	is(answer(fd, line), "ok", "true");
	assert_int_equal(inquired.kind, INQUIRY_REQUEST);
	assert_int_equal(inquired.tenant, 1);
	assert_int_equal(inquired.step, 3);
	assert_true(uuid_eq(inquired.object, lq_run_id(r)));
	snprintf(line, sizeof line,
		 "{\"cmd\":\"key.test\",\"args\":{\"key\":\"%s\",\"tenant\":0}}", id);
	is(answer(fd, line), "error", "it is full");
	assert_int_equal(inquired.kind, INQUIRY_KEY);
	snprintf(line, sizeof line,
		 "{\"cmd\":\"key.test\",\"args\":{\"key\":\"%s\",\"tenant\":\"two\"}}",
		 id);
	is(answer(fd, line), "error", "tenant: a number is needed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_args_are_typed),
		cmocka_unit_test_setup_teardown(test_wrong_requests, begin, finish),
		cmocka_unit_test(test_a_mean),
		cmocka_unit_test_setup_teardown(test_status, begin, finish),
		cmocka_unit_test_setup_teardown(test_order_and_patience, begin, finish),
		cmocka_unit_test_setup_teardown(test_control_answers, begin, finish),
		cmocka_unit_test_setup_teardown(test_a_client_that_leaves, begin, finish),
		cmocka_unit_test_setup_teardown(test_the_time_limit, begin, finish),
		cmocka_unit_test_setup_teardown(test_lines, begin, finish),
		cmocka_unit_test_setup_teardown(test_inquiries, begin, finish),
		cmocka_unit_test_setup_teardown(test_large_answers, begin, finish),
		cmocka_unit_test_setup_teardown(test_lists, begin, finish),
		cmocka_unit_test_setup_teardown(test_an_endless_queue, begin, finish),
		cmocka_unit_test_setup_teardown(test_queue, begin, finish),
		cmocka_unit_test_setup_teardown(test_why, begin, finish),
		cmocka_unit_test_setup_teardown(test_a_blocked_lane, begin, finish),
		cmocka_unit_test_setup_teardown(test_a_parked_lane, begin, finish),
		cmocka_unit_test_setup_teardown(test_workers, begin, finish),
		cmocka_unit_test_setup_teardown(test_invalidate, begin, finish),
		cmocka_unit_test_setup_teardown(test_without_a_database, begin, finish),
	};
	crypto_init();
	log_init("test", LOG_ERROR);
	if (!mkdtemp(dir))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	json_free(doc);
	rmdir(dir);
	return failed;
}
