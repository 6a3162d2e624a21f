/* SPDX-License-Identifier: Apache-2.0
 * The client of the door's measures, one thread, epoll. Prints START, then END and one
 * JSON object. Never: part of the product.
 *
 *   door get    PORT TOKEN-FILE PATHS [key=value ...]  keep-alive connections that ask
 * for the paths of that file in turn, each as soon as it has its answer, or `rate` a
 * second in all (open loop) door listen PORT TOKEN-FILE PATHS [key=value ...] connections
 * that each hold the stream of one path; counts its events until its input ends */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 8000000
#define PATHS_MAX 4096

struct conn {
	int fd, busy, begun;
	int64_t due_us;
	size_t have, need; /* of an answer; need 0: not known yet */
	char in[16384];
	char tail[4]; /* of a stream's last piece */
};

static struct {
	long conns, ms, rate, from;
	char *paths[PATHS_MAX], token[512];
	long path_count, next_path;
	uint32_t *us;
	size_t samples;
	long events, bytes, bad;
} g = {.conns = 64, .ms = 4000};

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "door: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* From several addresses of this machine: one has ports for 28,000. */
static int connect_to(int port, long number)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number / 10000))};
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	if (fd < 0 || bind(fd, (void *)&from, sizeof from) ||
	    connect(fd, (void *)&to, sizeof to))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void ask(struct conn *c, int64_t due_us)
{
	char text[2048];
	int n = snprintf(text, sizeof text,
			 "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
			 "%s\r\n\r\n",
			 g.paths[g.next_path++ % g.path_count], g.token);
	c->busy = 1;
	c->have = c->need = 0;
	c->due_us = due_us;
	if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		die("send");
}

/* ---- get */

static void got_answer(struct conn *c)
{
	c->busy = 0;
	g.bad += strncmp(c->in, "HTTP/1.1 200", 12) != 0;
	if (g.samples < SAMPLES_MAX)
		g.us[g.samples++] = (uint32_t)(now_us() - c->due_us);
}

