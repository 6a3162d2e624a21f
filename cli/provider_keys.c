/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl provider-key: keys of model providers, of a tenant or of the platform, as
 * the database's owner. The secret is read from standard input or a file, never from the
 * command line, and sealed here; nothing shows it again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/admin.h"
#include "cli/ask.h"
#include "cli/catalogue.h"
#include "cli/report.h"
#include "common/alloc.h"
#include "common/attr.h"
#include "common/json.h"
#include "proto/keys/key_seal.h"
#include "proto/keys/key_text.h"
#include "proto/keys/master_key.h"

struct keying {
	struct catalogue c;
	struct uuid id;
	char provider[64];
	struct strbuf row; /* as it stands, a JSON object; n 0: there is none */
	/* To be written. */
	char base_url[1001], version[41];
	bool bearer;
	char key[PROVIDER_KEY_MOST + 2];
	size_t key_n;
	uint8_t sealed[SEAL_MOST], master[SEAL_ID];
	size_t sealed_n;
	char hint[KEY_HINT];
};

static void close_keying(struct keying *k)
{
	crypto_wipe(k->key, sizeof k->key);
	strbuf_fini(&k->row);
	catalogue_close(&k->c);
}

/* ---- the secret */

static ssize_t read_hidden(int fd, char *out, size_t room)
{
	struct termios shown, hidden;
	if (tcgetattr(fd, &shown))
		return read(fd, out, room);
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	fprintf(stderr, "the key (it is not shown): ");
	tcsetattr(fd, TCSAFLUSH, &hidden);
	ssize_t n = read(fd, out, room);
	tcsetattr(fd, TCSAFLUSH, &shown);
	fprintf(stderr, "\n");
	return n;
}

