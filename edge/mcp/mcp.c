/* SPDX-License-Identifier: Apache-2.0
 * POST /mcp: one message in, one answer out. Nothing is kept between two requests. */
#include <stdio.h>

#include "edge/conn.h"
#include "edge/cors.h"
#include "edge/default_agent.h"
#include "edge/lookup.h"
#include "edge/mcp/mcp_call.h"
#include "edge/mcp/mcp_origin.h"
#include "edge/reply.h"
#include "edge/server.h"

#define LIST_TTL_MS 60000

static struct mcp_call *state_of(const struct call *c)
{
	return c->state;
}

/* ---- answers */

static void put_id(struct json_out *o, const struct mcp_call *m)
{
	json_kv_cstr(o, "jsonrpc", "2.0");
	json_key(o, "id");
	if (m->rpc.id)
		json_put_value(o, m->rpc.id);
	else
		json_put_null(o);
}

static void put_info(struct json_out *o, const char *key)
{
	json_key(o, key);
	json_obj(o);
	json_kv_cstr(o, "name", "terabits");
	json_kv_cstr(o, "version", TB_VERSION);
	json_obj_end(o);
}

static struct json_out begin_result(struct strbuf *b, const struct mcp_call *m)
{
	struct json_out o = json_out(b);
	json_obj(&o);
	put_id(&o, m);
	json_key(&o, "result");
	json_obj(&o);
	if (m->rpc.is_modern) {
		json_kv_cstr(&o, "resultType", "complete");
		json_key(&o, "_meta");
		json_obj(&o);
		put_info(&o, MCP_META "serverInfo");
		json_obj_end(&o);
	}
	return o;
}

static void send(struct call *c, int status, struct strbuf *b)
{
	state_of(c)->is_over = true;
	reply_head(c->request, status);
	reply_body(c->request, "application/json", strbuf_slice(b));
}

static void end_result(struct call *c, struct json_out *o)
{
	json_obj_end(o);
	json_obj_end(o);
	send(c, 200, o->b);
}

static void put_text(struct json_out *o, struct slice text)
{
	json_key(o, "content");
	json_arr(o);
	json_obj(o);
	json_kv_cstr(o, "type", "text");
	json_kv_str(o, "text", text);
	json_obj_end(o);
	json_arr_end(o);
}

void mcp_result(struct call *c, struct slice json)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = begin_result(&b, state_of(c));
	put_text(&o, json);
	json_kv_raw(&o, "structuredContent", json);
	json_kv_bool(&o, "isError", false);
	end_result(c, &o);
}

void mcp_failed(struct call *c, const char *code, const char *message)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT, text = STRBUF_INIT;
	struct json_out o = begin_result(&b, state_of(c));
	strbuf_printf(&text, "%s: %s", code, message);
	put_text(&o, strbuf_slice(&text));
	json_kv_bool(&o, "isError", true);
	end_result(c, &o);
}

static void put_data(struct json_out *o, const struct mcp_fault *f)
{
	if (!f->names_versions)
		return;
	json_key(o, "data");
	json_obj(o);
	json_key(o, "supported");
	mcp_put_versions(o);
	json_kv_str(o, "requested", f->requested);
	json_obj_end(o);
}

static void refuse(struct call *c, const struct mcp_fault *f)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	put_id(&o, state_of(c));
	json_key(&o, "error");
	json_obj(&o);
	json_kv_i64(&o, "code", f->code);
	json_kv_cstr(&o, "message", f->message);
	put_data(&o, f);
	json_obj_end(&o);
	json_obj_end(&o);
	send(c, f->status, &b);
}

/* What the rest of the edge refuses is a tool's failure here. */
static void on_error(struct request *r, const struct reply_error *e, const char *message)
{
	struct call *c = r->owner;
	mcp_failed(c, e->code ? e->code : "internal", message);
}

/* ---- for tools */

struct slice mcp_arg(const struct mcp_call *m, const char *name)
{
	return json_str(json_get(m->args, name));
}

int64_t mcp_arg_number(const struct mcp_call *m, const char *name, int64_t otherwise)
{
	json_i64(json_get(m->args, name), &otherwise);
	return otherwise;
}

bool mcp_find_agent(struct call *c, struct mcp_call *m)
{
	struct slice word = mcp_arg(m, "agent");
	return lookup_found(
		c, lookup_agent(c, word.n ? word : default_agent(SLICE_NONE), &m->agent),
		"agent", "there is no such agent");
}

bool mcp_have_answer(struct call *c)
{
	if (c->asking)
		return false;
	if (c->asked)
		reply_err(c->request, c->asked, NULL, NULL, 0);
	return !c->asked;
}

/* ---- methods */

static void initialize(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = begin_result(&b, m);
	json_kv_cstr(&o, "protocolVersion", mcp_version_for(m->rpc.version));
	json_kv_raw(&o, "capabilities", SLICE("{\"tools\":{}}"));
	put_info(&o, "serverInfo");
	end_result(c, &o);
}

