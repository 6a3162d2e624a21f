/* SPDX-License-Identifier: Apache-2.0
 * Both ends of a link in one process, each with a loop of its own so that either can be
 * made not to read. */
#include <dlfcn.h>
#include <nng/nng.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/loop.h"
#include "proto/chan.h"

#define PATIENCE_US 20000000

struct end {
	struct loop *loop;
	struct chan *chan;
	unsigned peer_pid;
	int ups, downs, highs, lows;
	uint64_t messages, wrong;
	bool free_on_down, free_on_message;
	char why[160];
	uint32_t last;
	size_t body_bytes;
};

/* As the library's, which now and then never returns: while `held` says so. */
static atomic_int held, closed;

int nng_close(nng_socket socket)
{
	int (*close_it)(nng_socket) = (int (*)(nng_socket))dlsym(RTLD_NEXT, "nng_close");
	while (atomic_load(&held))
		usleep(1000);
	int rv = close_it(socket);
	atomic_fetch_add(&closed, 1);
	return rv;
}

static struct end sup, child;
static int64_t stall_us;
static char dir[64], url[128];
static uint8_t secret[32] = {1, 2, 3}, other_secret[32] = {9};
static char big[LIMIT_BODY_BYTES];

static void on_up(void *arg, unsigned pid)
{
	struct end *e = arg;
	e->ups++;
	e->peer_pid = pid;
}

static void on_message(void *arg, enum wire_id id, const union wire_any *m)
{
	struct end *e = arg;
	uint32_t n = 0;
	if (id == WIRE_PING)
		n = m->ping.beat;
	else if (id == WIRE_DRAIN)
		n = m->drain.grace_ms;
	else if (id == WIRE_READY)
		return;
	else if (id == WIRE_RUN_START) {
		n = m->run_start.ev_seq;
		e->body_bytes += m->run_start.body.n;
		e->wrong += memcmp(m->run_start.body.p, big, m->run_start.body.n) != 0;
	}
	e->wrong += n != ++e->last;
	e->messages++;
	if (e->free_on_message) {
		chan_free(e->chan);
		e->chan = NULL;
	}
}

static void on_down(void *arg, const char *why)
{
	struct end *e = arg;
	e->downs++;
	snprintf(e->why, sizeof e->why, "%s", why);
	if (e->free_on_down) {
		chan_free(e->chan);
		e->chan = NULL;
	}
}

static void on_pressure(void *arg, bool high)
{
	struct end *e = arg;
	high ? e->highs++ : e->lows++;
}

static void open_end(struct end *e, const uint8_t *key)
{
	struct chan_config c = {.loop = e->loop,
				.url = url,
				.is_supervisor = e == &sup,
				.role = ROLE_WORKER,
				.secret = key,
				.stall_us = stall_us,
				.on_up = on_up,
				.on_message = on_message,
				.on_down = on_down,
				.on_pressure = on_pressure,
				.arg = e};
	char why[200] = "";
	e->chan = chan_open(&c, why, sizeof why);
	if (!e->chan)
		fail_msg("%s", why);
}

static void turn_both(void)
{
	loop_turn(sup.loop, 1);
	loop_turn(child.loop, 1);
}
#define UNTIL(cond)                                                                      \
	do {                                                                             \
		int64_t give_up_us = clock_mono_us() + PATIENCE_US;                      \
		while (!(cond)) {                                                        \
			turn_both();                                                     \
			if (clock_mono_us() > give_up_us)                                \
				fail_msg("never: %s (%s|%s)", #cond, sup.why,            \
					 child.why);                                     \
		}                                                                        \
	} while (0)

static int begin(void **state)
{
	(void)state;
	memset(&sup, 0, sizeof sup);
	memset(&child, 0, sizeof child);
	stall_us = 0;
	sup.loop = loop_new();
	child.loop = loop_new();
	chan_make_url(dir, url, sizeof url);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	chan_free(sup.chan);
	chan_free(child.chan);
	loop_turn(sup.loop, 0);
	loop_turn(child.loop, 0);
	assert_true(chan_wait_closed(PATIENCE_US / 1000));
	loop_free(sup.loop);
	loop_free(child.loop);
	return 0;
}