static ssize_t read_whole(int fd, char *out, size_t room)
{
	size_t n = 0;
	while (n < room) {
		ssize_t got = read(fd, out + n, room - n);
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

static int read_key(struct keying *k)
{
	const char *file = args_text(k->c.args, PARAM_key_file, "-");
	bool is_input = !strcmp(file, "-");
	int fd = is_input ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		report("%s cannot be read: %s", file, strerror(errno));
		return EXIT_USAGE;
	}
	ssize_t n = isatty(fd) ? read_hidden(fd, k->key, sizeof k->key)
			       : read_whole(fd, k->key, sizeof k->key);
	if (!is_input)
		close(fd);
	struct slice key = slice_trim(slice_of(k->key, n > 0 ? (size_t)n : 0));
	const char *problem = key_text_problem(key);
	if (problem) {
		report("the key that %s holds %s", is_input ? "standard input" : file,
		       problem);
		return EXIT_USAGE;
	}
	memmove(k->key, key.p, key.n);
	k->key_n = key.n;
	return 0;
}

static int read_masters(const struct keying *k, struct master_keys *m)
{
	char path[4400], err[4700];
	const struct config *g = &k->c.config;
	if (master_path(g->master_key_file, g->state_dir, path, sizeof path) &&
	    master_make(path)) {
		report("%s cannot be made: %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	if (!master_read(path, m, err, sizeof err))
		return 0;
	report("%s", err);
	return EXIT_FAILED;
}

static struct seal_bound bound_of(const struct keying *k)
{
	return (struct seal_bound){k->c.tenant, k->id, slice_str(k->provider),
				   slice_str(k->base_url)};
}

static void seal(struct keying *k, const struct master_keys *m, struct slice key)
{
	uint8_t public_key[CRYPTO_BOX_KEY];
	struct seal_bound b = bound_of(k);
	master_public(m, public_key);
	seal_id(public_key, k->master);
	k->sealed_n = seal_close(public_key, &b, key, k->sealed);
}

static int seal_read(struct keying *k)
{
	struct master_keys m;
	struct slice key = slice_of(k->key, k->key_n);
	int status = read_masters(k, &m);
	if (status)
		return status;
	key_hint(key, k->hint);
	seal(k, &m, key);
	master_wipe(&m);
	return 0;
}

/* ---- what else is said of it */

static int refuse(const char *option, const char *problem)
{
	report("provider-key: --%s %s", option, problem);
	return EXIT_USAGE;
}

static void keep(char *to, size_t size, json_t before)
{
	snprintf(to, size, "%s", json_cstr(before, ""));
}

/* What is not given stays as it was. */
static int take_options(struct keying *k)
{
	const struct args *a = k->c.args;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&k->row), k->row.n + 1, NULL, 0);
	json_t row = json_root(d);
	const char *url = args_text(a, PARAM_base_url, NULL),
		   *version = args_text(a, PARAM_api_version, NULL),
		   *auth = args_text(a, PARAM_auth, json_cstr(json_get(row, "auth"), ""));
	const char *problem =
		url ? key_base_url_problem(slice_str(url), k->c.tenant != 0) : NULL;
	keep(k->base_url, sizeof k->base_url, json_get(row, "baseUrl"));
	keep(k->version, sizeof k->version, json_get(row, "version"));
	if (problem)
		return refuse("base-url", problem);
	problem = version ? key_version_problem(slice_str(version)) : NULL;
	if (problem)
		return refuse("api-version", problem);
	if (url)
		snprintf(k->base_url, sizeof k->base_url, "%s", url);
	if (version)
		snprintf(k->version, sizeof k->version, "%s", version);
	k->bearer = !strcmp(auth, "bearer");
	return 0;
}

/* ---- statements */

static void put_text(struct pg_params *p, const char *text)
{
	pg_text(p, *text ? slice_str(text) : SLICE_NONE);
}

static void put_priority(struct pg_params *p, const struct args *a, bool is_new)
{
	if (args_has(a, O(priority)) || is_new)
		pg_i16(p, (int16_t)args_number(a, PARAM_priority, 0));
	else
		pg_null(p, PG_INT2);
}

static void put_sealed(struct pg_params *p, const struct keying *k)
{
	bool given = k->sealed_n;
	pg_bytea(p, given ? slice_of(k->sealed, k->sealed_n) : SLICE_NONE);
	pg_bytea(p, given ? slice_of(k->master, SEAL_ID) : SLICE_NONE);
	pg_text(p, given ? slice_str(k->hint) : SLICE_NONE);
}

/* The outcome's word decides the exit status. */
static int took(struct pg_result *r)
{
	struct slice s = pg_get_text(r, 0, 0);
	int status = slice_is(s, "done") ? EXIT_FINE : EXIT_FAILED;
	if (slice_is(s, "taken"))
		report("another key of this provider has that label");
	else if (slice_is(s, "full"))
		report("there are 64 keys already: delete one first");
	else if (status)
		report("the key was changed or deleted meanwhile; nothing was done");
	pg_result_free(r);
	return status;
}

static int run_change(struct keying *k, const char *sql, struct pg_params *p)
{
	struct pg_result *r;
	int rv = owner_query(&k->c.owner, sql, p, &r, "the key cannot be changed");
	pg_params_fini(p);
	return rv ? EXIT_FAILED : took(r);
}

static int add(struct keying *k, const char *label)
{
	struct pg_params p;
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_i64(&p, k->c.tenant);
	pg_uuid(&p, k->id);
	pg_text(&p, slice_str(k->provider));
	put_text(&p, label);
	put_text(&p, k->base_url);
	put_text(&p, k->version);
	pg_bool(&p, k->bearer);
	put_priority(&p, k->c.args, true);
	put_sealed(&p, k);
	return run_change(k,
			  "SELECT tb.provider_key_add($3, $4, $5, $6, $7, $8, $9, $10, "
			  "$11, $12, $13, $1, $2)",
			  &p);
}

/* disabled: 0, 1, or -1 as it is. */
static int change(struct keying *k, int disabled)
{
	struct pg_params p;
	pg_params_init(&p);
	catalogue_put_actor(&p);
	pg_i64(&p, k->c.tenant);
	pg_uuid(&p, k->id);
	pg_text(&p, slice_str(k->provider));
	pg_null(&p, PG_TEXT); /* the label */
	if (disabled < 0)
		pg_null(&p, PG_BOOL);
	else
		pg_bool(&p, disabled);
	put_priority(&p, k->c.args, false);
	put_sealed(&p, k);
	put_text(&p, k->base_url);
	put_text(&p, k->version);
	pg_bool(&p, k->bearer);
	return run_change(k,
			  "SELECT outcome FROM tb.provider_key_change($3, $4, $5, $6, "
			  "$7, $8, $9, $10, $11, $12, $13, $14, NULL, $1, $2)",
			  &p);
}

/* ---- which key */

static int open_tenant(struct keying *k, const struct args *a)
{
	*k = (struct keying){.row = STRBUF_INIT};
	int status = catalogue_open(&k->c, a);
	if (status || !args_has(a, O(tenant)))
		return status;
	return catalogue_tenant(&k->c);
}

static int read_row(struct keying *k, const char *sql, struct pg_params *p)
{
	strbuf_reset(&k->row);
	int found = catalogue_query(&k->c, sql, p, &k->row, "reading the key");
	pg_params_fini(p);
	if (found < 0)
		return EXIT_FAILED;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&k->row), k->row.n + 1, NULL, 0);
	json_t row = json_root(d);
	if (!json_get(row, "id"))
		strbuf_reset(&k->row);
	if (!k->row.n)
		return 0;
	uuid_parse(json_str(json_get(row, "id")), &k->id);
	keep(k->provider, sizeof k->provider, json_get(row, "provider"));
	return 0;
}

