/* SPDX-License-Identifier: Apache-2.0
 * The ladder of rules: JSON, JSON-RPC, the era, its envelope, headers. */
#include "edge/mcp/mcp_rpc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/attr.h"

/* The newest first. */
static const char *const versions[] = {MCP_MODERN, "2025-11-25", "2025-06-18",
				       "2025-03-26"};

PRINTF_LIKE(4, 5)
static bool wrong(struct mcp_fault *f, int status, int code, const char *fmt, ...)
{
	va_list ap;
	f->status = status;
	f->code = code;
	va_start(ap, fmt);
	vsnprintf(f->message, sizeof f->message, fmt, ap);
	va_end(ap);
	return false;
}

static bool is_version(struct slice s, bool modern)
{
	for (size_t i = modern ? 0 : 1; i < (modern ? 1 : ARRAY_LEN(versions)); i++)
		if (slice_is(s, versions[i]))
			return true;
	return false;
}

static bool unsupported(struct mcp_fault *f, struct slice version)
{
	f->names_versions = true;
	f->requested = version;
	return wrong(f, 400, RPC_UNSUPPORTED_VERSION,
		     "unsupported protocol version: %.*s",
		     (int)(version.n < 64 ? version.n : 64), version.p);
}

static bool mismatch(struct mcp_fault *f, const char *header, const char *what)
{
	return wrong(f, 400, RPC_HEADER_MISMATCH,
		     "the request's headers and body disagree: %s %s", header, what);
}

/* ---- the envelope of 2026-07-28 */

static json_t meta_of(const struct mcp_rpc *r, const char *name)
{
	char key[80];
	snprintf(key, sizeof key, MCP_META "%s", name);
	return json_get(json_get(r->params, "_meta"), key);
}

static bool check_envelope(const struct mcp_rpc *r, struct mcp_fault *f)
{
	json_t info = meta_of(r, "clientInfo");
	if (json_kind(meta_of(r, "protocolVersion")) != JSON_STRING)
		return wrong(f, 400, RPC_INVALID_PARAMS,
			     "params._meta must have " MCP_META "protocolVersion, a "
			     "string");
	if (json_kind(meta_of(r, "clientCapabilities")) != JSON_OBJECT)
		return wrong(f, 400, RPC_INVALID_PARAMS,
			     "params._meta must have " MCP_META "clientCapabilities, an "
			     "object");
	if (info && (!json_str(json_get(info, "name")).p ||
		     !json_str(json_get(info, "version")).p))
		return wrong(f, 400, RPC_INVALID_PARAMS,
			     MCP_META "clientInfo must have name and version");
	return true;
}

/* A tool's name may come in base64 where it is no plain text; ours all are. */
static bool check_name(const struct mcp_rpc *r, const struct mcp_headers *h,
		       struct mcp_fault *f)
{
	struct slice name = json_str(json_get(r->params, "name"));
	if (!slice_is(r->method, "tools/call") || !name.p)
		return true;
	if (!h->name.p)
		return mismatch(f, "Mcp-Name", "is missing");
	return slice_eq(slice_trim(h->name), name) ||
	       mismatch(f, "Mcp-Name", "names another tool");
}

static bool check_headers(const struct mcp_rpc *r, const struct mcp_headers *h,
			  struct mcp_fault *f)
{
	if (h->version.p && !slice_eq(slice_trim(h->version), r->version))
		return mismatch(f, "MCP-Protocol-Version", "names another version");
	if (h->method.p && !slice_eq(slice_trim(h->method), r->method))
		return mismatch(f, "Mcp-Method", "names another method");
	if (!r->id)
		return true;
	if (!is_version(r->version, true))
		return unsupported(f, r->version);
	if (!h->version.p)
		return mismatch(f, "MCP-Protocol-Version", "is missing");
	if (!h->method.p)
		return mismatch(f, "Mcp-Method", "is missing");
	return check_name(r, h, f);
}

/* ---- eras */

static bool read_modern(struct mcp_rpc *r, const struct mcp_headers *h,
			struct mcp_fault *f)
{
	json_t claim = meta_of(r, "protocolVersion");
	r->is_modern = true;
	r->version = claim ? json_str(claim) : slice_trim(h->version);
	if (r->id && !check_envelope(r, f))
		return false;
	if (claim && !r->version.p)
		return wrong(f, 400, RPC_INVALID_PARAMS,
			     MCP_META "protocolVersion must be a string");
	return check_headers(r, h, f);
}

