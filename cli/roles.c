/* SPDX-License-Identifier: Apache-2.0
 * A random password a role: its SCRAM verifier to the database, the connection string
 * that holds it to a file. Killed between the two, the next migrate finds a file that
 * opens nothing and makes another. */
#include "cli/roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/report.h"
#include "cli/state.h"
#include "common/alloc.h"
#include "common/attr.h"
#include "common/crypto.h"

#define LOGIN_TRIES 3
#define LOGIN_PAUSE_US 200000
#define PASSWORD_SIZE 48

static const char *const roles[] = {"tb_supervisor", "tb_edge", "tb_worker"};

/* ---- the connection string */

static int names(const char *conninfo, const char *keyword)
{
	char start[40], inside[40];
	snprintf(start, sizeof start, "%s='", keyword);
	snprintf(inside, sizeof inside, " %s='", keyword);
	return !strncmp(conninfo, start, strlen(start)) || strstr(conninfo, inside);
}

/* *text gets one more keyword; the old text is wiped. */
static int set(char **text, const char *keyword, const char *value)
{
	char *next = pg_conninfo_set(*text, keyword, value, NULL, 0);
	state_forget(text);
	*text = next;
	return next ? 0 : -1;
}

/* The processes do not have the caller's environment. */
static int set_from(char **text, const char *keyword, const char *variable)
{
	const char *value = getenv(variable);
	return names(*text, keyword) || !value || !*value ? 0 : set(text, keyword, value);
}

char *roles_conninfo(const struct owner *o, const char *database, const char *role,
		     const char *password)
{
	char *text = xstrdup(o->conninfo);
	if (set(&text, "dbname", database) || set(&text, "user", role) ||
	    set(&text, "password", password) || set_from(&text, "host", "PGHOST") ||
	    set_from(&text, "port", "PGPORT")) {
		report("the owner's connection string cannot be read again");
		return NULL;
	}
	if (strlen(text) > STATE_TEXT_MAX) {
		report("the owner's connection string is too long: at most %d bytes fit",
		       STATE_TEXT_MAX - 100);
		state_forget(&text);
	}
	return text;
}

/* ---- one role */

/* NULL when it logs in; else why not. */
static const char *login(const char *conninfo, char *err, size_t err_size)
{
	for (int i = 0; i < LOGIN_TRIES; i++) {
		struct pg_sync *pg = pg_sync_open(conninfo, err, err_size);
		pg_sync_close(pg);
		if (pg)
			return NULL;
		usleep(LOGIN_PAUSE_US);
	}
	return err;
}

static int set_password(struct owner *o, const char *role, const char *password)
{
	char what[80];
	struct strbuf sql = STRBUF_INIT;
	char *verifier = pg_sync_scram(o->pg, role, password);
	if (!verifier || strchr(verifier, '\'')) {
		report("no SCRAM verifier could be made for %s", role);
		free(verifier);
		return -1;
	}
	strbuf_printf(&sql, "ALTER ROLE %s LOGIN PASSWORD '%s'", role, verifier);
	snprintf(what, sizeof what, "the password of %s cannot be set", role);
	int rv = owner_exec(o, sql.p, what);
	strbuf_fini(&sql);
	state_forget(&verifier);
	return rv;
}

static int renew(struct owner *o, const char *database, const char *role,
		 const char *file)
{
	char password[PASSWORD_SIZE], err[1024] = "";
	uint8_t bytes[32];
	crypto_random(bytes, sizeof bytes);
	crypto_base64url(bytes, sizeof bytes, password, sizeof password);
	char *conninfo = roles_conninfo(o, database, role, password);
	int rv = conninfo ? 0 : -1;
	if (!rv)
		rv = set_password(o, role, password) ||
		     state_write(o->state, file, slice_str(conninfo));
	if (!rv && login(conninfo, err, sizeof err)) {
		report("%s has a new password but cannot log in with it: %s. Does "
		       "pg_hba.conf let it in by scram-sha-256?",
		       role, err);
		rv = -1;
	}
	if (!rv)
		printf("new password for %s\n", role);
	state_forget(&conninfo);
	crypto_wipe(password, sizeof password);
	crypto_wipe(bytes, sizeof bytes);
	return rv ? -1 : 0;
}

static int secure(struct owner *o, const char *database, const char *role)
{
	char file[64], err[1024] = "";
	snprintf(file, sizeof file, "secrets/%s", role);
	AUTO(state_forget) char *conninfo = state_read(o->state, file);
	char *parsed = conninfo ? pg_conninfo_set(conninfo, "user", role, NULL, 0) : NULL;
	int is_good = parsed && !login(parsed, err, sizeof err);
	state_forget(&parsed);
	return is_good ? 0 : renew(o, database, role, file);
}

int roles_secure(struct owner *o)
{
	struct pg_result *r;
	int rv = 0;
	if (owner_query(o, "SELECT current_database()::text", NULL, &r,
			"the database's name"))
		return -1;
	struct slice name = pg_get_text(r, 0, 0);
	AUTO(auto_free) char *database = xstrndup(name.p, name.n);
	pg_result_free(r);
	for (size_t i = 0; i < ARRAY_LEN(roles) && !rv; i++)
		rv = secure(o, database, roles[i]);
	return rv;
}