static int find_by_label(struct keying *k, const char *label)
{
	struct pg_params p;
	pg_params_init(&p);
	pg_i64(&p, k->c.tenant);
	pg_text(&p, slice_str(k->provider));
	pg_text(&p, slice_str(label));
	return read_row(k,
			"SELECT coalesce((SELECT x FROM jsonb_array_elements("
			"tb.provider_keys_json($1, $2, NULL)) x WHERE x->>'label' = $3), "
			"'{}')::text",
			&p);
}

static int find_by_id(struct keying *k, const struct args *a)
{
	struct pg_params p;
	struct pg_result *r;
	int status = open_tenant(k, a);
	if (status)
		return status;
	uuid_parse(slice_str(a->text[PARAM_key]), &k->id);
	pg_params_init(&p);
	pg_uuid(&p, k->id);
	int rv = owner_query(&k->c.owner,
			     "SELECT tenant_id, (tb.provider_keys_json(tenant_id, NULL, "
			     "key_id)->0)::text FROM tb.provider_keys WHERE key_id = $1",
			     &p, &r, "looking for the key");
	pg_params_fini(&p);
	if (rv)
		return EXIT_FAILED;
	bool found = pg_rows(r) == 1;
	if (found) {
		k->c.tenant = pg_get_i64(r, 0, 0);
		strbuf_add_slice(&k->row, pg_get_text(r, 0, 1));
	} else {
		report("there is no key %s; 'terabitsctl provider-key list' shows them",
		       a->text[PARAM_key]);
	}
	pg_result_free(r);
	if (!found)
		return EXIT_ABSENT;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse(strbuf_slice(&k->row), k->row.n + 1, NULL, 0);
	keep(k->provider, sizeof k->provider, json_get(json_root(d), "provider"));
	return 0;
}

/* As it is now, and the node is told. */
static void print(struct keying *k)
{
	struct pg_params p;
	catalogue_invalidate(&k->c, "provider_key", &k->id);
	pg_params_init(&p);
	pg_i64(&p, k->c.tenant);
	pg_uuid(&p, k->id);
	strbuf_reset(&k->row);
	if (catalogue_query(&k->c,
			    "SELECT (tb.provider_keys_json($1, NULL, $2)->0)::text", &p,
			    &k->row, "reading the key") > 0)
		catalogue_print(&k->c, &k->row);
	pg_params_fini(&p);
}

/* ---- the commands */