static void ping(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = begin_result(&b, m);
	end_result(c, &o);
}

static void put_cache(struct json_out *o)
{
	json_kv_i64(o, "ttlMs", LIST_TTL_MS);
	json_kv_cstr(o, "cacheScope", "private"); /* it depends on the token */
}

static void discover(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	struct json_out o = begin_result(&b, m);
	json_key(&o, "supportedVersions");
	mcp_put_versions(&o);
	json_kv_raw(&o, "capabilities", SLICE("{\"tools\":{}}"));
	put_info(&o, "serverInfo");
	put_cache(&o);
	end_result(c, &o);
}

static void list(struct call *c, struct mcp_call *m)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	if (json_get(m->rpc.params, "cursor")) {
		refuse(c, &(struct mcp_fault){200, RPC_INVALID_PARAMS,
					      "the list has one page: no cursor leads on",
					      false, SLICE_NONE});
		return;
	}
	struct json_out o = begin_result(&b, m);
	json_key(&o, "tools");
	mcp_tools_put(&o, c->caller.scopes);
	if (m->rpc.is_modern)
		put_cache(&o);
	end_result(c, &o);
}

static void call_tool(struct call *c, struct mcp_call *m)
{
	char why[256];
	struct slice name = json_str(json_get(m->rpc.params, "name"));
	m->args = json_get(m->rpc.params, "arguments");
	m->tool = name.p ? mcp_tool_find(name, c->caller.scopes) : NULL;
	if (!m->tool) {
		struct mcp_fault f = {.status = 200, .code = RPC_INVALID_PARAMS};
		snprintf(f.message, sizeof f.message, "unknown tool: %.*s",
			 (int)(name.n < 64 ? name.n : 64), name.p ? name.p : "");
		refuse(c, &f);
		return;
	}
	c->request->on_error = on_error;
	if (mcp_args_check(m->tool, m->args, why, sizeof why))
		m->tool->step(c, m);
	else
		mcp_failed(c, "bad_request", why);
}

static void dispatch(struct call *c, struct mcp_call *m)
{
	static const struct {
		const char *name;
		void (*serve)(struct call *c, struct mcp_call *m);
	} methods[] = {{"initialize", initialize},
		       {"ping", ping},
		       {"server/discover", discover},
		       {"tools/list", list},
		       {"tools/call", call_tool}};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (slice_is(m->rpc.method, methods[i].name)) {
			methods[i].serve(c, m);
			return;
		}
}

/* ---- the request */

static void free_rpc(void *arg)
{
	mcp_rpc_fini(arg);
}

/* This machine, or what the configured origins name. A page that gave a server on its
 * reader's machine a name of its own says its origin, and does not speak its TLS. */
static bool comes_from_here(struct call *c)
{
	const struct http_head *h = &c->request->head;
	const struct cors *allowed = server_cors(c->edge->server);
	struct slice host = http_field(h, "host"), origin = http_field(h, "origin");
	bool any_host = c->request->secure && !origin.p;
	if ((any_host || mcp_host_is_fine(host) || cors_names_host(allowed, host)) &&
	    (mcp_origin_is_fine(origin) || cors_names(allowed, origin)))
		return true;
	refuse(c, &(struct mcp_fault){
			  403, RPC_INVALID_REQUEST,
			  "Host or Origin names a place that is not allowed here: "
			  "TERABITS_CORS_ORIGINS names those that are",
			  false, SLICE_NONE});
	return false;
}

static bool read(struct call *c, struct mcp_call *m)
{
	const struct http_head *h = &c->request->head;
	struct mcp_headers headers = {.version = http_field(h, "mcp-protocol-version"),
				      .method = http_field(h, "mcp-method"),
				      .name = http_field(h, "mcp-name")};
	struct mcp_fault fault;
	bool fine = mcp_rpc_read(strbuf_slice(&c->request->body), SERVER_BODY_MAX,
				 &headers, &m->rpc, &fault);
	arena_cleanup(c->request->arena, free_rpc, &m->rpc);
	strbuf_fini(&c->request->body);
	if (!fine)
		refuse(c, &fault);
	return fine;
}

static void begin(struct call *c)
{
	struct mcp_call *m = arena_zalloc(c->request->arena, sizeof *m);
	c->state = m;
	if (!comes_from_here(c) || !read(c, m))
		return;
	if (!m->rpc.id) {
		reply_head(c->request, 202);
		reply_body(c->request, "application/json", SLICE(""));
	} else if (mcp_method_exists(&m->rpc)) {
		dispatch(c, m);
	} else {
		refuse(c, &(struct mcp_fault){
				  m->rpc.is_modern ? 404 : 200, RPC_METHOD_NOT_FOUND,
				  "there is no such method", false, SLICE_NONE});
	}
}

void mcp_post(struct call *c)
{
	struct mcp_call *m = c->state;
	if (!m)
		begin(c);
	else if (m->tool && !m->is_over)
		m->tool->step(c, m);
}
