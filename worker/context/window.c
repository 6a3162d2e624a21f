/* SPDX-License-Identifier: Apache-2.0
 * Windows by the beginning of a model's name. */
#include "worker/context/window.h"

#include <string.h>

#include "common/attr.h"

#define RESERVE_MOST 20000
#define KEEP_MOST 20000
#define FLUSH_BEFORE 4000

static const struct {
	const char *begin;
	int64_t window;
} models[] = {
#define MODEL(begin, window) {begin, window},
#include "worker/context/models.tbl"
#undef MODEL
};

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* In a window of less than 16,000 tokens 4,000 would be most of what may be used: there
 * it is a quarter of that. */
struct window window_of(int64_t size)
{
	struct window w = {.size = size, .reserve = least(RESERVE_MOST, size / 4)};
	w.compact = size - w.reserve;
	w.flush = w.compact - least(FLUSH_BEFORE, w.compact / 4);
	w.keep = least(KEEP_MOST, w.compact / 3);
	return w;
}

static int64_t known(struct slice name)
{
	size_t longest = 0;
	int64_t window = 0;
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		struct slice begin = slice_str(models[i].begin);
		if (begin.n <= longest || begin.n > name.n ||
		    !slice_ieq(slice_of(name.p, begin.n), begin))
			continue;
		longest = begin.n;
		window = models[i].window;
	}
	return window;
}

int64_t window_size(struct slice model, int64_t configured)
{
	if (configured > 0)
		return configured < WINDOW_LEAST  ? WINDOW_LEAST
		       : configured > WINDOW_MOST ? WINDOW_MOST
						  : configured;
	for (size_t i = model.n; i-- > 0;)
		if (model.p[i] == '/') {
			model = slice_of(model.p + i + 1, model.n - i - 1);
			break;
		}
	int64_t window = known(model);
	return window ? window : WINDOW_DEFAULT;
}