static int set(struct keying *k)
{
	const char *label = args_text(k->c.args, PARAM_label, "default");
	const char *problem = key_label_problem(slice_str(label));
	if (problem)
		return refuse("label", problem);
	int status = find_by_label(k, label);
	bool is_new = !k->row.n;
	strbuf_reset(&k->row); /* all of it is said anew */
	if (!status)
		status = take_options(k);
	if (!status)
		status = read_key(k);
	if (status)
		return status;
	if (is_new)
		k->id = uuid7_new();
	status = seal_read(k);
	if (!status)
		status = is_new ? add(k, label) : change(k, -1);
	return status;
}

int provider_key_set_command(const struct args *a)
{
	static struct keying k;
	const char *provider = a->text[PARAM_provider];
	if (!key_provider_is_known(slice_str(provider))) {
		report("there is no model provider '%s'; there are %s", provider,
		       key_providers());
		return EXIT_USAGE;
	}
	int status = open_tenant(&k, a);
	snprintf(k.provider, sizeof k.provider, "%s", provider);
	if (!status)
		status = set(&k);
	if (!status)
		print(&k);
	close_keying(&k);
	return status;
}

int provider_key_rotate_command(const struct args *a)
{
	static struct keying k;
	int status = find_by_id(&k, a);
	if (!status)
		status = take_options(&k);
	if (!status)
		status = read_key(&k);
	if (!status)
		status = seal_read(&k);
	if (!status)
		status = change(&k, -1);
	if (!status)
		print(&k);
	close_keying(&k);
	return status;
}

static int switch_key(const struct args *a, int disabled)
{
	static struct keying k;
	int status = find_by_id(&k, a);
	if (!status)
		status = change(&k, disabled);
	if (!status)
		print(&k);
	close_keying(&k);
	return status;
}

int provider_key_disable_command(const struct args *a)
{
	return switch_key(a, 1);
}

int provider_key_enable_command(const struct args *a)
{
	return switch_key(a, 0);
}

int provider_key_test_command(const struct args *a)
{
	static struct keying k;
	AUTO(strbuf_fini) struct strbuf request = STRBUF_INIT, line = STRBUF_INIT;
	AUTO(auto_json_free) struct json_doc *answer = NULL;
	int status = find_by_id(&k, a);
	if (!status) {
		struct json_out o = admin_begin(&request, "key.test");
		json_kv_cstr(&o, "key", a->text[PARAM_key]);
		json_kv_i64(&o, "tenant", k.c.tenant);
		json_kv_cstr(&o, "model", args_text(a, PARAM_model, NULL));
		admin_end(&o);
		answer = admin_ask(k.c.config.state_dir, strbuf_slice(&request), &line,
				   &status);
	}
	close_keying(&k);
	if (!answer)
		return status;
	ask_print(a, slice_trim(strbuf_slice(&line)), json_root(answer));
	return json_bool(json_get(json_root(answer), "ok"), false) ? 0 : EXIT_FAILED;
}

int provider_key_delete_command(const struct args *a)
{
	static struct keying k;
	struct pg_params p;
	int status = find_by_id(&k, a);
	if (!status) {
		pg_params_init(&p);
		catalogue_put_actor(&p);
		pg_i64(&p, k.c.tenant);
		pg_uuid(&p, k.id);
		pg_text(&p, slice_str(k.provider));
		status = run_change(&k,
				    "SELECT outcome FROM tb.provider_key_remove($3, $4, "
				    "$5, NULL, $1, $2)",
				    &p);
	}
	if (!status) {
		catalogue_invalidate(&k.c, "provider_key", &k.id);
		catalogue_print(&k.c, &k.row);
	}
	close_keying(&k);
	return status;
}

