/* SPDX-License-Identifier: Apache-2.0
 * The document, path by path; and GET /openapi.json. */
#include "edge/openapi/document.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/json.h"
#include "edge/call.h"
#include "edge/openapi/operations.h"
#include "edge/openapi/schema.h"
#include "edge/reply.h"

#define PATH_MAX_BYTES 256
#define NAME_MAX_BYTES 64

/* ---- paths */

/* What a parameter of a path is called, by the segment before it. */
static const struct {
	const char *before, *name, *text;
} path_params[] = {{"agents", "agent", "an agent's name or id"},
		   {"runs", "run", "a run's id"},
		   {"steps", "step", "a step's number"},
		   {"sessions", "session", "a session's id"},
		   {"snapshots", "version", "a snapshot's version"},
		   {"providers", "provider", "a provider's name"},
		   {"keys", "key", "a key's id"},
		   {"approvals", "approval", "an approval's id"},
		   {"tokens", "token", "a token's id"},
		   {"tenants", "tenant", "a tenant's name or number"},
		   {"responses", "response", "a response's id"},
		   {"models", "model", "an agent's name, or default"},
		   {"ui", "chat", "a chat's id, percent-encoded"}};

static const char session_key[] = "a session's key, percent-encoded";

static void name_param(struct slice before, bool under_agent, const char **name,
		       const char **text)
{
	*name = "id";
	*text = "its id";
	if (under_agent && slice_is(before, "sessions")) {
		*name = "sessionKey";
		*text = session_key;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(path_params); i++) {
		if (slice_is(before, path_params[i].before)) {
			*name = path_params[i].name;
			*text = path_params[i].text;
		}
	}
}

/* Walks a pattern: its text with {names} into `path`, and each parameter to the document
 * when o is there. */
static void walk_path(const char *pattern, char path[PATH_MAX_BYTES], struct json_out *o)
{
	struct slice rest = slice_str(pattern), before = SLICE_NONE;
	bool under_agent = slice_has_prefix(rest, SLICE("/v1/agents/:"));
	size_t n = 0;
	slice_cut(&rest, '/');
	while (rest.p) {
		struct slice segment = slice_cut(&rest, '/');
		const char *name, *text;
		if (!slice_is(segment, ":")) {
			n += (size_t)snprintf(path + n, PATH_MAX_BYTES - n, "/%.*s",
					      SLICE_ARG(segment));
			before = segment;
			continue;
		}
		name_param(before, under_agent, &name, &text);
		n += (size_t)snprintf(path + n, PATH_MAX_BYTES - n, "/{%s}", name);
		if (!o)
			continue;
		json_obj(o);
		json_kv_cstr(o, "name", name);
		json_kv_cstr(o, "in", "path");
		json_kv_bool(o, "required", true);
		json_kv_cstr(o, "description", text);
		json_key(o, "schema");
		schema_put(o, SLICE("string"));
		json_obj_end(o);
	}
}

/* ---- an operation */

/* RUN_POST: runPost */
static void operation_id(const char *route, char out[NAME_MAX_BYTES])
{
	size_t n = 0;
	bool up = false;
	for (const char *p = route; *p && n < NAME_MAX_BYTES - 1; p++) {
		if (*p != '_')
			out[n++] = up ? *p : (char)tolower((unsigned char)*p);
		up = *p == '_';
	}
	out[n] = 0;
}

static void put_params(struct json_out *o, const char *pattern, const char *params)
{
	char path[PATH_MAX_BYTES];
	struct slice rest = slice_str(params), word;
	bool needed;
	json_key(o, "parameters");
	json_arr(o);
	walk_path(pattern, path, o);
	while ((word = operation_param(&rest, &needed)).p) {
		const struct param *p = param_named(word);
		json_obj(o);
		json_kv_cstr(o, "name", p->name);
		json_kv_cstr(o, "in", p->place == PARAM_query ? "query" : "header");
		json_kv_cstr(o, "description", p->text);
		if (needed)
			json_kv_bool(o, "required", true);
		json_key(o, "schema");
		schema_put(o, slice_str(p->type));
		json_obj_end(o);
	}
	json_arr_end(o);
}

static const struct {
	const char *word, *media, *type;
} media[] = {{"events", "text/event-stream", "string"},
	     {"lines", "application/x-ndjson", "string"},
	     {"bytes", "application/octet-stream", NULL},
	     {"object", "application/json", "object"}};

static void put_media(struct json_out *o, struct slice what)
{
	const char *name = "application/json";
	struct slice type = what;
	for (size_t i = 0; i < ARRAY_LEN(media); i++) {
		if (slice_is(what, media[i].word)) {
			name = media[i].media;
			type = media[i].type ? slice_str(media[i].type) : SLICE("any");
		}
	}
	json_key(o, name);
	json_obj(o);
	json_key(o, "schema");
	schema_put(o, type);
	json_obj_end(o);
}

/* Each of what+what has a medium of its own. */
static void put_content(struct json_out *o, struct slice what)
{
	json_key(o, "content");
	json_obj(o);
	while (what.n)
		put_media(o, slice_cut(&what, '+'));
	json_obj_end(o);
}

