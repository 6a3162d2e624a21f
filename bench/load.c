/* SPDX-License-Identifier: Apache-2.0
 * The load client: N lanes on N keep-alive connections to a node's HTTP door, one thread,
 * epoll. Prints one JSON object: counts, rate, latencies in microseconds. Never: part of
 * the product.
 *
 *   load turns   PORT TOKENFILE LANES MS [SESSIONS]   each lane: POST stream:true, read
 * to the end, again load paced   PORT TOKENFILE LANES MS RATE         the same, started
 * at RATE a second in all (open loop) load enqueue PORT TOKENFILE LANES MS SESSIONS each
 * connection: POST, read the 202, next session
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum mode { MODE_TURNS, MODE_PACED, MODE_ENQUEUE };

struct lane {
	int fd;
	int number;
	long turn;
	int busy, acked;
	int64_t sent_us, due_us, ack_us;
	size_t have;
	char in[65536];
};

static struct {
	enum mode mode;
	char token[256];
	char tag[32];
	int lanes, ms, sessions;
	double rate;
	const char *message;
	uint32_t *total_us, *ack_us;
	size_t samples, cap;
	long refused, turns;
} g;

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int connect_to(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void lane_send(struct lane *l)
{
	char body[512], req[1024];
	long session =
		g.mode == MODE_ENQUEUE
			? l->turn * g.lanes + l->number
			: l->number + g.lanes * (l->turn % (g.sessions / g.lanes
								    ? g.sessions / g.lanes
								    : 1));
	if (g.sessions > 0)
		session %= g.sessions;
	l->turn++;
	int64_t now = now_us();
	int n = snprintf(body, sizeof body,
			 "{\"sessionKey\":\"bench:%s:%ld\",\"message\":\"%s "
			 "t=%lld\",\"stream\":%s}",
			 g.tag, session, g.message, (long long)now,
			 g.mode == MODE_ENQUEUE ? "false" : "true");
	int k = snprintf(req, sizeof req,
			 "POST /v1/agents/main/runs HTTP/1.1\r\nHost: "
			 "localhost\r\nAuthorization: Bearer %s\r\n"
			 "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			 g.token, n, body);
	l->sent_us = g.mode == MODE_PACED ? l->due_us : now;
	l->busy = 1;
	l->acked = 0;
	l->have = 0;
	if (send(l->fd, req, (size_t)k, MSG_NOSIGNAL) != k)
		die("send");
}

/* Whether the answer in l->in is whole. */
static int lane_is_whole(struct lane *l)
{
	char *head = strstr(l->in, "\r\n\r\n");
	if (!head)
		return 0;
	if (!l->acked) {
		l->acked = 1;
		l->ack_us = now_us();
	}
	char *cl = strcasestr(l->in, "\r\ncontent-length:");
	if (cl && cl < head)
		return l->have >= (size_t)(head + 4 - l->in) + strtoul(cl + 17, NULL, 10);
	return l->have >= 5 && !memcmp(l->in + l->have - 5, "0\r\n\r\n", 5) &&
	       (l->have == 5 || l->in[l->have - 6] == '\n');
}

static void lane_finish(struct lane *l, int measured)
{
	int status = atoi(l->in + 9);
	l->busy = 0;
	if (status == 429 || status == 503) {
		g.refused++;
		return;
	}
	if (status != 200 && status != 202) {
		fprintf(stderr, "load: unexpected answer: %.400s\n", l->in);
		exit(1);
	}
	if (g.mode != MODE_ENQUEUE &&
	    (!strstr(l->in, "tok") || !strstr(l->in, "\"result\":\"completed\""))) {
		fprintf(stderr, "load: a turn did not complete: %.3000s\n", l->in);
		exit(1);
	}
	g.turns++;
	if (!measured || g.samples == g.cap)
		return;
	g.total_us[g.samples] = (uint32_t)(now_us() - l->sent_us);
	g.ack_us[g.samples++] = (uint32_t)(l->ack_us - l->sent_us);
}

