/* SPDX-License-Identifier: Apache-2.0
 * POST /v1/runs/{id}/stream-token and /v1/sessions/.../stream-token: a token for the
 * query of GET /v1/runs/{id}/events, of that run or of any run of that session. */
#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "edge/auth.h"
#include "edge/body.h"
#include "edge/reply.h"
#include "edge/run_json.h"
#include "edge/session_look.h"
#include "edge/stream_token.h"
#include "edge/token.h"

struct granting {
	struct session_look look;
	struct uuid run;
	struct run_row row;
	int64_t ttl_s;
};
enum { GRANT_START, GRANT_LOOK };

static bool take_ttl(struct call *c, json_t v)
{
	struct granting *g = c->state;
	return body_number(c, "ttlSeconds", v, 1, STREAM_TOKEN_MAX_S, &g->ttl_s);
}

static const struct body_member members[] = {{"ttlSeconds", take_ttl}};

static bool begin(struct call *c)
{
	struct granting *g = arena_zalloc(c->request->arena, sizeof *g);
	c->state = g;
	g->ttl_s = STREAM_TOKEN_DEFAULT_S;
	c->stage = GRANT_LOOK;
	return body_read(c, members, ARRAY_LEN(members));
}

/* The key is the hash of the secret that this very request brought. */
static void reply_token(struct call *c, bool of_session, struct uuid object)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	const struct granting *g = c->state;
	struct token own;
	uint8_t key[32];
	char text[STREAM_TOKEN_TEXT];
	int64_t until_s = clock_real_us() / 1000000 + g->ttl_s;
	struct stream_token t = {.tenant = c->caller.tenant,
				 .token = c->caller.token,
				 .of_session = of_session,
				 .object = object,
				 .until_s = until_s};
	if (!token_parse(token_of_field(http_field(&c->request->head, "authorization")),
			 &own))
		return;
	crypto_sha256(own.secret, key);
	stream_token_make(&t, key, text);
	json_obj(&o);
	json_kv_cstr(&o, "token", text);
	run_put_id(&o, of_session ? "sessionId" : "runId", object);
	run_put_time(&o, "connectUntil", until_s * 1000000);
	json_obj_end(&o);
	strbuf_add_char(&b, '\n');
	reply_head(c->request, 201);
	reply_body(c->request, "application/json", strbuf_slice(&b));
	crypto_wipe(text, sizeof text);
	crypto_wipe(key, sizeof key);
}

void run_stream_token(struct call *c)
{
	struct granting *g = c->state;
	if (c->asking)
		return;
	if (c->stage == GRANT_START) {
		if (!begin(c))
			return;
		g = c->state;
		if (call_run_id(c, 0, &g->run))
			store_get_run(c, g->run, &g->row);
	} else if (c->asked) {
		reply_err(c->request, c->asked, NULL, NULL, 0);
	} else if (!g->row.found) {
		reply_err(c->request, ERR_NOT_FOUND, NULL, "there is no such run", 0);
	} else {
		reply_token(c, false, g->run);
	}
}

void session_stream_token(struct call *c)
{
	if (c->stage == GRANT_START && !begin(c))
		return;
	struct granting *g = c->state;
	if (session_look(c, &g->look, false))
		reply_token(c, true, g->look.info.id);
}
