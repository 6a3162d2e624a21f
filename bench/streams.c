/* SPDX-License-Identifier: Apache-2.0
 * The reader of streams: N connections to a node's HTTP door, each with one run whose
 * model says in every chunk when it sent it (the fake model's [clock]). Prints START when
 * all stream, then END and one JSON object: pieces of text, pieces a second, and how long
 * they were under way, in microseconds. Never: part of the product.
 *
 *   streams PORT TOKEN-FILE STREAMS CHUNKS PAUSE_MS SECONDS */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 4000000
#define STAMP 17 /* 't' and sixteen digits */
/* Between two beginnings: models do not speak in step, and 7.3 ms is no part of a pause.
 */
#define APART_US 7300

struct stream {
	int fd;
	int begun;
	size_t kept; /* of the last read, that a stamp may have been cut in */
	char in[STAMP + 65536];
};

static uint32_t *samples;
static size_t count;
static int measuring, streaming;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}

static void begin(struct stream *s, int number, int port, const char *token,
		  const char *chunks, const char *pause)
{
	char body[256], request[1024];
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;
	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&to, sizeof to))
		die("connect");
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	int n = snprintf(body, sizeof body,
			 "{\"sessionKey\":\"stream:%d\",\"stream\":true,\"message\":"
			 "\"[clock][chunks %s][pause %s] go\"}",
			 number, chunks, pause);
	int k = snprintf(request, sizeof request,
			 "POST /v1/agents/main/runs HTTP/1.1\r\nHost: localhost\r\n"
			 "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
			 "Content-Length: %d\r\n\r\n%s",
			 token, n, body);
	if (send(s->fd, request, (size_t)k, MSG_NOSIGNAL) != k)
		die("send");
}

/* The stamps in what came; the end that may be a part of one stays. */
static void take(struct stream *s, size_t n, int64_t now)
{
	char *p = s->in, *end = s->in + s->kept + n;
	while ((p = memchr(p, 't', (size_t)(end - p))) && end - p >= STAMP) {
		size_t digits = strspn(p + 1, "0123456789");
		if (digits < STAMP - 1) {
			p++;
			continue;
		}
		streaming += !s->begun;
		s->begun = 1;
		if (measuring && count < SAMPLES_MAX)
			samples[count++] = (uint32_t)(now - strtoll(p + 1, NULL, 10));
		p += STAMP;
	}
	s->kept = p ? (size_t)(end - p) : 0;
	if (s->kept)
		memmove(s->in, p, s->kept);
}

static void read_one(struct stream *s)
{
	ssize_t n = recv(s->fd, s->in + s->kept, sizeof s->in - 1 - s->kept, 0);
	if (n <= 0)
		die("a stream ended early: more chunks are needed");
	s->in[s->kept + (size_t)n] = 0;
	take(s, (size_t)n, now_us());
}

static void drive(int ep, int64_t until_us, int all)
{
	struct epoll_event ev[256];
	int64_t now;
	while ((now = now_us()) < until_us && (!all || streaming < all)) {
		int n = epoll_wait(ep, ev, 256, 100);
		for (int i = 0; i < n; i++)
			read_one(ev[i].data.ptr);
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static uint32_t quantile(double q)
{
	return count ? samples[(size_t)((double)(count - 1) * q)] : 0;
}

int main(int argc, char **argv)
{
	static char token[512];
	if (argc != 7) {
		fprintf(stderr, "usage: streams PORT TOKEN-FILE STREAMS CHUNKS PAUSE_MS "
				"SECONDS\n");
		return 2;
	}
	FILE *f = fopen(argv[2], "r");
	if (!f || !fgets(token, sizeof token, f))
		die(argv[2]);
	token[strcspn(token, "\r\n")] = 0;
	int n = atoi(argv[3]), seconds = atoi(argv[6]), ep = epoll_create1(0);
	struct stream *streams = calloc((size_t)n, sizeof *streams);
	samples = malloc(SAMPLES_MAX * sizeof *samples);
	for (int i = 0; i < n; i++) {
		begin(&streams[i], i, atoi(argv[1]), token, argv[4], argv[5]);
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &streams[i]};
		epoll_ctl(ep, EPOLL_CTL_ADD, streams[i].fd, &e);
		drive(ep, now_us() + APART_US, 0);
	}
	drive(ep, now_us() + 30000000, n);
	if (streaming < n) {
		fprintf(stderr, "streams: %d of %d have begun in 30 s\n", streaming, n);
		return 1;
	}
	drive(ep, now_us() + 1000000, 0);
	puts("START");
	fflush(stdout);
	measuring = 1;
	drive(ep, now_us() + seconds * 1000000ll, 0);
	measuring = 0;
	qsort(samples, count, sizeof *samples, by_value);
	printf("END "
	       "{\"n\":%zu,\"per_s\":%.1f,\"p50_us\":%u,\"p99_us\":%u,\"most_us\":%u}\n",
	       count, (double)count / seconds, quantile(0.5), quantile(0.99),
	       quantile(1));
	return 0;
}
