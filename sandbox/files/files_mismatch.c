/* SPDX-License-Identifier: Apache-2.0
 * The longest line of what is wanted is the anchor: the line of the file that is most
 * like it says how the two lie to each other. */
#include "sandbox/files/files_mismatch.h"

#include <stdint.h>

#include "common/attr.h"
#include "sandbox/files/files_near.h"

#define SHOWN 160
#define SCORE_LEAST 350 /* below this nothing is worth showing */

struct place {
	struct slice line;
	int64_t number; /* from 1; 0: none */
};

static struct place longest(struct slice text)
{
	struct place best = {SLICE_NONE, 0};
	for (int64_t i = 1; text.p; i++) {
		struct slice line = slice_cut(&text, '\n');
		if (!best.number || slice_trim(line).n > slice_trim(best.line).n)
			best = (struct place){line, i};
	}
	return best;
}

static struct place nearest(struct slice text, struct slice line)
{
	static struct files_near m; /* large for a stack; single-threaded */
	struct place best = {SLICE_NONE, 0};
	unsigned most = SCORE_LEAST - 1;
	files_near_init(&m, line);
	for (int64_t i = 1; text.p && most < 1000; i++) {
		struct slice other = slice_cut(&text, '\n');
		unsigned score = files_near_score(&m, other);
		if (score > most) {
			most = score;
			best = (struct place){other, i};
		}
	}
	return best;
}

/* Without any blank, both are the same. */
static bool is_blank_apart(struct slice a, struct slice b)
{
	size_t i = 0, j = 0;
	for (;;) {
		while (i < a.n && (a.p[i] == ' ' || a.p[i] == '\t' || a.p[i] == '\r'))
			i++;
		while (j < b.n && (b.p[j] == ' ' || b.p[j] == '\t' || b.p[j] == '\r'))
			j++;
		if (i == a.n || j == b.n)
			return i == a.n && j == b.n;
		if (a.p[i++] != b.p[j++])
			return false;
	}
}

/* The first part of what is wanted may begin in the middle of a line, the last one end
 * there. */
static bool fits(struct slice line, struct slice part, bool first, bool last)
{
	if (line.n < part.n)
		return false;
	struct slice end = slice_of(line.p + (line.n - part.n), part.n);
	return (line.n == part.n || first || last) &&
	       ((last && slice_has_prefix(line, part)) ||
		((first || !last) && slice_eq(end, part)));
}

/* Line k of what is wanted lies at line `number` of the file; the first line where they
 * differ, in both. False: none does, line by line. */
static bool first_difference(struct slice text, struct slice wanted, int64_t number,
			     int64_t k, struct place *in_text, struct place *in_wanted)
{
	int64_t at = number - k + 1, j = 1;
	for (; at < 1; at++, j++) /* it begins before the file does */
		slice_cut(&wanted, '\n');
	for (int64_t i = 1; i < at; i++)
		slice_cut(&text, '\n');
	for (; wanted.p; at++, j++) {
		bool ends = !text.p;
		struct slice b = slice_cut(&wanted, '\n');
		struct slice a = ends ? SLICE_NONE : slice_cut(&text, '\n');
		if (!ends && fits(a, b, j == 1, !wanted.p))
			continue;
		*in_text = (struct place){a, ends ? 0 : at};
		*in_wanted = (struct place){b, j};
		return true;
	}
	return false;
}

static void say(struct slice name, const char *word, struct place file,
		struct place wanted, bool one_line, struct files_why *why)
{
	struct slice a = files_shown(file.line, SHOWN),
		     b = files_shown(wanted.line, SHOWN);
	const char *blanks = is_blank_apart(file.line, wanted.line)
				     ? "; they differ in white space only"
				     : "";
	if (one_line)
		files_refuse(why,
			     "%s is not in %.*s; the nearest is line %lld: \"%.*s\"%s",
			     word, SLICE_ARG(name), (long long)file.number, SLICE_ARG(a),
			     blanks);
	else
		files_refuse(why,
			     "%s is not in %.*s; it is nearest to line %lld, \"%.*s\", "
			     "where it has (in its line %lld) \"%.*s\"%s",
			     word, SLICE_ARG(name), (long long)file.number, SLICE_ARG(a),
			     (long long)wanted.number, SLICE_ARG(b), blanks);
}

void files_mismatch(struct slice name, const char *word, struct slice text,
		    struct slice wanted, struct files_why *why)
{
	struct place anchor = longest(wanted), file = nearest(text, anchor.line);
	struct place in_text = file, in_wanted = anchor;
	bool one_line = slice_find(slice_trim(wanted), SLICE("\n")) < 0;
	struct slice shown = files_shown(slice_trim(anchor.line), SHOWN);
	if (!text.n) {
		files_refuse(why, "%s is not in %.*s, which is empty; use write", word,
			     SLICE_ARG(name));
		return;
	}
	if (!file.number) {
		files_refuse(why,
			     "%s is not in %.*s, nor is a line like \"%.*s\"; read the "
			     "file again",
			     word, SLICE_ARG(name), SLICE_ARG(shown));
		return;
	}
	if (!first_difference(text, wanted, file.number, anchor.number, &in_text,
			      &in_wanted)) {
		in_text = file;
		in_wanted = anchor;
	}
	if (!in_text.number) {
		files_refuse(
			why,
			"%s is not in %.*s: it goes on where the file ends, after "
			"line %lld (is there a line break at the end of the file?)",
			word, SLICE_ARG(name),
			(long long)(file.number + in_wanted.number - anchor.number - 1));
		return;
	}
	if (one_line)
		say(name, word, file, anchor, one_line, why);
	else
		say(name, word, in_text, in_wanted, one_line, why);
}
