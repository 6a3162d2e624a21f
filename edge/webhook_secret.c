/* SPDX-License-Identifier: Apache-2.0
 * What a tenant's webhooks are signed with: GET and POST /v1/webhooks/secret, POST
 * .../rotate. It is made here, shown once, and sealed for workers alone. */
#include <string.h>

#include "common/json.h"
#include "edge/body.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "edge/webhook_store.h"

#define SECRET_BYTES 24

enum stage { SECRET_START, SECRET_ASKED };

struct making {
	struct webhook_secret_row row;
	char text[6 + 4 * ((SECRET_BYTES + 2) / 3) + 1]; /* "whsec_" and base64 */
	struct slice outcome;
};

static void wipe(struct call *c)
{
	struct making *x = c->state;
	crypto_wipe(x->text, sizeof x->text);
}

static void make(struct call *c, struct making *x)
{
	uint8_t bytes[SECRET_BYTES];
	struct seal_bound b = {.tenant = c->caller.tenant, .provider = SLICE("webhook")};
	x->row.id = b.key = uuid7_new();
	crypto_random(bytes, sizeof bytes);
	memcpy(x->text, "whsec_", 6);
	crypto_base64(bytes, sizeof bytes, x->text + 6, sizeof x->text - 6);
	seal_id(c->edge->seal_key, x->row.master);
	x->row.sealed_n = seal_close(c->edge->seal_key, &b, slice_of(bytes, sizeof bytes),
				     x->row.sealed);
	crypto_wipe(bytes, sizeof bytes);
}

static void begin(struct call *c)
{
	struct making *x = arena_zalloc(c->request->arena, sizeof *x);
	c->state = x;
	c->on_end = wipe;
	if (!body_read(c, NULL, 0))
		return;
	if (!c->edge->can_seal) {
		reply_err(c->request, ERR_UNAVAILABLE, NULL,
			  "this node has no master key to seal it with: see its log", 60);
		return;
	}
	make(c, x);
	c->stage = SECRET_ASKED;
	webhook_store_set_secret(
		c, &x->row, c->match.route == ROUTE_WEBHOOK_SECRET_ROTATE, &x->outcome);
}

static void reply_secret(struct call *c, const struct making *x)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	run_put_id(&o, "id", x->row.id);
	json_kv_cstr(&o, "secret", x->text);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, 201);
	reply_field(c->request, "cache-control", SLICE("no-store"));
	reply_body(c->request, "application/json", strbuf_slice(&b));
	crypto_wipe(b.p, b.n);
}

void webhook_secret_set(struct call *c)
{
	const struct making *x = c->state;
	if (c->asking)
		return;
	if (c->stage == SECRET_START)
		begin(c);
	else if (c->asked)
		reply_err(c->request, c->asked, NULL,
			  c->unsure ? "the database went away: whether this was done is "
				      "not known; rotate it to be sure"
				    : NULL,
			  0);
	else if (slice_is(x->outcome, "exists"))
		reply_err(
			c->request, ERR_CONFLICT, NULL,
			"there is a secret: POST /v1/webhooks/secret/rotate replaces it",
			0);
	else
		reply_secret(c, x);
}

void webhook_secret_get(struct call *c)
{
	struct slice *answer = c->state;
	if (c->asking)
		return;
	if (c->stage == SECRET_START) {
		c->state = answer = arena_zalloc(c->request->arena, sizeof *answer);
		c->stage = SECRET_ASKED;
		webhook_store_secret(c, answer);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else if (!answer->p) {
		reply_err(c->request, ERR_NOT_FOUND, NULL,
			  "there is no secret yet: POST /v1/webhooks/secret makes one",
			  0);
	} else {
		reply_head(c->request, 200);
		reply_body(c->request, "application/json",
			   slice_str(arena_printf(c->request->arena, "%.*s\n",
						  SLICE_ARG(*answer))));
	}
}