int provider_key_list_command(const struct args *a)
{
	static struct keying k;
	struct pg_params p;
	int status = open_tenant(&k, a);
	if (!status) {
		pg_params_init(&p);
		pg_i64(&p, args_has(a, O(platform)) || k.c.tenant ? k.c.tenant : -1);
		status = catalogue_list(
			&k.c,
			"SELECT jsonb_build_object('keys', coalesce(jsonb_agg(x || "
			"jsonb_build_object('tenant', t.slug) ORDER BY t.tenant_id), "
			"'[]'))::text FROM tb.tenants t, LATERAL jsonb_array_elements("
			"tb.provider_keys_json(t.tenant_id, NULL, NULL)) x WHERE $1 = -1 "
			"OR t.tenant_id = $1",
			&p, "reading the keys");
		pg_params_fini(&p);
	}
	close_keying(&k);
	return status;
}

/* ---- another master key */

/* One row, opened by whichever master key it is sealed to. False: it cannot be. */
static bool reseal(struct keying *k, const struct master_keys *m,
		   const struct pg_result *r, int row)
{
	struct pg_params p;
	struct pg_result *done;
	bool fine = false;
	size_t key_n = 0;
	struct slice masters = slice_of(m->secrets, m->count * CRYPTO_BOX_KEY);
	k->c.tenant = pg_get_i64(r, row, 0);
	k->id = pg_get_uuid(r, row, 1);
	snprintf(k->provider, sizeof k->provider, "%.*s",
		 SLICE_ARG(pg_get_text(r, row, 2)));
	snprintf(k->base_url, sizeof k->base_url, "%.*s",
		 SLICE_ARG(pg_get_text(r, row, 3)));
	struct seal_bound b = bound_of(k);
	if (seal_open(masters, pg_get_bytea(r, row, 5), &b, pg_get_bytea(r, row, 6),
		      (uint8_t *)k->key, &key_n) != SEAL_OPEN)
		return false;
	seal(k, m, slice_of(k->key, key_n));
	pg_params_init(&p);
	pg_i64(&p, k->c.tenant);
	pg_uuid(&p, k->id);
	pg_i32(&p, (int32_t)pg_get_i64(r, row, 4));
	pg_bytea(&p, slice_of(k->sealed, k->sealed_n));
	pg_bytea(&p, slice_of(k->master, SEAL_ID));
	const char *sql = pg_get_bool(r, row, 7)
				  ? "SELECT tb.webhook_secret_reseal($1, $2, $4, $5)"
				  : "SELECT tb.provider_key_reseal($1, $2, $3, $4, $5)";
	if (!owner_query(&k->c.owner, sql, &p, &done, "the key cannot be sealed anew")) {
		fine = pg_get_bool(done, 0, 0);
		pg_result_free(done);
	}
	pg_params_fini(&p);
	return fine;
}

static int reseal_all(struct keying *k, const struct master_keys *m)
{
	AUTO(strbuf_fini) struct strbuf json = STRBUF_INIT;
	struct pg_params p;
	struct pg_result *r;
	uint8_t public_key[CRYPTO_BOX_KEY], id[SEAL_ID];
	int done = 0, rows, i = 0;
	master_public(m, public_key);
	seal_id(public_key, id);
	pg_params_init(&p);
	pg_bytea(&p, slice_of(id, sizeof id));
	int rv = owner_query(&k->c.owner,
			     "SELECT tenant_id, key_id, provider, base_url, revision, "
			     "master_id, sealed, is_webhook FROM tb.sealed_otherwise($1)",
			     &p, &r, "reading the keys");
	pg_params_fini(&p);
	if (rv)
		return EXIT_FAILED;
	for (rows = pg_rows(r); i < rows; i++)
		done += reseal(k, m, r, i);
	pg_result_free(r);
	strbuf_printf(&json, "{\"resealed\":%d,\"failed\":%d}", done, rows - done);
	catalogue_print(&k->c, &json);
	return done == rows ? EXIT_FINE : EXIT_FAILED;
}

int provider_key_reseal_command(const struct args *a)
{
	static struct keying k;
	struct master_keys m;
	int status = open_tenant(&k, a);
	if (!status)
		status = read_masters(&k, &m);
	if (!status) {
		status = reseal_all(&k, &m);
		master_wipe(&m);
	}
	close_keying(&k);
	return status;
}
