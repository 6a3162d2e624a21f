/* SPDX-License-Identifier: Apache-2.0
 * Listening addresses as text. */
#include "common/listen.h"

#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/slice.h"

static const struct {
	const char *scheme;
	enum listen_kind kind;
} schemes[] = {{"http://", LISTEN_PLAIN},
	       {"tls://", LISTEN_TLS},
	       {"https://", LISTEN_TLS},
	       {"mtls://", LISTEN_MTLS},
	       {"unix:", LISTEN_UNIX}};

static bool parse_path(struct slice s, struct listen_address *a, char *why, size_t size)
{
	if (s.n == 0 || s.p[0] != '/' || s.n > LISTEN_PATH_MOST) {
		snprintf(why, size,
			 "'%s': unix: is followed by an absolute path of at most %d "
			 "bytes, for example unix:/run/terabits/http.sock",
			 a->text, LISTEN_PATH_MOST);
		return false;
	}
	memcpy(a->path, s.p, s.n);
	return true;
}

static bool parse_host(struct slice s, struct listen_address *a, char *why, size_t size)
{
	size_t colon = s.n;
	long long port = -1;
	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (!colon) {
		snprintf(why, size, "'%s' is no host:port, for example 127.0.0.1:7717",
			 a->text);
		return false;
	}
	struct slice number = slice_of(s.p + colon, s.n - colon);
	struct slice host = slice_of(s.p, colon - 1);
	if (!slice_to_i64(number, &port) || port < 0 || port > 65535) {
		snprintf(why, size, "'%s' has no port from 0 to 65535", a->text);
		return false;
	}
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = slice_of(host.p + 1, host.n - 2);
	if (slice_is(host, "*"))
		host.n = 0;
	if (host.n >= sizeof a->host || slice_find(host, SLICE("/")) >= 0) {
		snprintf(why, size, "'%s' names no host", a->text);
		return false;
	}
	memcpy(a->host, host.p, host.n);
	a->port = (unsigned)port;
	return true;
}

static bool parse_one(struct slice s, struct listen_address *a, char *why, size_t size)
{
	*a = (struct listen_address){.kind = LISTEN_PLAIN};
	snprintf(a->text, sizeof a->text, "%.*s", SLICE_ARG(s));
	if (s.n >= sizeof a->text) {
		snprintf(why, size, "an address is longer than %zu bytes",
			 sizeof a->text - 1);
		return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		struct slice scheme = slice_str(schemes[i].scheme);
		if (!slice_has_prefix(s, scheme))
			continue;
		a->kind = schemes[i].kind;
		s = slice_of(s.p + scheme.n, s.n - scheme.n);
		break;
	}
	return a->kind == LISTEN_UNIX ? parse_path(s, a, why, size)
				      : parse_host(s, a, why, size);
}

unsigned listen_parse(const char *list, struct listen_address out[LISTEN_MOST], char *why,
		      size_t why_size)
{
	unsigned count = 0;
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, ", \t\n");
		if (n && count == LISTEN_MOST) {
			snprintf(why, why_size, "there are more than %d addresses",
				 LISTEN_MOST);
			return 0;
		}
		if (n && !parse_one(slice_of(p, n), &out[count++], why, why_size))
			return 0;
		p += n + (p[n] != 0);
	}
	if (!count)
		snprintf(why, why_size, "no address is named");
	return count;
}

bool listen_is_trusted(enum listen_kind kind)
{
	return kind == LISTEN_UNIX || kind == LISTEN_MTLS;
}

/* The order in which a client of this machine would rather connect. */
static unsigned preference(enum listen_kind kind)
{
	return kind == LISTEN_PLAIN ? 3 : kind == LISTEN_UNIX ? 2 : kind == LISTEN_TLS;
}

bool listen_url(const struct listen_address *all, unsigned count, char *url,
		size_t url_size, const char **socket)
{
	const struct listen_address *best = NULL;
	*socket = NULL;
	for (unsigned i = 0; i < count; i++)
		if (preference(all[i].kind) > (best ? preference(best->kind) : 0))
			best = &all[i];
	if (!best)
		return false;
	if (best->kind == LISTEN_UNIX) {
		*socket = best->path;
		snprintf(url, url_size, "http://localhost");
		return true;
	}
	const char *host = best->host;
	if (!*host || !strcmp(host, "0.0.0.0"))
		host = "127.0.0.1";
	else if (!strcmp(host, "::"))
		host = "::1";
	bool is_v6 = strchr(host, ':') != NULL;
	snprintf(url, url_size, "%s://%s%s%s:%u",
		 best->kind == LISTEN_TLS ? "https" : "http", is_v6 ? "[" : "", host,
		 is_v6 ? "]" : "", best->port);
	return true;
}
