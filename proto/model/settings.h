/* SPDX-License-Identifier: Apache-2.0
 * How a model is asked: what an agent's configuration, and the message of a run, may say
 * of it (settings.tbl). The edge checks with it what it accepts, the worker reads with it
 * what it does. Pure. */
#ifndef TB_MODEL_SETTINGS_H
#define TB_MODEL_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "common/slice.h"
#include "proto/model/limits.h"

#define SETTINGS_FALLBACKS_MOST 8
#define SETTINGS_STOPS_MOST 4
#define SETTINGS_SCHEMA_BYTES (64u << 10)
#define SETTINGS_SYSTEM_BYTES (64u << 10)
#define SETTINGS_METADATA_BYTES (4u << 10)

/* NULL, 0 or false: not said. Everything is owned. */
struct model_settings {
	char *model; /* "provider/name" */
	char *fallbacks[SETTINGS_FALLBACKS_MOST];
	size_t fallback_count;
	bool has_fallbacks; /* an empty list is one, too */
	bool has_temperature;
	double temperature;
	double top_p; /* 0: not said */
	int64_t max_tokens;
	char *effort;                /* none, minimal, low, medium, high */
	char *stop;                  /* JSON array of texts */
	char *schema;                /* JSON schema */
	char *system;                /* behind the agent's system prompt */
	struct budget_limits budget; /* of this run */
	bool has_tools;
	uint64_t tools; /* catalogue positions: no others */
};

enum settings_of { SETTINGS_AGENT = 1, SETTINGS_RUN = 2 };

struct settings_fault {
	char member[64];
	char message[200]; /* names the member */
};

void model_settings_init(struct model_settings *s);
void model_settings_fini(struct model_settings *s);
/* Whether there is a setting of that name for those. */
bool model_setting_exists(struct slice name, enum settings_of who);
/* Reads one into s (initialised; a later value takes an earlier one's place); null says
 * nothing. False: fault is set, s as before. */
bool model_settings_read(struct model_settings *s, struct slice name, json_t value,
			 enum settings_of who, struct settings_fault *fault);
/* All of an object's that exist; other members are left alone. */
bool model_settings_read_all(struct model_settings *s, json_t object,
			     enum settings_of who, struct settings_fault *fault);

#endif