static void put_answers(struct json_out *o, const char *answers)
{
	struct slice rest = slice_str(answers), word;
	json_key(o, "responses");
	json_obj(o);
	while ((word = operation_word(&rest)).p) {
		char status[4] = "";
		struct slice code = slice_cut(&word, ':');
		memcpy(status, code.p, code.n < 3 ? code.n : 3);
		json_key(o, status);
		json_obj(o);
		json_kv_cstr(o, "description", reply_reason(atoi(status)));
		if (word.p)
			put_content(o, word);
		json_obj_end(o);
	}
	json_key(o, "default");
	json_obj(o);
	json_kv_cstr(o, "description", "why it was refused");
	put_content(o, SLICE("Error"));
	json_obj_end(o);
	json_obj_end(o);
}

/* One of the scopes suffices, and a tenant's admin always does. platform: a token of the
 * platform. */
static void put_scopes(struct json_out *o, unsigned scopes)
{
	if (scopes && scopes != SCOPE_PLATFORM)
		scopes |= SCOPE_ADMIN;
	json_key(o, "security");
	json_arr(o);
	for (unsigned i = 0; scopes && route_scope_word(i); i++) {
		if (!(scopes & 1u << i))
			continue;
		json_obj(o);
		json_key(o, "token");
		json_arr(o);
		json_put_cstr(o, route_scope_word(i));
		json_arr_end(o);
		json_obj_end(o);
	}
	json_arr_end(o);
}

static void put_operation(struct json_out *o, const struct route_row *row,
			  const struct operation *op, const char *method)
{
	char id[NAME_MAX_BYTES];
	operation_id(row->name, id);
	json_key(o, method);
	json_obj(o);
	json_kv_cstr(o, "operationId", id);
	json_kv_cstr(o, "summary", op->summary);
	json_key(o, "tags");
	json_arr(o);
	json_put_cstr(o, op->tag);
	json_arr_end(o);
	put_scopes(o, row->scopes);
	put_params(o, row->pattern, op->params);
	if (*op->body) {
		json_key(o, "requestBody");
		json_obj(o);
		if (schema_is_needed(slice_str(op->body)))
			json_kv_bool(o, "required", true);
		put_content(o, slice_str(op->body));
		json_obj_end(o);
	}
	put_answers(o, op->answers);
	json_obj_end(o);
}

/* ---- the whole */

/* The first route of its pattern brings the others along. */
static void put_path(struct json_out *o, enum route first)
{
	static const struct {
		unsigned method;
		const char *word;
	} words[] = {{METHOD_GET, "get"},
		     {METHOD_POST, "post"},
		     {METHOD_PUT, "put"},
		     {METHOD_PATCH, "patch"},
		     {METHOD_DELETE, "delete"}};
	char path[PATH_MAX_BYTES];
	const char *pattern = route_row(first)->pattern;
	for (enum route r = ROUTE_NONE + 1; r < first; r++)
		if (strcmp(route_row(r)->pattern, pattern) == 0)
			return;
	walk_path(pattern, path, NULL);
	json_key(o, path);
	json_obj(o);
	for (enum route r = first; r < ROUTE__COUNT; r++) {
		const struct route_row *row = route_row(r);
		const struct operation *op = operation_of(r);
		if (strcmp(row->pattern, pattern) != 0 || !op->tag)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (row->methods & words[i].method)
				put_operation(o, row, op, words[i].word);
	}
	json_obj_end(o);
}

static void put_head(struct json_out *o)
{
	json_kv_cstr(o, "openapi", "3.1.0");
	json_key(o, "info");
	json_obj(o);
	json_kv_cstr(o, "title", "Terabits Agent Runtime");
	json_kv_cstr(o, "version", TB_VERSION);
	json_key(o, "license");
	json_obj(o);
	json_kv_cstr(o, "name", "Apache-2.0");
	json_kv_cstr(o, "identifier", "Apache-2.0");
	json_obj_end(o);
	json_obj_end(o);
	json_key(o, "servers");
	json_arr(o);
	json_obj(o);
	json_kv_cstr(o, "url", "/");
	json_obj_end(o);
	json_arr_end(o);
}

static void put_components(struct json_out *o)
{
	json_key(o, "components");
	json_obj(o);
	json_key(o, "securitySchemes");
	json_obj(o);
	json_key(o, "token");
	json_obj(o);
	json_kv_cstr(o, "type", "http");
	json_kv_cstr(o, "scheme", "bearer");
	json_obj_end(o);
	json_obj_end(o);
	json_key(o, "schemas");
	json_obj(o);
	schema_put_all(o);
	json_obj_end(o);
	json_obj_end(o);
}

void openapi_write(struct strbuf *out)
{
	struct json_out o = json_out(out);
	json_obj(&o);
	put_head(&o);
	json_key(&o, "paths");
	json_obj(&o);
	for (enum route r = ROUTE_NONE + 1; r < ROUTE__COUNT; r++)
		put_path(&o, r);
	json_obj_end(&o);
	put_components(&o);
	json_obj_end(&o);
	strbuf_add_char(out, '\n');
}

/* Composed when it is asked for first. */
void openapi(struct call *c)
{
	static struct strbuf document = STRBUF_INIT;
	if (!document.n)
		openapi_write(&document);
	reply_head(c->request, 200);
	reply_body(c->request, "application/json", strbuf_slice(&document));
}
