/* SPDX-License-Identifier: Apache-2.0
 * The short form of schemas.tbl written out as JSON Schema. Pure. Fails: a form that is
 * none panics; the tables are part of the program, and a test writes out all of them. */
#ifndef TB_EDGE_OPENAPI_SCHEMA_H
#define TB_EDGE_OPENAPI_SCHEMA_H

#include "common/json.h"

/* A type. */
void schema_put(struct json_out *o, struct slice type);
/* Whether a body of that kind says something: it is no object whose members may all be
 * left out. */
bool schema_is_needed(struct slice body);
/* All of schemas.tbl: the members of components.schemas. */
void schema_put_all(struct json_out *o);

#endif
