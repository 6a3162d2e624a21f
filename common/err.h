/* SPDX-License-Identifier: Apache-2.0
 * Expected errors: one enum for the whole product, listed in err.tbl. */
#ifndef TB_ERR_H
#define TB_ERR_H

#include <stdbool.h>

enum err {
	ERR_OK = 0,
#define ERR(NAME, code, retryable, text) ERR_##NAME,
#include "common/err.tbl"
#undef ERR
	ERR__COUNT
};

/* The stable word of an error ("lane_full"); "ok" for ERR_OK. Never NULL. */
const char *err_code(enum err e);
/* The public sentence of an error. Never NULL. */
const char *err_text(enum err e);
/* Whether the same work may be tried again. The only place that decides it. */
bool err_is_retryable(enum err e);
/* The error whose code is `code`; ERR_INTERNAL if there is none. */
enum err err_from_code(const char *code);

#endif
