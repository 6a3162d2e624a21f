/* SPDX-License-Identifier: Apache-2.0
 * The load client: N lanes on N keep-alive connections to a node's HTTP door, one thread,
 * epoll. Prints START, then END and one JSON object: counts, rate, latencies in
 * microseconds. Never: part of the product.
 *
 *   load turns   PORT TOKENS [key=value ...]  each lane: POST stream:true, read to the
 *                                             end, again
 *   load paced   PORT TOKENS [key=value ...]  the same, started at `rate` a second in all
 *                                             (open loop)
 *   load enqueue PORT TOKENS [key=value ...]  each connection: POST, read the 202, next
 *                                             session
 *
 * TOKENS is a file of tokens, one a line; session n uses line n modulo their number. The
 * keys are in `options` below. */
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

#define SAMPLES_MAX 8000000
#define TOKENS_MAX 4096
#define SECONDS_MAX 3600
/* Odd and no multiple of 5: coprime to the round numbers of sessions it scatters over. */
#define SCATTER 618033L

enum mode { MODE_TURNS, MODE_PACED, MODE_ENQUEUE };

struct lane {
	int fd;
	long number, turn;
	int busy, acked;
	int64_t sent_us, due_us, ack_us;
	size_t have;
	char in[65536];
};

static struct {
	enum mode mode;
	char *tokens[TOKENS_MAX];
	long token_count;
	long lanes, ms, sessions, rate, warm, count, delay, first, scatter, series;
	const char *tag, *message, *queue;
	uint32_t *total_us, *ack_us;
	size_t samples;
	long refused, turns, sent;
	int64_t start_us;
	long by_second[SECONDS_MAX];
} g = {.lanes = 64, .ms = 5000, .sessions = 2048, .rate = 100, .warm = 1};

static const struct {
	const char *name;
	long *number;
	const char **text;
} options[] = {
	{"lanes", &g.lanes, NULL},       /* connections */
	{"ms", &g.ms, NULL},             /* how long */
	{"sessions", &g.sessions, NULL}, /* their number, in turn */
	{"rate", &g.rate, NULL},         /* paced: starts a second */
	{"warm", &g.warm, NULL},         /* turns of each session before START; 0: none */
	{"count", &g.count, NULL},       /* end after so many answers; 0: by time only */
	{"delay", &g.delay, NULL},       /* delayMs of each run */
	{"first", &g.first, NULL},       /* the number of the first session */
	{"scatter", &g.scatter, NULL},   /* 1: neighbours in time are none in the table */
	{"series", &g.series, NULL},     /* 1: also print the answers of each second */
	{"tag", NULL, &g.tag},           /* the same one finds its sessions again */
	{"message", NULL, &g.message},   /* what each run says */
	{"queue", NULL, &g.queue},       /* queueMode */
};

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

/* ---- one lane */

/* Lanes share no session, unless there are fewer sessions than lanes. */
static long next_session(struct lane *l)
{
	long rounds = g.sessions / g.lanes > 0 ? g.sessions / g.lanes : 1;
	long session = g.first + l->number + g.lanes * (l->turn++ % rounds);
	session %= g.sessions;
	return g.scatter ? session * SCATTER % g.sessions : session;
}

static int write_body(char *body, size_t size, long session, int64_t now)
{
	char extra[96] = "";
	int k = 0;
	if (g.queue)
		k = snprintf(extra, sizeof extra, ",\"queueMode\":\"%.20s\"", g.queue);
	if (g.delay)
		snprintf(extra + k, sizeof extra - (size_t)k, ",\"delayMs\":%ld",
			 g.delay);
	return snprintf(body, size,
			"{\"sessionKey\":\"bench:%s:%ld\",\"message\":\"%s t=%lld\","
			"\"stream\":%s%s}",
			g.tag, session, g.message, (long long)now,
			g.mode == MODE_ENQUEUE ? "false" : "true", extra);
}

