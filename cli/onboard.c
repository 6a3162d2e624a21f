/* SPDX-License-Identifier: Apache-2.0
 * terabitsctl tenant onboard: a tenant, its first agent and a token, all or nothing; and
 * what to type to see it work. */
#include "cli/onboard.h"

#include <stdio.h>

#include "cli/agent_config.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/crypto.h"
#include "common/json.h"

struct onboarding {
	struct strbuf tenant, agent, token; /* JSON */
	struct tenant_new_token made;
	const char *name; /* the agent's */
};

static int make_all(struct catalogue *c, const char *slug, const struct strbuf *config,
		    struct onboarding *x)
{
	int status = tenant_row_new(c, slug, &x->tenant);
	if (!status)
		status = agent_row_new(c, x->name, config, &x->agent);
	if (status)
		return status;
	tenant_token_new(c->tenant, &x->made);
	status = token_row_new(c, &x->made,
			       args_text(c->args, PARAM_scopes, "run,read,write,admin"),
			       &x->token);
	if (!status && owner_exec(&c->owner, "COMMIT", "the tenant was not made"))
		return EXIT_FAILED;
	return status;
}

static void print_json(const struct onboarding *x)
{
	struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_kv_raw(&o, "tenant", strbuf_slice(&x->tenant));
	json_kv_raw(&o, "agent", strbuf_slice(&x->agent));
	json_key(&o, "token");
	strbuf_printf(&b, "{\"token\":\"%s\",%s", x->made.text, x->token.p + 1);
	o.comma = true;
	printf("%.*s}\n", (int)b.n, b.p);
	fflush(stdout);
	crypto_wipe(b.p, b.n);
	strbuf_fini(&b);
}

static void print_lines(const struct catalogue *c, const struct onboarding *x)
{
	const char *url = c->config.listen, *token = x->made.text;
	printf("made tenant %lld '%s' with agent '%s'. Its token, shown this once:\n\n"
	       "  %s\n\nTry it:\n\n"
	       "  curl -sS http://%s/v1/agents/%s/runs -H 'Authorization: Bearer %s' -d "
	       "'{\"message\":\"hello\"}'\n"
	       "  curl -sSN http://%s/v1/agents/%s/runs -H 'Authorization: Bearer %s' "
	       "-d '{\"message\":\"hello\",\"stream\":true}'\n"
	       "  curl -sS http://%s/v1/runs -H 'Authorization: Bearer %s'\n",
	       (long long)c->tenant, c->slug, x->name, token, url, x->name, token, url,
	       x->name, token, url, token);
	fflush(stdout);
}

int tenant_onboard_command(const struct args *a)
{
	static struct catalogue c;
	static struct onboarding x;
	AUTO(strbuf_fini) struct strbuf config = STRBUF_INIT;
	const char *slug = a->text[PARAM_slug];
	int status = tenant_check_slug(slug);
	if (!status)
		status = agent_compose(&config, a);
	if (status)
		return status;
	x.name = args_text(a, PARAM_agent, "main");
	status = catalogue_open(&c, a);
	if (!status)
		status = make_all(&c, slug, &config, &x);
	if (!status && args_wants_json(a))
		print_json(&x);
	else if (!status)
		print_lines(&c, &x);
	crypto_wipe(&x.made, sizeof x.made);
	strbuf_fini(&x.tenant);
	strbuf_fini(&x.agent);
	strbuf_fini(&x.token);
	catalogue_close(&c);
	return status;
}