static void greet(void)
{
	open_end(&sup, secret);
	open_end(&child, secret);
	UNTIL(sup.ups && child.ups);
}

static void ready(void)
{
	greet();
	chan_set_phase(sup.chan, LINK_READY);
	chan_set_phase(child.chan, LINK_READY);
}

static void send_ping(uint32_t n)
{
	struct wire_ping m = {.beat = n};
	assert_int_equal(chan_send(child.chan, WIRE_PING, &m), ERR_OK);
}

static void send_start(uint32_t n, size_t body)
{
	struct wire_run_start m = {.ev_seq = n, .body = slice_of(big, body)};
	assert_int_equal(chan_send(sup.chan, WIRE_RUN_START, &m), ERR_OK);
}

static void test_handshake(void **state)
{
	(void)state;
	greet();
	assert_int_equal(sup.peer_pid, getpid());
	assert_int_equal(chan_phase(sup.chan), LINK_GREETED);
	assert_int_equal(chan_phase(child.chan), LINK_GREETED);
	assert_int_equal(sup.ups + child.ups, 2);
	assert_int_equal(sup.downs + child.downs, 0);
	assert_int_equal(chan_outbox(sup.chan) + chan_outbox(child.chan), 0);
}

static void test_many_both_ways(void **state)
{
	(void)state;
	const uint32_t most = 50000;
	ready();
	for (uint32_t n = 1; n <= most; n++) {
		struct wire_drain m = {.grace_ms = n};
		send_ping(n);
		assert_int_equal(chan_send(sup.chan, WIRE_DRAIN, &m), ERR_OK);
		if (n % 777 == 0)
			turn_both();
	}
	UNTIL(sup.messages == most && child.messages == most);
	assert_int_equal(sup.wrong + child.wrong, 0);
	assert_int_equal(sup.downs + child.downs, 0);
	assert_int_equal(chan_outbox(sup.chan) + chan_outbox(child.chan), 0);
}

static void test_big_messages(void **state)
{
	(void)state;
	ready();
	for (uint32_t n = 1; n <= 12; n++)
		send_start(n, n % 2 ? sizeof big : 1000);
	UNTIL(child.messages == 12);
	assert_int_equal(child.wrong, 0);
	assert_int_equal(child.body_bytes, 6 * sizeof big + 6000);
}

static void test_too_large_leaves_no_trace(void **state)
{
	(void)state;
	ready();
	struct wire_ready m = {.detail = slice_of(big, 513)};
	for (uint32_t n = 1; n <= 3; n++) {
		assert_int_equal(chan_send(child.chan, WIRE_READY, &m), ERR_TOO_LARGE);
		turn_both();
		send_ping(n);
		assert_int_equal(chan_send(child.chan, WIRE_READY, &m), ERR_TOO_LARGE);
		turn_both();
	}
	UNTIL(sup.messages == 3);
	assert_int_equal(sup.wrong + (unsigned)sup.downs, 0);
}

static void test_wrong_secret(void **state)
{
	(void)state;
	open_end(&sup, secret);
	open_end(&child, other_secret);
	sup.free_on_down = true;
	UNTIL(sup.downs && child.downs);
	assert_string_equal(sup.why, "it could not prove who it is");
	assert_string_equal(child.why, "it closed the link");
	assert_int_equal(sup.ups + child.ups, 0);
}

static void expect_out_of_turn(const char *name)
{
	char want[64];
	snprintf(want, sizeof want, "it sent '%s' out of turn", name);
	UNTIL(sup.downs);
	assert_string_equal(sup.why, want);
	assert_int_equal(sup.messages, 0);
	for (int i = 0; i < 5; i++)
		turn_both();
	assert_int_equal(sup.downs, 1);
	struct wire_drain m = {1};
	assert_int_equal(chan_send(sup.chan, WIRE_DRAIN, &m), ERR_PEER_GONE);
}

