/* SPDX-License-Identifier: Apache-2.0
 * Pairs of bytes: how many of the text's are found, and Dice's coefficient. */
#include "sandbox/files/files_near.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/dirs.h"
#include "sandbox/files/files_protect.h"

#define COMPARED_MOST 1000 /* bytes of a text that are looked at */
#define ENTRIES_MOST 5000
#define NAME_SCORE 600 /* from here on a name is worth showing */

static unsigned fold(char c)
{
	unsigned char u = (unsigned char)c;
	return u >= 'A' && u <= 'Z' ? u | 0x20u : u;
}

static struct slice compared(struct slice s)
{
	s = slice_trim(s);
	return slice_of(s.p, s.n < COMPARED_MOST ? s.n : COMPARED_MOST);
}

static unsigned pair_at(struct slice s, size_t i)
{
	return fold(s.p[i]) << 8 | fold(s.p[i + 1]);
}

void files_near_init(struct files_near *m, struct slice text)
{
	memset(m, 0, sizeof *m);
	m->text = compared(text);
	m->turn = 1;
	m->pairs = m->text.n ? m->text.n - 1 : 0;
	for (size_t i = 0; i < m->pairs; i++) {
		uint32_t *last = &m->last[pair_at(m->text, i)];
		m->kinds += *last == 0;
		*last = 1;
	}
}

unsigned files_near_score(struct files_near *m, struct slice other)
{
	struct slice s = compared(other);
	size_t pairs = s.n ? s.n - 1 : 0, shared = 0, met = 0;
	if (slice_eq(s, m->text))
		return 1000;
	m->turn++;
	for (size_t i = 0; i < pairs; i++) {
		uint32_t *last = &m->last[pair_at(s, i)];
		if (!*last)
			continue;
		shared++;
		met += *last != m->turn;
		*last = m->turn;
	}
	if (!shared)
		return 0;
	if (shared > m->pairs)
		shared = m->pairs;
	unsigned alike = (unsigned)(2000 * shared / (pairs + m->pairs)),
		 found = (unsigned)(1000 * met / m->kinds),
		 score = (2 * found + alike) / 3;
	return score < 1000 ? score : 999;
}

bool files_near_name(int dir, struct slice name, char *out)
{
	static struct files_near m; /* large for a stack; single-threaded */
	unsigned best = NAME_SCORE - 1, seen = 0;
	DIR *d = dir_of(fcntl(dir, F_DUPFD_CLOEXEC, 0));
	if (!d)
		return false;
	files_near_init(&m, name);
	for (struct dirent *e; seen++ < ENTRIES_MOST && (e = readdir(d));) {
		struct slice other = slice_str(e->d_name);
		unsigned score = files_near_score(&m, other);
		if (score > best && !slice_is(other, ".") && !slice_is(other, "..") &&
		    !files_is_temp(other) && slice_is_utf8(other)) {
			best = score;
			memcpy(out, e->d_name, other.n + 1);
		}
	}
	closedir(d);
	return best >= NAME_SCORE;
}
