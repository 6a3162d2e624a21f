/* SPDX-License-Identifier: Apache-2.0
 * Where a node listens, read from its setting: host:port, tls://host:port,
 * mtls://host:port (clients show a certificate) and unix:/path, separated by commas or
 * spaces. Pure: nothing is looked up or opened. */
#ifndef TB_LISTEN_H
#define TB_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#define LISTEN_MOST 8        /* addresses of one node */
#define LISTEN_PATH_MOST 100 /* bytes of a socket's path; a new one has 4 more */
/* Processes that serve them, and the sockets of all. */
#define LISTEN_EDGES_MOST 16
#define LISTEN_SOCKETS_MOST (LISTEN_MOST * LISTEN_EDGES_MOST)

enum listen_kind { LISTEN_PLAIN, LISTEN_TLS, LISTEN_MTLS, LISTEN_UNIX };

struct listen_address {
	enum listen_kind kind;
	char host[256]; /* "": every address of the machine; [ ] of IPv6 are gone */
	unsigned port;  /* 0: any */
	char path[LISTEN_PATH_MOST + 1];
	char text[300]; /* as it was given */
};

/* The number of addresses, at least 1; 0: why says what is wrong with which. */
unsigned listen_parse(const char *list, struct listen_address out[LISTEN_MOST], char *why,
		      size_t why_size);
/* Whose clients may say on whose behalf they ask: who may reach a socket of this machine,
 * or has a certificate. */
bool listen_is_trusted(enum listen_kind kind);
/* For clients on this machine: "http://127.0.0.1:7717" or "https://...", of the first
 * address that needs no certificate; of a socket "http://localhost", and its path in
 * *socket. false: there is none. */
bool listen_url(const struct listen_address *all, unsigned count, char *url,
		size_t url_size, const char **socket);

#endif