static bool read_legacy(struct mcp_rpc *r, const struct mcp_headers *h,
			struct mcp_fault *f)
{
	r->version = h->version.p ? slice_trim(h->version) : SLICE("2025-03-26");
	if (slice_is(r->method, "initialize")) {
		r->version = json_str(json_get(r->params, "protocolVersion"));
		return r->version.p || wrong(f, 200, RPC_INVALID_PARAMS,
					     "params.protocolVersion must be a string");
	}
	return is_version(r->version, false) || unsupported(f, r->version);
}

static bool read_era(struct mcp_rpc *r, const struct mcp_headers *h, struct mcp_fault *f)
{
	if (meta_of(r, "protocolVersion"))
		return read_modern(r, h, f);
	if (!is_version(slice_trim(h->version), true))
		return read_legacy(r, h, f);
	if (slice_is(r->method, "initialize"))
		return mismatch(f, "MCP-Protocol-Version",
				"names a version that has no handshake");
	return read_modern(r, h, f);
}

/* ---- JSON-RPC */

static bool is_id(json_t v)
{
	int64_t n;
	return json_kind(v) == JSON_STRING || json_i64(v, &n);
}

static bool read_message(json_t root, struct mcp_rpc *r, struct mcp_fault *f)
{
	json_t id = json_get(root, "id");
	if (json_kind(root) == JSON_ARRAY)
		return wrong(f, 400, RPC_INVALID_REQUEST, "batches are not taken");
	r->id = is_id(id) ? id : NULL;
	r->method = json_str(json_get(root, "method"));
	r->params = json_get(root, "params");
	if (!slice_is(json_str(json_get(root, "jsonrpc")), "2.0"))
		return wrong(f, 400, RPC_INVALID_REQUEST, "jsonrpc must be \"2.0\"");
	if (id && !r->id)
		return wrong(f, 400, RPC_INVALID_REQUEST,
			     "id must be a string or an integer");
	if (r->params && json_kind(r->params) != JSON_OBJECT)
		return wrong(f, 400, RPC_INVALID_REQUEST, "params must be an object");
	if (!r->method.n && !json_get(root, "result") && !json_get(root, "error"))
		return wrong(f, 400, RPC_INVALID_REQUEST, "method must be a string");
	return true;
}

bool mcp_rpc_read(struct slice body, size_t most, const struct mcp_headers *h,
		  struct mcp_rpc *out, struct mcp_fault *fault)
{
	char why[120] = "it is empty";
	*out = (struct mcp_rpc){0};
	*fault = (struct mcp_fault){0};
	out->doc = body.n ? json_parse_unique(body, most, why, sizeof why) : NULL;
	if (!out->doc)
		return wrong(fault, 400, RPC_PARSE_ERROR, "the body is no valid JSON: %s",
			     why);
	if (!read_message(json_root(out->doc), out, fault))
		return false;
	if (!out->method.n) { /* an answer, to a question that was never put */
		out->id = NULL;
		return true;
	}
	return read_era(out, h, fault);
}

void mcp_rpc_fini(struct mcp_rpc *r)
{
	json_free(r->doc);
	r->doc = NULL;
}

bool mcp_method_exists(const struct mcp_rpc *r)
{
	static const char *const legacy[] = {"initialize", "ping", "tools/list",
					     "tools/call"};
	static const char *const modern[] = {"server/discover", "tools/list",
					     "tools/call"};
	const char *const *words = r->is_modern ? modern : legacy;
	size_t n = r->is_modern ? ARRAY_LEN(modern) : ARRAY_LEN(legacy);
	for (size_t i = 0; i < n; i++)
		if (slice_is(r->method, words[i]))
			return true;
	return false;
}

const char *mcp_version_for(struct slice asked)
{
	for (size_t i = 1; i < ARRAY_LEN(versions); i++)
		if (slice_is(asked, versions[i]))
			return versions[i];
	return versions[1];
}

void mcp_put_versions(struct json_out *o)
{
	json_arr(o);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		json_put_cstr(o, versions[i]);
	json_arr_end(o);
}