static void read_answer(struct conn *c)
{
	size_t room = sizeof c->in - 1 - c->have;
	ssize_t n = recv(c->fd, c->in + c->have, room, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("the node closed the connection");
	if (n < 0)
		return;
	c->have += (size_t)n;
	c->in[c->have] = 0;
	char *end = c->need ? NULL : strstr(c->in, "\r\n\r\n");
	if (end) {
		char *length = strcasestr(c->in, "\r\ncontent-length:");
		c->need = (size_t)(end + 4 - c->in) +
			  (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
		if (c->need >= sizeof c->in) {
			fprintf(stderr, "door: an answer is too long\n");
			exit(1);
		}
	}
	if (c->need && c->have >= c->need)
		got_answer(c);
}

static int64_t start_due(struct conn *all, int64_t now, int64_t *next_us)
{
	static long from;
	if (!g.rate) {
		for (long i = 0; i < g.conns; i++)
			if (!all[i].busy)
				ask(&all[i], now);
		return 100000;
	}
	for (long i = 0; i < g.conns && *next_us <= now; i++) {
		struct conn *c = &all[(from + i) % g.conns];
		if (c->busy)
			continue;
		ask(c, *next_us);
		*next_us += 1000000 / g.rate;
		from = (from + i + 1) % g.conns;
		i = -1;
	}
	return *next_us > now ? *next_us - now : 100000;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static uint32_t quantile(double q)
{
	return g.samples ? g.us[(size_t)((double)(g.samples - 1) * q)] : 0;
}

static void drive(struct conn *all, int ep, int64_t until_us)
{
	struct epoll_event ev[512];
	int64_t next_us = now_us();
	for (int64_t now; (now = now_us()) < until_us;) {
		int64_t pause = start_due(all, now, &next_us);
		if (pause > until_us - now)
			pause = until_us - now;
		struct timespec wait = {0, pause * 1000};
		int n = epoll_pwait2(ep, ev, 512, &wait, NULL);
		for (int i = 0; i < n; i++)
			read_answer(ev[i].data.ptr);
	}
}

static void get(struct conn *all, int ep)
{
	drive(all, ep, now_us() + 300000); /* fills the caches */
	g.samples = 0;
	printf("START\n");
	fflush(stdout);
	int64_t began = now_us();
	drive(all, ep, began + g.ms * 1000);
	double seconds = (double)(now_us() - began) / 1e6;
	qsort(g.us, g.samples, sizeof *g.us, by_value);
	printf("END {\"n\":%zu,\"per_s\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"most_us\":%u,"
	       "\"bad\":%ld}\n",
	       g.samples, (double)g.samples / seconds, quantile(0.5), quantile(0.99),
	       quantile(1), g.bad);
}

/* ---- listen */

/* Each event has one line "id: ". A mark that is cut between two reads is found by the
 * last three bytes of the first. */
static void count_events(struct conn *c, const char *p, size_t n)
{
	char text[16384 + 8];
	memcpy(text, c->tail, 3);
	memcpy(text + 3, p, n);
	text[n + 3] = 0;
	for (char *at = text; (at = memmem(at, n + 3 - (size_t)(at - text), "id: ", 4));
	     at += 4)
		g.events++;
	memcpy(c->tail, text + n, 3);
	if (n + 3 >= 4 && !memcmp(text + n - 1, "id: ", 4))
		memset(c->tail, 0, 3);
}

static int read_stream(struct conn *c)
{
	ssize_t n = recv(c->fd, c->in, sizeof c->in, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		return -1;
	g.bytes += n;
	int first = !c->begun;
	c->begun = 1;
	count_events(c, c->in, (size_t)n);
	return first;
}

static void listen_all(struct conn *all, int ep)
{
	struct epoll_event ev[512];
	struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
	long begun = 0, lost = 0, said = 0;
	int64_t last_us = 0;
	for (long i = 0; i < g.conns; i++)
		ask(&all[i], 0);
	epoll_ctl(ep, EPOLL_CTL_ADD, 0, &input);
	for (int over = 0; !over;) {
		int n = epoll_wait(ep, ev, 512, 1000);
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;
			if (!c) {
				char drop[64];
				over = read(0, drop, sizeof drop) <= 0;
				continue;
			}
			int rv = read_stream(c);
			begun += rv > 0;
			last_us = now_us();
			if (rv < 0) {
				epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
				lost++;
			}
		}
		if (begun == g.conns && !said++) {
			printf("START\n");
			fflush(stdout);
		}
	}
	printf("END {\"events\":%ld,\"bytes\":%ld,\"ended\":%ld,\"last_us\":%lld}\n",
	       g.events, g.bytes, lost, (long long)last_us);
}

/* ---- the command line */

static void read_lines(const char *path, char **out, long *count, long most)
{
	char line[1024];
	FILE *f = fopen(path, "r");
	if (!f)
		die(path);
	while (*count < most && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\r\n")] = 0;
		if (*line)
			out[(*count)++] = strdup(line);
	}
	fclose(f);
	if (!*count) {
		fprintf(stderr, "door: nothing in %s\n", path);
		exit(1);
	}
}

static void take_option(const char *arg)
{
	if (!strncmp(arg, "conns=", 6))
		g.conns = atol(arg + 6);
	else if (!strncmp(arg, "ms=", 3))
		g.ms = atol(arg + 3);
	else if (!strncmp(arg, "rate=", 5))
		g.rate = atol(arg + 5);
	else {
		fprintf(stderr, "door: unknown option %s: conns, ms, rate\n", arg);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	char *token;
	long tokens = 0;
	struct rlimit files;
	if (argc < 5 || (strcmp(argv[1], "get") && strcmp(argv[1], "listen"))) {
		fprintf(stderr, "usage: door get|listen PORT TOKEN-FILE PATHS "
				"[conns=N] [ms=N] [rate=N]\n");
		return 2;
	}
	read_lines(argv[3], &token, &tokens, 1);
	snprintf(g.token, sizeof g.token, "%s", token);
	read_lines(argv[4], g.paths, &g.path_count, PATHS_MAX);
	for (int i = 5; i < argc; i++)
		take_option(argv[i]);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	g.us = malloc(SAMPLES_MAX * sizeof *g.us);
	int ep = epoll_create1(0);
	struct conn *all = calloc((size_t)g.conns, sizeof *all);
	for (long i = 0; i < g.conns; i++) {
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
		all[i].fd = connect_to(atoi(argv[2]), i);
		epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &e);
	}
	if (!strcmp(argv[1], "get"))
		get(all, ep);
	else
		listen_all(all, ep);
	return 0;
}
