/* SPDX-License-Identifier: Apache-2.0
 * The queue's own rate of durable acceptance, without the door: stands in the place of
 * terabits-edge and says ENQUEUE on its link as fast as 64 clients would, each when it
 * has its ENQUEUED. Beside the program lies `queue.in`: a line of milliseconds, then
 * lines of tenant, agent, session and slot. Logs event=queue-rate. Never: part of the
 * product. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/die.h"
#include "common/log.h"
#include "common/loop.h"
#include "proto/boot.h"
#include "proto/chan.h"

#define CLIENTS 64
#define WARM_US 1000000
#define PING_US 1000000
#define BODY                                                                             \
	"{\"blocks\":[{\"type\":\"text\",\"text\":\"[delay 600000] x "                   \
	"t=1234567890123\"}]}"

struct lane {
	long long tenant;
	struct uuid agent, session;
	unsigned slot;
};

static struct {
	struct loop *loop;
	struct chan *chan;
	struct loop_timer *ping;
	struct lane *lanes;
	size_t lane_count, next;
	long ms, taken, refused;
	int64_t warm_until_us, until_us, began_us;
	bool over;
} g;

static void enqueue(uint64_t client)
{
	const struct lane *l = &g.lanes[g.next++ % g.lane_count];
	struct wire_enqueue m = {.req = client,
				 .tenant = l->tenant,
				 .run = uuid7_new(),
				 .session = l->session,
				 .agent = l->agent,
				 .slot = l->slot,
				 .mode = MODE_FOLLOWUP,
				 .tenant_max_running = 10000,
				 .tenant_max_queued = 1000000,
				 .tenant_weight = 100,
				 .agent_max_running = 10000,
				 .lane_cap = 20,
				 .drop = DROP_REJECT,
				 .user = SLICE(""),
				 .idem_key = SLICE(""),
				 .body_hash = SLICE(""),
				 .body = SLICE(BODY)};
	if (chan_send(g.chan, WIRE_ENQUEUE, &m))
		fatal("the link takes no ENQUEUE");
}

static void report(int64_t now)
{
	g.over = true;
	log_info("queue-rate", "n=%ld refused=%ld seconds=%.3f", g.taken, g.refused,
		 (double)(now - g.began_us) / 1e6);
}

static void on_enqueued(const struct wire_enqueued *m)
{
	int64_t now = clock_mono_us();
	if (g.over)
		return;
	if (!g.began_us && now >= g.warm_until_us) {
		g.began_us = now;
		g.until_us = now + g.ms * 1000;
	}
	if (g.began_us && m->error.n)
		g.refused++;
	else if (g.began_us)
		g.taken++;
	if (g.began_us && now >= g.until_us)
		report(now);
	else
		enqueue(m->req);
}

static void on_ping(void *arg)
{
	static uint32_t beat;
	struct wire_ping m = {.beat = ++beat};
	(void)arg;
	if (chan_send(g.chan, WIRE_PING, &m))
		fatal("the link takes no PING");
	loop_timer_start(g.ping, PING_US);
}

static void on_message(void *arg, enum wire_id id, const union wire_any *m)
{
	static bool begun;
	(void)arg;
	if (id == WIRE_ENQUEUED)
		on_enqueued(&m->enqueued);
	if (id != WIRE_NODE_STATE || !m->node_state.accepting || begun)
		return;
	begun = true;
	g.warm_until_us = clock_mono_us() + WARM_US;
	for (uint64_t i = 0; i < CLIENTS; i++)
		enqueue(i + 1);
}

static void on_up(void *arg, unsigned pid)
{
	struct wire_ready m = {.detail = SLICE("measures")};
	(void)arg, (void)pid;
	if (chan_send(g.chan, WIRE_READY, &m))
		fatal("the link takes no READY");
	chan_set_phase(g.chan, LINK_READY);
	on_ping(NULL);
}

static void on_down(void *arg, const char *why)
{
	(void)arg, (void)why;
	exit(0);
}

static void read_lanes(void)
{
	char path[4096], line[256], agent[64], session[64];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
	check(n > 0);
	path[n] = 0;
	strcpy(strrchr(path, '/') + 1, "queue.in");
	FILE *f = fopen(path, "r");
	if (!f || fscanf(f, "%ld\n", &g.ms) != 1)
		fatal("%s is missing", path);
	while (fgets(line, sizeof line, f)) {
		struct lane l;
		if (sscanf(line, "%lld %63s %63s %u", &l.tenant, agent, session,
			   &l.slot) != 4 ||
		    !uuid_parse(slice_str(agent), &l.agent) ||
		    !uuid_parse(slice_str(session), &l.session))
			fatal("%s: %s is no lane", path, line);
		g.lanes = realloc(g.lanes, (g.lane_count + 1) * sizeof l);
		g.lanes[g.lane_count++] = l;
	}
	fclose(f);
	check(g.lane_count);
}

int main(void)
{
	char err[256], url[128];
	const struct wire_boot *b = boot_read();
	log_init("edge.0", LOG_INFO);
	crypto_init();
	boot_die_with_parent(b->parent_pid);
	signal(SIGPIPE, SIG_IGN);
	snprintf(url, sizeof url, "%.*s", SLICE_ARG(b->url));
	read_lanes();
	g.loop = loop_new();
	g.ping = loop_timer_new(g.loop, on_ping, NULL);
	g.chan = chan_open(&(struct chan_config){.loop = g.loop,
						 .url = url,
						 .role = ROLE_EDGE,
						 .secret = (const uint8_t *)b->secret.p,
						 .on_up = on_up,
						 .on_message = on_message,
						 .on_down = on_down},
			   err, sizeof err);
	if (!g.chan)
		fatal("%s", err);
	loop_run(g.loop);
	return 0;
}
