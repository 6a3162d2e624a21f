/* SPDX-License-Identifier: Apache-2.0
 * Composing BOOT: each child gets what it needs, no more. */
#include "supervisor/child_boot.h"

#include <unistd.h>

#include "common/crypto.h"
#include "common/log.h"
#include "supervisor/children.h"
#include "supervisor/sup.h"

#define DATABASE_CONNECTIONS 2

/* A value that would end its line or column is left out: the provider then says what it
 * misses. */
static void add_column(struct strbuf *out, const char *value, char end)
{
	if (!slice_has_control(slice_str(value)))
		strbuf_add_str(out, value);
	strbuf_add_char(out, end);
}

void child_boot_forget(struct child_secrets *x)
{
	crypto_wipe(x->endpoints.p, x->endpoints.n);
	strbuf_fini(&x->endpoints);
	master_wipe(&x->masters);
}

static void write_endpoints(const struct config *c, struct strbuf *out)
{
#define ENDPOINT(provider, base_url, key, version)                                       \
	add_column(out, provider, '\t');                                                 \
	add_column(out, base_url, '\t');                                                 \
	add_column(out, key, '\t');                                                      \
	add_column(out, version, '\n');
#include "supervisor/endpoints.tbl"
#undef ENDPOINT
}

/* Who opens provider keys, and who can only seal them. */
static void add_master(const struct child *c, struct child_secrets *x,
		       struct wire_boot *b)
{
	if (!master_load(c->sup, &x->masters))
		return;
	if (c->role == ROLE_WORKER) {
		b->master_keys =
			slice_of(x->masters.secrets, x->masters.count * CRYPTO_BOX_KEY);
		return;
	}
	master_public(&x->masters, x->seal_key);
	b->seal_key = slice_of(x->seal_key, sizeof x->seal_key);
}

static void fill_door(const struct sup *s, struct wire_boot *b)
{
	b->doors = door_rows(&s->door);
	const struct config *g = &s->config;
	b->tls = s->door.tls >= 0;
	b->cors = slice_str(g->cors_origins);
	b->max_connections = (uint32_t)g->max_connections;
	b->max_connections_address = (uint32_t)g->max_connections_address;
	b->max_streams_tenant = (uint32_t)g->max_streams_tenant;
	b->max_requests_connection = (uint32_t)g->max_requests_connection;
	b->head_s = (uint32_t)g->head_seconds;
	b->body_rate = (uint32_t)g->body_rate;
}

void child_boot_fill(struct child *c, const uint8_t *secret, const char *conninfo,
		     struct child_secrets *x, struct wire_boot *b)
{
	const struct config *g = &c->sup->config;
	*x = (struct child_secrets){.endpoints = STRBUF_INIT};
	*b = (struct wire_boot){.role = c->role,
				.ordinal = (uint32_t)c->ordinal,
				.incarnation = c->incarnation,
				.node = c->sup->node,
				.parent_pid = (uint32_t)getpid(),
				.url = slice_str(c->url),
				.secret = slice_of(secret, 32),
				.conninfo = slice_str(conninfo),
				.log_level = (uint32_t)log_level_parse(g->log_level),
				.model = slice_str(c->sup->model),
				.max_runs = (uint32_t)g->worker_runs,
				.silence_s = (uint32_t)g->model_silence_seconds,
				.approval_s = (uint32_t)g->approval_seconds,
				.webhook_private = g->webhook_private != 0,
				.database_connections = DATABASE_CONNECTIONS};
	if (c->role == ROLE_WORKER) { /* nobody else needs the provider's key */
		write_endpoints(g, &x->endpoints);
		b->endpoints = strbuf_slice(&x->endpoints);
	}
	if (c->role == ROLE_EDGE)
		fill_door(c->sup, b);
	add_master(c, x, b);
}
