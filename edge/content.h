/* SPDX-License-Identifier: Apache-2.0
 * Content types by names. */
#ifndef TB_EDGE_CONTENT_H
#define TB_EDGE_CONTENT_H

#include "common/slice.h"

/* Of a file of that name: content.tbl, else application/octet-stream. Static. */
const char *content_type_of(struct slice name);

#endif
