/* SPDX-License-Identifier: Apache-2.0
 * What a request for an answer says: pairs of calls and results, and signatures. */
#include "tests/fakes/fake_chat.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/fakes/fake_scan.h"

#define SIGN_BLOCKS 12

bool chat_refuse(struct chat *c, const char *fmt, ...)
{
	va_list ap;
	if (c->wrong[0])
		return false;
	va_start(ap, fmt);
	vsnprintf(c->wrong, sizeof c->wrong, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- pairs */

bool pairs_add(struct pairs *p, struct slice id)
{
	if (!p->open && (!p->keeps || p->n == PAIRS_MAX))
		p->n = 0;
	if (p->n == PAIRS_MAX)
		return false;
	p->id[p->n] = id;
	p->answered[p->n++] = false;
	p->open++;
	return true;
}

bool pairs_call(struct pairs *p, struct slice id)
{
	for (size_t i = 0; (p->open || p->keeps) && i < p->n; i++)
		if (slice_eq(p->id[i], id))
			return false;
	return pairs_add(p, id);
}

bool pairs_result(struct pairs *p, struct slice id)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->answered[i] || !slice_eq(p->id[i], id))
			continue;
		p->answered[i] = true;
		p->open--;
		return true;
	}
	return false;
}

struct slice pairs_waiting(const struct pairs *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (!p->answered[i])
			return p->id[i];
	return SLICE_NONE;
}

bool is_plain_name(struct slice inside, size_t most)
{
	for (size_t i = 0; i < inside.n; i++) {
		char c = inside.p[i], letter = (char)(c | 0x20);
		if (!(letter >= 'a' && letter <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '_' && c != '-')
			return false;
	}
	return inside.n > 0 && inside.n <= most;
}

/* ---- signatures */

void sign_put(struct strbuf *out, struct slice what)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		"0123456789+/";
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < what.n; i++)
		h = (h ^ (unsigned char)what.p[i]) * 0x100000001b3u;
	for (int block = 0; block < SIGN_BLOCKS; block++) {
		h = (h ^ (unsigned)block) * 0x100000001b3u;
		uint64_t v = h ^ h >> 29;
		for (int i = 0; i < 10; i++, v >>= 6)
			strbuf_add_char(out, digits[v & 63]);
	}
	strbuf_add_str(out, "+/==");
}

bool sign_is(struct slice raw, struct slice what)
{
	struct strbuf made = STRBUF_INIT, came = STRBUF_INIT;
	sign_put(&made, what);
	scan_text(raw, &came);
	bool same = slice_eq(strbuf_slice(&made), strbuf_slice(&came));
	strbuf_fini(&made);
	strbuf_fini(&came);
	return same;
}
