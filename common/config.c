/* SPDX-License-Identifier: Apache-2.0
 * config.tbl as libconfuse options, then the environment on top. */
#include "common/config.h"

#include <confuse.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crypto.h"
#include "common/die.h"

enum kind { KIND_STR, KIND_SECRET, KIND_INT, KIND_BOOL };

static const struct row {
	const char *name, *env, *fallback, *doc;
	enum kind kind;
	long min, max;
	size_t offset;
} rows[] = {
#define CONF(name, TYPE, env, fallback, min, max, doc)                                   \
	{#name, env, fallback, doc, KIND_##TYPE, min, max, offsetof(struct config, name)},
#include "common/config.tbl"
#undef CONF
};

static void set(struct config *c, const struct row *r, const char *value,
		const char *where)
{
	char *at = (char *)c + r->offset, *end;
	if (r->kind == KIND_INT) {
		errno = 0;
		long v = strtol(value, &end, 10);
		if (errno || end == value || *end || v < r->min || v > r->max)
			fatal_usage("%s: %s must be a number from %ld to %ld, not '%s'",
				    where, r->name, r->min, r->max, value);
		*(long *)(void *)at = v;
		return;
	}
	if (r->kind == KIND_BOOL) {
		if (strcmp(value, "yes") && strcmp(value, "no"))
			fatal_usage("%s: %s must be yes or no, not '%s'", where, r->name,
				    value);
		*(bool *)(void *)at = !strcmp(value, "yes");
		return;
	}
	size_t n = strlen(value);
	if ((long)n < r->min || (long)n > r->max)
		fatal_usage("%s: %s must have %ld to %ld bytes, not %zu", where, r->name,
			    r->min, r->max, n);
	char **text = (char **)(void *)at;
	free(*text);
	*text = xstrdup(value);
}

static void on_file_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[512];
	vsnprintf(text, sizeof text, fmt, ap);
	fatal_usage("%s:%d: %s", cfg->filename ? cfg->filename : "configuration",
		    cfg->line, text);
}

static struct config *loading; /* libconfuse's callbacks carry no pointer */

/* After each value, so that a bad one is told with its line. */
static int on_file_value(cfg_t *cfg, cfg_opt_t *opt)
{
	char where[4200];
	snprintf(where, sizeof where, "%s:%d", cfg->filename, cfg->line);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!strcmp(rows[i].name, cfg_opt_name(opt)) && cfg_opt_getstr(opt))
			set(loading, &rows[i], cfg_opt_getstr(opt), where);
	return 0;
}

static void load_file(struct config *c, const char *path)
{
	cfg_opt_t opts[ARRAY_LEN(rows) + 1];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		opts[i] = (cfg_opt_t)CFG_STR(rows[i].name, NULL, CFGF_NODEFAULT);
	opts[ARRAY_LEN(rows)] = (cfg_opt_t)CFG_END();
	cfg_t *cfg = cfg_init(opts, CFGF_NONE);
	cfg_set_error_function(cfg, on_file_error);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		cfg_set_validate_func(cfg, rows[i].name, on_file_value);
	loading = c;
	if (cfg_parse(cfg, path) == CFG_FILE_ERROR)
		fatal_usage("TERABITS_CONFIG: %s: %s", path, strerror(errno));
	cfg_free(cfg);
}

static void take_environment(struct config *c, const struct row *r)
{
	char *value = getenv(r->env);
	if (!value)
		return;
	if (*value || (r->kind != KIND_INT && r->kind != KIND_BOOL))
		set(c, r, value, r->env);
	if (r->kind == KIND_SECRET) {
		crypto_wipe(value,
			    strlen(value)); /* /proc/PID/environ shows what was there */
		unsetenv(r->env);
	}
}

void config_load(struct config *c)
{
	const char *path = getenv("TERABITS_CONFIG");
	memset(c, 0, sizeof *c);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		set(c, &rows[i], rows[i].fallback, "default");
	if (path && *path)
		load_file(c, path);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		take_environment(c, &rows[i]);
}

void config_wipe(struct config *c)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char **text = (char **)(void *)((char *)c + rows[i].offset);
		if (rows[i].kind == KIND_SECRET && *text)
			crypto_wipe(*text, strlen(*text));
	}
}

void config_help(FILE *out)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		fprintf(out, "  %-24s %s%s%s%s\n", rows[i].env, rows[i].doc,
			*rows[i].fallback ? " (default " : "", rows[i].fallback,
			*rows[i].fallback ? ")" : "");
}
