/* SPDX-License-Identifier: Apache-2.0
 * A value with the members of its objects in the order of Postgres' jsonb. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/json.h"

struct member {
	struct slice key;
	json_t value;
};

static int by_key(const void *a, const void *b)
{
	const struct slice *x = &((const struct member *)a)->key;
	const struct slice *y = &((const struct member *)b)->key;
	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->n ? memcmp(x->p, y->p, x->n) : 0;
}

static void put(struct json_out *o, json_t v);

static void put_object(struct json_out *o, json_t v)
{
	size_t count = json_len(v), n = 0;
	struct member *members = xcalloc(count + 1, sizeof *members);
	struct json_iter it = json_iter(v);
	while (n < count && (members[n].value = json_next(&it, &members[n].key)))
		n++;
	qsort(members, n, sizeof *members, by_key);
	json_obj(o);
	for (size_t i = 0; i < n; i++) {
		json_key(o, members[i].key.p);
		put(o, members[i].value);
	}
	json_obj_end(o);
	free(members);
}

/* No deeper than the reader lets a document be. */
static void put(struct json_out *o, json_t v)
{
	struct json_iter it = json_iter(v);
	if (json_kind(v) == JSON_OBJECT) {
		put_object(o, v);
	} else if (json_kind(v) == JSON_ARRAY) {
		json_arr(o);
		for (json_t e; (e = json_next(&it, NULL));)
			put(o, e);
		json_arr_end(o);
	} else {
		json_put_value(o, v);
	}
}

void json_print_ordered(struct strbuf *out, json_t v)
{
	struct json_out o = json_out(out);
	put(&o, v);
}
