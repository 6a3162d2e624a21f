/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl migrate: schema, roles' passwords, first tenant, token. Each step can be
 * killed and run again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/migrations.h"
#include "cli/owner.h"
#include "cli/report.h"
#include "cli/roles.h"
#include "cli/schema.h"
#include "cli/state.h"
#include "cli/tenant.h"
#include "common/alloc.h"
#include "common/attr.h"
#include "common/config.h"
#include "proto/keys/master_key.h"

static int only_check(struct owner *o, const char *state, const struct migrations *m)
{
	int standing = owner_open(o, state) ? -1 : schema_standing(o, m);
	if (standing < 0)
		return EXIT_FAILED;
	for (size_t i = (size_t)standing; i < m->count; i++)
		printf("pending %s\n", m->list[i].file);
	printf("schema is at version %d of %zu\n", standing, m->count);
	return (size_t)standing == m->count ? EXIT_FINE : EXIT_FAILED;
}

/* What provider keys are sealed to, so that the first can be set before the first start.
 */
static int make_master(const char *state)
{
	AUTO(auto_free) char *path = state_path(state, "secrets/provider_master");
	if (!master_make(path))
		return 0;
	report("%s cannot be made: %s", path, strerror(errno));
	return -1;
}

static int migrate(struct owner *o, const char *state, const struct migrations *m)
{
	return state_prepare(state) || owner_open(o, state) || owner_lock(o) ||
			       schema_apply(o, m) || roles_secure(o) || tenant_first(o) ||
			       tenant_token(o) || make_master(state)
		       ? EXIT_FAILED
		       : EXIT_FINE;
}

int migrate_command(const struct args *a)
{
	static struct config config;
	struct migrations m = {0};
	struct owner o = {0};
	char err[512];
	const char *dir = args_text(a, PARAM_dir, NULL);
	int status = EXIT_FAILED;
	config_load(&config);
	AUTO(auto_free) char *directory = migrations_directory(dir, err, sizeof err);
	if (!directory || migrations_load(&m, directory, err, sizeof err))
		report("%s", err);
	else if (args_has(a, O(check)))
		status = only_check(&o, config.state_dir, &m);
	else
		status = migrate(&o, config.state_dir, &m);
	owner_close(&o);
	migrations_fini(&m);
	return status;
}
