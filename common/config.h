/* SPDX-License-Identifier: Apache-2.0
 * Settings from a file (TERABITS_CONFIG) and the environment, by the rows of config.tbl
 * (the home of libconfuse). */
#ifndef TB_CONFIG_H
#define TB_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

typedef char *config_STR;
typedef char *config_SECRET;
typedef long config_INT;
typedef bool config_BOOL; /* yes or no */

struct config {
#define CONF(name, TYPE, env, fallback, min, max, doc) config_##TYPE name;
#include "common/config.tbl"
#undef CONF
};

/* Reads file and environment, removes secrets from the environment. Dies (status 2) with
 * one line that names the file and line, or the variable, and the allowed range. */
void config_load(struct config *c);
/* Overwrites the secrets. */
void config_wipe(struct config *c);
/* The table as help text. */
void config_help(FILE *out);

#endif
