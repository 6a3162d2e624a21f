/* SPDX-License-Identifier: Apache-2.0
 * What a send to each of many connections of this machine costs, with nothing around it:
 * the floor of what an event costs a listener. bench_send CONNECTIONS BYTES prints
 * {"us": processor time of one}. Never: part of the product. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/die.h"

#define ROUNDS 120
#define WARM 20
#define PAUSE_US 10000

static int epoll;

static void *read_all(void *arg)
{
	static char bytes[65536];
	struct epoll_event ready[256];
	(void)arg;
	for (;;) {
		int n = epoll_wait(epoll, ready, 256, -1);
		for (int i = 0; i < n; i++)
			while (recv(ready[i].data.fd, bytes, sizeof bytes, MSG_DONTWAIT) >
			       0)
				;
	}
	return NULL;
}

/* The sending end; the other is read from now on. */
static int connect_one(int listener, const struct sockaddr_in *at)
{
	int one = 1, client = socket(AF_INET, SOCK_STREAM, 0);
	check(client >= 0 && connect(client, (const void *)at, sizeof *at) == 0);
	struct epoll_event e = {.events = EPOLLIN, .data.fd = client};
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, client, &e) == 0);
	int fd = accept(listener, NULL, NULL);
	check(fd >= 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static double spent_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[1]) : 0, bytes = argc > 2 ? atoi(argv[2]) : 0;
	if (count < 1 || bytes < 1)
		fatal_usage("bench_send CONNECTIONS BYTES");
	struct rlimit files = {(rlim_t)count * 2 + 64, (rlim_t)count * 2 + 64};
	setrlimit(RLIMIT_NOFILE, &files);
	int *fds = xcalloc((size_t)count, sizeof *fds);
	char *text = xcalloc((size_t)bytes, 1);
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t reader;
	epoll = epoll_create1(0);
	check(bind(listener, (void *)&at, size) == 0 && listen(listener, 4096) == 0);
	check(getsockname(listener, (void *)&at, &size) == 0);
	for (int i = 0; i < count; i++)
		fds[i] = connect_one(listener, &at);
	check(pthread_create(&reader, NULL, read_all, NULL) == 0);
	double began = 0;
	for (int r = 0; r < ROUNDS; r++) {
		if (r == WARM)
			began = spent_us();
		for (int i = 0; i < count; i++)
			check(send(fds[i], text, (size_t)bytes, MSG_NOSIGNAL) == bytes);
		usleep(PAUSE_US);
	}
	printf("{\"us\":%.2f}\n",
	       (spent_us() - began) / ((ROUNDS - WARM) * (double)count));
	return 0;
}
