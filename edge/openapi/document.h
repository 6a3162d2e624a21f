/* SPDX-License-Identifier: Apache-2.0
 * The OpenAPI 3.1 document of routes.tbl and operations.tbl. */
#ifndef TB_EDGE_OPENAPI_DOCUMENT_H
#define TB_EDGE_OPENAPI_DOCUMENT_H

#include "common/strbuf.h"

/* Appends the whole of it, one JSON object. */
void openapi_write(struct strbuf *out);

#endif
