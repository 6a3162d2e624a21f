/* SPDX-License-Identifier: Apache-2.0
 * Parameters of one statement in Postgres's binary format, scalars and one-dimensional
 * arrays. Owns: its buffers, reused by pg_params_reset. */
#ifndef TB_PG_PARAM_H
#define TB_PG_PARAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ident.h"
#include "common/slice.h"
#include "common/strbuf.h"

#define PG_MAX_PARAMS 80

enum pg_type { /* the types this product sends, by their fixed oid */
	       PG_BOOL = 16,
	       PG_BYTEA = 17,
	       PG_INT8 = 20,
	       PG_INT2 = 21,
	       PG_INT4 = 23,
	       PG_TEXT = 25,
	       PG_TIMESTAMPTZ = 1184,
	       PG_UUID = 2950,
	       PG_JSONB = 3802
};

struct pg_params {
	struct strbuf buf;
	int count;
	bool open_array;
	struct {
		size_t at, len; /* len SIZE_MAX: NULL */
		uint32_t oid;   /* of the element for arrays the array's own oid */
	} item[PG_MAX_PARAMS];
	size_t array_at; /* header of the open array */
	uint32_t array_elements;
	enum pg_type array_type;
};

void pg_params_init(struct pg_params *p);
void pg_params_fini(struct pg_params *p);
void pg_params_reset(struct pg_params *p);

void pg_null(struct pg_params *p, enum pg_type t);
void pg_bool(struct pg_params *p, bool v);
void pg_i16(struct pg_params *p, int16_t v);
void pg_i32(struct pg_params *p, int32_t v);
void pg_i64(struct pg_params *p, int64_t v);
void pg_text(struct pg_params *p, struct slice s);  /* p == NULL sends NULL */
void pg_bytea(struct pg_params *p, struct slice s); /* likewise */
void pg_uuid(struct pg_params *p, struct uuid u);
void pg_time(struct pg_params *p,
	     int64_t real_us); /* timestamptz from microseconds since 1970 */
void pg_jsonb(struct pg_params *p, struct slice json);

/* An array parameter: begin, then one pg_* call of that very type (or pg_null) an
 * element, then end. Zero elements make an empty array. Between begin and end the calls
 * above append elements instead of parameters. */
void pg_array(struct pg_params *p, enum pg_type element);
void pg_array_end(struct pg_params *p);

#endif
