/* SPDX-License-Identifier: Apache-2.0
 * Who is told of a run's end, as an agent's configuration and a message say it:
 * {"url", "events"}. Pure. */
#ifndef TB_MODEL_WEBHOOK_H
#define TB_MODEL_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/json.h"

#define WEBHOOK_URL_MOST 2000u

/* Its shape: an http or https URL, and names of results (proto/results.tbl), all without
 * any. Where it may lead is judged apart (common/url_guard.h). False: a sentence in err
 * that goes on behind the member's name. */
bool webhook_check(json_t v, char *err, size_t size);
/* Of one that is well shaped. */
struct slice webhook_url(json_t v);

#endif