static void lane_send(struct lane *l)
{
	char body[1024], req[2048];
	long session = next_session(l);
	int64_t now = now_us();
	int n = write_body(body, sizeof body, session, now);
	int k = snprintf(req, sizeof req,
			 "POST /v1/agents/main/runs HTTP/1.1\r\nHost: localhost\r\n"
			 "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
			 "Content-Length: %d\r\n\r\n%s",
			 g.tokens[session % g.token_count], n, body);
	l->sent_us = g.mode == MODE_PACED ? l->due_us : now;
	l->busy = 1;
	l->acked = 0;
	l->have = 0;
	g.sent++;
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

static void lane_check(const struct lane *l, int status)
{
	if (status != 200 && status != 202) {
		fprintf(stderr, "load: unexpected answer: %.400s\n", l->in);
		exit(1);
	}
	if (g.mode != MODE_ENQUEUE &&
	    (!strstr(l->in, "tok") || !strstr(l->in, "\"result\":\"completed\""))) {
		fprintf(stderr, "load: a turn did not complete: %.3000s\n", l->in);
		exit(1);
	}
}

static void lane_finish(struct lane *l, int measured)
{
	int status = atoi(l->in + 9);
	l->busy = 0;
	if (status == 429 || status == 503) {
		g.refused++;
		return;
	}
	lane_check(l, status);
	g.turns++;
	if (!measured || g.samples == SAMPLES_MAX)
		return;
	int64_t now = now_us(), second = (now - g.start_us) / 1000000;
	if (second < SECONDS_MAX)
		g.by_second[second]++;
	g.total_us[g.samples] = (uint32_t)(now - l->sent_us);
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

/* ---- all lanes */

/* Starts what is due; the microseconds until the next start. */
static int64_t send_paced(struct lane *lanes, int64_t now, int64_t *next_us)
{
	static long from;
	for (long i = 0; i < g.lanes && *next_us <= now; i++) {
		struct lane *l = &lanes[(from + i) % g.lanes];
		if (l->busy)
			continue;
		l->due_us = *next_us;
		*next_us += 1000000 / g.rate;
		lane_send(l);
		from = (from + i + 1) % g.lanes;
		i = -1;
	}
	return *next_us > now ? *next_us - now : 100000;
}

static int64_t send_all(struct lane *lanes)
{
	for (long i = 0; i < g.lanes; i++)
		if (!lanes[i].busy && (!g.count || g.sent < g.count + g.refused))
			lane_send(&lanes[i]);
	return 100000;
}

static void drive(struct lane *lanes, int ep, int64_t until_us, int measured)
{
	struct epoll_event ev[256];
	int64_t next_us = now_us(), progress_us = next_us;
	for (;;) {
		int64_t now = now_us();
		if (now >= until_us || (g.count && g.turns >= g.count))
			return;
		int64_t pause = g.mode == MODE_PACED ? send_paced(lanes, now, &next_us)
						     : send_all(lanes);
		if (pause > until_us - now)
			pause = until_us - now;
		struct timespec wait = {0, pause * 1000};
		int n = epoll_pwait2(ep, ev, 256, &wait, NULL);
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

/* Opens every session and fills the caches. */
static void warm_up(struct lane *lanes, int ep)
{
	int64_t start_us = now_us();
	long rate = g.rate;
	if (g.mode == MODE_PACED && g.rate < 1000)
		g.rate = 1000;
	while (g.turns < g.sessions * g.warm && now_us() - start_us < 20000000)
		drive(lanes, ep, now_us() + 50000, 0);
	g.rate = rate;
}

/* ---- the report */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static uint32_t quantile(const uint32_t *v, double q)
{
	return g.samples ? v[(size_t)((double)(g.samples - 1) * q)] : 0;
}

static void report(double secs)
{
	qsort(g.total_us, g.samples, sizeof *g.total_us, by_value);
	qsort(g.ack_us, g.samples, sizeof *g.ack_us, by_value);
	printf("{\"n\":%zu,\"secs\":%.3f,\"per_s\":%.1f,\"p50_us\":%u,\"p99_us\":%u,"
	       "\"ack_p50_us\":%u,\"ack_p99_us\":%u,\"refused\":%ld",
	       g.samples, secs, (double)g.samples / secs, quantile(g.total_us, 0.5),
	       quantile(g.total_us, 0.99), quantile(g.ack_us, 0.5),
	       quantile(g.ack_us, 0.99), g.refused);
	if (g.series) {
		printf(",\"series\":[");
		for (long i = 0; i < (long)secs && i < SECONDS_MAX; i++)
			printf("%s%ld", i ? "," : "", g.by_second[i]);
		printf("]");
	}
	printf("}\n");
}

/* ---- the command line */

static void usage(void)
{
	fprintf(stderr, "usage: load turns|paced|enqueue PORT TOKENS [key=value ...]:");
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		fprintf(stderr, " %s", options[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

static void take_option(const char *arg)
{
	const char *eq = strchr(arg, '=');
	for (size_t i = 0; eq && i < sizeof options / sizeof *options; i++) {
		size_t n = strlen(options[i].name);
		if (n != (size_t)(eq - arg) || memcmp(arg, options[i].name, n))
			continue;
		if (options[i].text)
			*options[i].text = eq + 1;
		else
			*options[i].number = atol(eq + 1);
		return;
	}
	fprintf(stderr, "load: unknown option '%s'\n", arg);
	usage();
}

static void read_tokens(const char *path)
{
	char line[512];
	FILE *f = fopen(path, "r");
	if (!f)
		die(path);
	while (g.token_count < TOKENS_MAX && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\r\n")] = 0;
		if (*line)
			g.tokens[g.token_count++] = strdup(line);
	}
	fclose(f);
	if (!g.token_count) {
		fprintf(stderr, "load: no token in %s\n", path);
		exit(1);
	}
}

static void parse(int argc, char **argv)
{
	static const char *const modes[] = {"turns", "paced", "enqueue"};
	static char tag[32];
	if (argc < 4)
		usage();
	while (strcmp(argv[1], modes[g.mode]))
		if (++g.mode > MODE_ENQUEUE)
			usage();
	read_tokens(argv[3]);
	snprintf(tag, sizeof tag, "%lx", (long)now_us());
	g.tag = tag;
	for (int i = 4; i < argc; i++)
		take_option(argv[i]);
	if (g.lanes < 1 || g.sessions < 1 || g.rate < 1 || g.ms < 1 ||
	    (g.message && strlen(g.message) > 400)) {
		fprintf(stderr, "load: lanes, sessions, rate and ms are at least 1, a "
				"message has at most 400 bytes\n");
		exit(2);
	}
	if (!g.message)
		g.message = g.mode == MODE_ENQUEUE ? "[delay 600000] x"
						   : "[chunks 4] four words to say";
	g.total_us = malloc(SAMPLES_MAX * sizeof *g.total_us);
	g.ack_us = malloc(SAMPLES_MAX * sizeof *g.ack_us);
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	int ep = epoll_create1(0);
	struct lane *lanes = calloc((size_t)g.lanes, sizeof *lanes);
	for (long i = 0; i < g.lanes; i++) {
		lanes[i].number = i;
		lanes[i].fd = connect_to(atoi(argv[2]));
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &lanes[i]};
		epoll_ctl(ep, EPOLL_CTL_ADD, lanes[i].fd, &e);
	}
	if (g.mode != MODE_ENQUEUE)
		warm_up(lanes, ep);
	printf("START\n");
	fflush(stdout);
	g.start_us = now_us();
	drive(lanes, ep, g.start_us + g.ms * 1000LL, 1);
	double secs = (double)(now_us() - g.start_us) / 1e6;
	printf("END ");
	report(secs);
	return 0;
}