static void lane_read(struct lane *l, int measured)
{
	ssize_t r =
		recv(l->fd, l->in + l->have, sizeof l->in - 1 - l->have, MSG_DONTWAIT);
	if (r == 0 || (r < 0 && errno != EAGAIN))
		die("the node closed the connection");
	if (r < 0)
		return;
	l->have += (size_t)r;
	l->in[l->have] = 0;
	if (lane_is_whole(l))
		lane_finish(l, measured);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static uint32_t quantile(const uint32_t *v, size_t n, double q)
{
	return n ? v[(size_t)((double)(n - 1) * q)] : 0;
}

static void report(double secs)
{
	qsort(g.total_us, g.samples, sizeof *g.total_us, by_value);
	qsort(g.ack_us, g.samples, sizeof *g.ack_us, by_value);
	printf("{\"n\":%zu,\"secs\":%.3f,\"per_s\":%.1f,\"p50_us\":%u,\"p99_us\":%u,"
	       "\"ack_p50_us\":%u,"
	       "\"ack_p99_us\":%u,\"refused\":%ld}\n",
	       g.samples, secs, (double)g.samples / secs,
	       quantile(g.total_us, g.samples, 0.5),
	       quantile(g.total_us, g.samples, 0.99), quantile(g.ack_us, g.samples, 0.5),
	       quantile(g.ack_us, g.samples, 0.99), g.refused);
}

static void drive(struct lane *lanes, int ep, int64_t until_us, int measured)
{
	struct epoll_event ev[256];
	int64_t next_us = now_us(), progress_us = next_us;
	int idle_from = 0;
	for (;;) {
		int64_t now = now_us();
		if (now >= until_us)
			return;
		if (g.mode == MODE_PACED) {
			for (int i = 0; i < g.lanes && next_us <= now; i++) {
				struct lane *l = &lanes[(idle_from + i) % g.lanes];
				if (l->busy)
					continue;
				l->due_us = next_us;
				next_us += (int64_t)(1e6 / g.rate);
				lane_send(l);
				idle_from = (idle_from + i + 1) % g.lanes;
				i = -1;
			}
		} else {
			for (int i = 0; i < g.lanes; i++)
				if (!lanes[i].busy)
					lane_send(&lanes[i]);
		}
		int wait_ms = g.mode == MODE_PACED ? 1 : 100;
		int n = epoll_wait(ep, ev, 256, wait_ms);
		for (int i = 0; i < n; i++)
			lane_read(ev[i].data.ptr, measured);
		if (n > 0)
			progress_us = now;
		else if (now - progress_us > 10000000) {
			fprintf(stderr, "load: nothing came for 10 s\n");
			exit(1);
		}
	}
}

static void parse(int argc, char **argv)
{
	if (argc < 6) {
		fprintf(stderr, "usage: load turns|paced|enqueue PORT TOKENFILE LANES MS "
				"[SESSIONS|RATE]\n");
		exit(2);
	}
	g.mode = !strcmp(argv[1], "paced")     ? MODE_PACED
		 : !strcmp(argv[1], "enqueue") ? MODE_ENQUEUE
					       : MODE_TURNS;
	FILE *f = fopen(argv[3], "r");
	if (!f || !fgets(g.token, sizeof g.token, f))
		die(argv[3]);
	g.token[strcspn(g.token, "\r\n")] = 0;
	fclose(f);
	g.lanes = atoi(argv[4]);
	g.ms = atoi(argv[5]);
	g.sessions = g.mode == MODE_PACED ? g.lanes * 4 : 2048;
	g.rate = 100;
	if (argc > 6 && g.mode == MODE_PACED)
		g.rate = atof(argv[6]);
	else if (argc > 6)
		g.sessions = atoi(argv[6]);
	const char *tag = getenv("LOAD_TAG"); /* the same one finds its sessions again */
	snprintf(g.tag, sizeof g.tag, "%lx", (long)now_us());
	if (tag)
		snprintf(g.tag, sizeof g.tag, "%s", tag);
	g.message = g.mode == MODE_ENQUEUE ? getenv("LOAD_MESSAGE")
					   : "[chunks 4] four words to say";
	if (!g.message)
		g.message = "[delay 600000] x";
	g.cap = 8000000;
	g.total_us = malloc(g.cap * sizeof *g.total_us);
	g.ack_us = malloc(g.cap * sizeof *g.ack_us);
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	int ep = epoll_create1(0);
	struct lane *lanes = calloc((size_t)g.lanes, sizeof *lanes);
	for (int i = 0; i < g.lanes; i++) {
		lanes[i].number = i;
		lanes[i].fd = connect_to(atoi(argv[2]));
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &lanes[i]};
		epoll_ctl(ep, EPOLL_CTL_ADD, lanes[i].fd, &e);
	}
	int64_t start_us = now_us();
	if (g.mode != MODE_ENQUEUE) /* open every session, fill the caches */
		while (g.turns < g.sessions * 2 && now_us() - start_us < 20000000)
			drive(lanes, ep, now_us() + 100000, 0);
	printf("START\n");
	fflush(stdout);
	start_us = now_us();
	drive(lanes, ep, start_us + g.ms * 1000LL, 1);
	double secs = (double)(now_us() - start_us) / 1e6;
	printf("END ");
	report(secs);
	return 0;
}
