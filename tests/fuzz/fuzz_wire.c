/* SPDX-License-Identifier: Apache-2.0
 * Frames of arbitrary bytes: opened and read to the end without a fault; what is taken is
 * within the table's bounds and encodes to what decodes the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/die.h"
#include "proto/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice *bytes_of(const struct wire_field *f, const union wire_any *m)
{
	if (f->type != WIRE_T_STR && f->type != WIRE_T_BIN)
		return NULL;
	return (const void *)((const char *)m + f->offset);
}

/* Strings lie inside the frame and are no longer than the table says. */
static void check_bounds(const struct wire_desc *d, const union wire_any *m,
			 struct slice frame)
{
	for (unsigned i = 0; i < d->field_count; i++) {
		const struct slice *s = bytes_of(&d->fields[i], m);
		if (!s)
			continue;
		check(s->n <= d->fields[i].max);
		check(s->n == 0 || (s->p >= frame.p && s->p + s->n <= frame.p + frame.n));
	}
}

/* Two encodings of what was read, one of them after a second reading, are the same. */
static void check_round_trip(const struct wire_desc *d, const union wire_any *m)
{
	AUTO(strbuf_fini) struct strbuf once = STRBUF_INIT;
	AUTO(strbuf_fini) struct strbuf twice = STRBUF_INIT;
	struct wire_frame f;
	union wire_any back;
	enum wire_id id;
	const char *why;
	wire_encode_counter(&once, 1);
	wire_encode_counter(&twice, 1);
	check(wire_encode(&once, d->id, m) == ERR_OK);
	check(wire_frame_open(strbuf_slice(&once), &f, &why) == ERR_OK);
	check(wire_frame_next(&f, &id, &back, &why) == ERR_OK && id == d->id);
	check(wire_frame_next(&f, &id, &back, &why) == ERR_NOT_FOUND);
	check(wire_encode(&twice, d->id, &back) == ERR_OK);
	check(slice_eq(strbuf_slice(&once), strbuf_slice(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = xmemdup(data, size ? size : 1);
	struct slice frame = slice_of(copy, size);
	struct wire_frame f;
	union wire_any m;
	enum wire_id id;
	enum err e;
	const char *why = NULL;
	if (wire_frame_open(frame, &f, &why)) {
		check(why && *why);
		free(copy);
		return 0;
	}
	while (!(e = wire_frame_next(&f, &id, &m, &why))) {
		const struct wire_desc *d = wire_desc(id);
		check(d && d->id == id);
		check_bounds(d, &m, frame);
		check_round_trip(d, &m);
	}
	check(e == ERR_NOT_FOUND || (e == ERR_PROTOCOL && why && *why));
	free(copy);
	return 0;
}