static void test_wrong_phase(void **state)
{
	(void)state;
	greet();
	send_ping(1);
	expect_out_of_turn("ping");
}

static void test_wrong_route(void **state)
{
	(void)state;
	ready();
	struct wire_unsubscribe m = {1}; /* an edge's, said by a worker */
	assert_int_equal(chan_send(child.chan, WIRE_UNSUBSCRIBE, &m), ERR_OK);
	send_ping(1); /* and what comes after it is not heard */
	expect_out_of_turn("unsubscribe");
}

static void test_hello_again(void **state)
{
	(void)state;
	ready();
	struct wire_hello m = {.table_hash = wire_table_hash(),
			       .role = ROLE_WORKER,
			       .secret = slice_of(secret, 32)};
	assert_int_equal(chan_send(child.chan, WIRE_HELLO, &m), ERR_OK);
	expect_out_of_turn("hello");
}

static void test_peer_closes(void **state)
{
	(void)state;
	ready();
	send_ping(1);
	UNTIL(sup.messages == 1);
	chan_free(child.chan);
	child.chan = NULL;
	UNTIL(sup.downs);
	assert_string_equal(sup.why, "it closed the link");
	for (int i = 0; i < 5; i++)
		turn_both();
	assert_int_equal(sup.downs, 1);
	assert_int_equal(child.downs, 0); /* freed by its owner: it is told nothing */
}

/* A supervisor goes on though a socket is never closed, and can end. */
static void test_a_close_that_hangs(void **state)
{
	(void)state;
	ready();
	atomic_store(&closed, 0);
	atomic_store(&held, 1);
	chan_free(sup.chan);
	sup.chan = NULL;
	loop_turn(sup.loop, 0);
	assert_int_equal(atomic_load(&closed), 0);
	assert_false(chan_wait_closed(10));
	atomic_store(&held, 0);
	assert_true(chan_wait_closed(PATIENCE_US / 1000));
	assert_int_equal(atomic_load(&closed), 1);
}

static void test_free_inside_a_message(void **state)
{
	(void)state;
	ready();
	sup.free_on_message = true;
	for (uint32_t n = 1; n <= 100; n++)
		send_ping(n);
	UNTIL(child.downs);
	assert_int_equal(sup.messages, 1);
	assert_int_equal(sup.downs, 0);
	assert_null(sup.chan);
}

static void test_nobody_greets(void **state)
{
	(void)state;
	struct chan_config c = {.loop = sup.loop,
				.url = url,
				.is_supervisor = true,
				.role = ROLE_EDGE,
				.secret = secret,
				.hello_timeout_us = 20000,
				.on_up = on_up,
				.on_message = on_message,
				.on_down = on_down,
				.arg = &sup};
	char why[200];
	sup.chan = chan_open(&c, why, sizeof why);
	assert_non_null(sup.chan);
	UNTIL(sup.downs);
	assert_string_equal(sup.why, "no greeting in time");
}

static void test_nobody_listens(void **state)
{
	(void)state;
	struct chan_config c = {.loop = child.loop,
				.url = url,
				.role = ROLE_EDGE,
				.secret = secret,
				.on_down = on_down,
				.arg = &child};
	char why[200] = "";
	assert_null(chan_open(&c, why, sizeof why));
	assert_non_null(strstr(why, url));
}

/* The child does not read: small frames until nng and the kernel take no more. */
static uint32_t fill_queues(void)
{
	uint32_t n = 0;
	while (chan_outbox(sup.chan) < LIMIT_OUTBOX_SOFT / 4) {
		while (chan_outbox(sup.chan) < LIMIT_OUTBOX_SOFT / 2 && n < 1000000) {
			send_start(++n, 100);
			loop_turn(sup.loop, 0);
		}
		for (int i = 0; i < 20; i++) /* nng's threads may still be moving some */
			loop_turn(sup.loop, 1);
	}
	return n;
}

