/* SPDX-License-Identifier: Apache-2.0
 * The edit applier: a text and up to four edits, between 0x1f bytes (the first byte says
 * which replace all). What it makes is what a plain replacement of plain line ends makes;
 * a refusal is a sentence and leaves no output. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/die.h"
#include "sandbox/files/files_edits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EDITS_MOST 4

static void add_plain(struct strbuf *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '\r' || i + 1 == s.n || s.p[i + 1] != '\n')
			strbuf_add_char(out, s.p[i]);
}

static struct slice without_mark(struct slice s)
{
	return slice_has_prefix(s, SLICE("\xef\xbb\xbf")) ? slice_of(s.p + 3, s.n - 3)
							  : s;
}

/* One edit, done the plain way. */
static void check_one(struct slice text, const struct files_edit *e, struct slice made)
{
	AUTO(strbuf_fini)
	struct strbuf view = STRBUF_INIT, old = STRBUF_INIT, new_text = STRBUF_INIT,
		      want = STRBUF_INIT, got = STRBUF_INIT;
	size_t replaced = 0;
	strbuf_add_str(&view, ""); /* never NULL */
	strbuf_add_str(&old, "");
	strbuf_add_str(&new_text, "");
	strbuf_add_str(&want, "");
	strbuf_add_str(&got, "");
	add_plain(&view, without_mark(text));
	add_plain(&old, without_mark(e->old_text));
	add_plain(&new_text, without_mark(e->new_text));
	add_plain(&got, text.n > 2 && without_mark(text).n != text.n
				? slice_of(made.p + 3, made.n - 3)
				: made);
	struct slice rest = strbuf_slice(&view);
	for (ptrdiff_t i; (i = slice_find(rest, strbuf_slice(&old))) >= 0; replaced++) {
		strbuf_add(&want, rest.p, (size_t)i);
		strbuf_add_slice(&want, strbuf_slice(&new_text));
		rest = slice_of(rest.p + i + old.n, rest.n - (size_t)i - old.n);
	}
	strbuf_add_slice(&want, rest);
	check(replaced == e->replaced && (e->all || replaced == 1));
	/* Carriage returns that stood alone may meet a line break: not compared. */
	if (!memchr(view.p, '\r', view.n) && !memchr(new_text.p, '\r', new_text.n))
		check(slice_eq(strbuf_slice(&want), strbuf_slice(&got)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct files_edit edits[EDITS_MOST];
	struct files_why why = {""};
	AUTO(strbuf_fini) struct strbuf out = STRBUF_INIT;
	size_t n = 0;
	if (size < 2)
		return 0;
	struct slice rest = slice_of(data + 1, size - 1), text = slice_cut(&rest, 0x1f);
	for (; rest.p && n < EDITS_MOST; n++) {
		struct slice old = slice_cut(&rest, 0x1f);
		edits[n] = (struct files_edit){.old_text = old,
					       .new_text = rest.p ? slice_cut(&rest, 0x1f)
								  : SLICE(""),
					       .all = data[0] >> n & 1};
	}
	bool done = files_edits_apply(SLICE("f"), text, edits, n, n > 1, &out, &why);
	check(memchr(why.text, 0, sizeof why.text) && done == !why.text[0]);
	check(done || !out.n);
	for (size_t i = 0; done && i < n; i++)
		check(edits[i].replaced > 0 && edits[i].line >= 1);
	if (done && n == 0)
		check(slice_eq(strbuf_slice(&out), text));
	if (done && n == 1)
		check_one(text, &edits[0], out.n ? strbuf_slice(&out) : SLICE(""));
	return 0;
}
