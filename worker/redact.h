/* SPDX-License-Identifier: Apache-2.0
 * Taking secrets out of a text before it leaves this process for people: those that this
 * worker holds (keys, also in base64 and URL-encoded; capabilities; its password) and
 * words that look like somebody's. One pass over the text, however many secrets. */
#ifndef TB_REDACT_H
#define TB_REDACT_H

#include <stdbool.h>

#include "common/slice.h"
#include "common/strbuf.h"

struct worker;
struct redact;

#define REDACT_MASK "[redacted]"
/* Shorter ones are no secrets: they would be found everywhere. */
#define REDACT_LEAST 8

/* With all that the worker holds now. */
struct redact *redact_new(const struct worker *w);
void redact_free(struct redact *x); /* wipes it */
/* One secret more, in all its forms; copied. */
void redact_add(struct redact *x, struct slice secret);
/* True: something was taken out. Inside of a JSON text that is JSON as before. */
bool redact_text(const struct redact *x, struct strbuf *text);

#endif