static void test_pressure(void **state)
{
	(void)state;
	ready();
	uint32_t n = fill_queues();
	assert_int_equal(sup.highs, 0);
	while (chan_outbox(sup.chan) <= LIMIT_OUTBOX_SOFT)
		send_start(++n, 50000);
	loop_turn(sup.loop, 0);
	assert_int_equal(sup.highs, 1);
	send_start(++n, 50000);
	loop_turn(sup.loop, 0);
	assert_int_equal(sup.highs, 1); /* said once */
	assert_int_equal(sup.lows, 0);
	UNTIL(child.messages == n);
	UNTIL(sup.lows == 1);
	assert_int_equal(sup.highs, 1);
	assert_int_equal(child.wrong, 0);
}

/* What one turn brings is no reason to give the peer up, however much it is. */
static void test_much_in_one_turn(void **state)
{
	(void)state;
	uint32_t n = 0;
	ready();
	while (chan_outbox(sup.chan) < LIMIT_OUTBOX_HARD + 2 * sizeof big)
		send_start(++n, sizeof big);
	UNTIL(child.messages == n);
	assert_int_equal(child.wrong, 0);
	assert_int_equal(sup.downs + child.downs, 0);
	assert_int_equal(chan_outbox(sup.chan), 0);
}

static void test_peer_that_never_reads(void **state)
{
	(void)state;
	struct wire_run_start m = {.body = slice_of(big, 50000)};
	stall_us = 100000;
	ready();
	int64_t give_up_us = clock_mono_us() + PATIENCE_US;
	while (!sup.downs && clock_mono_us() < give_up_us) {
		if (chan_outbox(sup.chan) < LIMIT_OUTBOX_SOFT)
			assert_int_equal(chan_send(sup.chan, WIRE_RUN_START, &m), ERR_OK);
		loop_turn(sup.loop, chan_outbox(sup.chan) ? 5 : 0);
	}
	assert_int_equal(sup.downs, 1);
	assert_string_equal(sup.why, "for 0.1 s it read nothing of what it was sent");
	assert_int_equal(chan_send(sup.chan, WIRE_RUN_START, &m), ERR_PEER_GONE);
	assert_int_equal(sup.downs, 1);
}

/* A supervisor that stands still is stopped by somebody, and goes on. */
static void test_supervisor_that_never_reads(void **state)
{
	(void)state;
	stall_us = 50000;
	uint32_t n = 0;
	ready();
	while (chan_outbox(child.chan) < LIMIT_OUTBOX_SOFT) {
		for (int i = 0; i < 20000; i++)
			send_ping(++n);
		loop_turn(child.loop, 1);
	}
	int64_t until_us = clock_mono_us() + 4 * stall_us;
	while (clock_mono_us() < until_us)
		loop_turn(child.loop, 5);
	assert_int_equal(child.downs, 0);
	UNTIL(sup.messages == n);
	assert_int_equal(sup.wrong, 0);
}

static void test_urls_differ(void **state)
{
	(void)state;
	char a[128], b[128];
	chan_make_url("/run/x", a, strlen("/run/x") + 40);
	chan_make_url("/run/x", b, strlen("/run/x") + 40);
	assert_string_not_equal(a, b);
	assert_memory_equal(a, "ipc:///run/x/", 13);
	assert_int_equal(strlen(a), 13 + 16);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	crypto_init();
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 31 + i / 4096);
	snprintf(dir, sizeof dir, "/tmp/test_chan.XXXXXX");
	if (!mkdtemp(dir))
		return 1;
	const struct CMUnitTest tests[] = {
		STORY(test_handshake),
		STORY(test_many_both_ways),
		STORY(test_big_messages),
		STORY(test_too_large_leaves_no_trace),
		STORY(test_wrong_secret),
		STORY(test_wrong_phase),
		STORY(test_wrong_route),
		STORY(test_hello_again),
		STORY(test_peer_closes),
		STORY(test_a_close_that_hangs),
		STORY(test_free_inside_a_message),
		STORY(test_nobody_greets),
		STORY(test_nobody_listens),
		STORY(test_pressure),
		STORY(test_much_in_one_turn),
		STORY(test_peer_that_never_reads),

		STORY(test_supervisor_that_never_reads),
		STORY(test_urls_differ),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
