/* SPDX-License-Identifier: Apache-2.0
 * Google's Gemini: streamGenerateContent. Calls have no ids; a signature says what a
 * call was thought from. */
#include <inttypes.h>
#include <stdio.h>

#include "common/attr.h"
#include "common/json.h"
#include "tests/fakes/fake_answer.h"
#include "tests/fakes/fake_scan.h"

static bool takes(struct slice path)
{
	return path_ends(path, SLICE(":streamGenerateContent"));
}

static struct slice key(const struct request *q)
{
	return q->header[HTTP_GOOG_KEY];
}

/* ---- the request */

struct reading {
	struct chat *c;
	struct pairs *pairs; /* by names */
	int number;          /* of the content */
	bool was_model;      /* the content before */
	int calls, results;  /* of this content */
};

static bool is_object(struct slice raw)
{
	return raw.n && raw.p[0] == '{';
}

/* What Google tells to put where another model's history has no signature. */
static bool is_dummy(struct slice signature)
{
	signature = scan_inside(signature);
	return scan_is(signature, "context_engineering_is_the_way_to_go") ||
	       scan_is(signature, "skip_thought_signature_validator");
}

static bool signed_well(struct reading *r, struct slice signature, struct slice what)
{
	return is_dummy(signature) || sign_is(signature, what) ||
	       chat_refuse(r->c, "Thought signature is not valid (content %d).",
			   r->number);
}

static bool call_part(struct reading *r, struct slice call, struct slice signature)
{
	struct slice name, args;
	SCAN_OBJECT(call, {"name", &name}, {"args", &args});
	if (!scan_inside(name).n || (args.n && !is_object(args)))
		return chat_refuse(r->c,
				   "contents[%d]: a function_call needs a name, and its "
				   "args are a Struct",
				   r->number);
	if (r->calls++ == 0 && !signature.n)
		return chat_refuse(
			r->c,
			"Function call is missing a thought_signature in "
			"functionCall parts: function call `%.*s`, content %d.",
			SLICE_ARG(scan_inside(name)), r->number);
	if (signature.n && !signed_well(r, signature, scan_inside(name)))
		return false;
	return pairs_add(r->pairs, scan_inside(name)) ||
	       chat_refuse(r->c, "contents[%d]: too many function calls", r->number);
}

static bool result_part(struct reading *r, struct slice result)
{
	struct slice name, response, output, error;
	SCAN_OBJECT(result, {"name", &name}, {"response", &response});
	if (!SCAN_OBJECT(response, {"output", &output}, {"error", &error}))
		return chat_refuse(
			r->c, "contents[%d]: function_response.response is no Struct",
			r->number);
	r->results++;
	r->c->has_tool = true;
	r->c->tool = output.n ? output : error;
	return pairs_result(r->pairs, scan_inside(name)) ||
	       chat_refuse(r->c,
			   "contents[%d]: function response `%.*s` has no function call "
			   "in the turn before",
			   r->number, SLICE_ARG(scan_inside(name)));
}

static bool part_scan(struct reading *r, struct slice part, bool model)
{
	struct slice text, call, result, data, file, signature;
	SCAN_OBJECT(part, {"text", &text}, {"functionCall", &call},
		    {"functionResponse", &result}, {"inlineData", &data},
		    {"fileData", &file}, {"thoughtSignature", &signature});
	if (model && call.n)
		return call_part(r, call, signature);
	if (!model && result.n)
		return result_part(r, result);
	if (signature.n && !signed_well(r, signature, SLICE("text")))
		return false;
	if (!model && text.n) {
		r->c->user = text;
		r->c->has_tool = false;
	}
	return scan_is_string(text) || (!model && (data.n || file.n)) ||
	       chat_refuse(r->c, "contents[%d]: a part has no data of its role",
			   r->number);
}

static bool turns_fit(struct reading *r, bool model)
{
	if (model && r->calls && (r->was_model || !r->number))
		return chat_refuse(r->c, "Please ensure that function call turn comes "
					 "immediately after a user turn or after a "
					 "function response turn.");
	if (!model && r->pairs->open)
		return chat_refuse(r->c,
				   "Please ensure that the number of function response "
				   "parts is equal to the number of function call parts "
				   "of the function call turn (content %d).",
				   r->number);
	r->was_model = model;
	r->c->assistants += model;
	r->number++;
	return true;
}

static bool content_scan(struct reading *r, struct slice content)
{
	struct slice role, parts, part;
	struct scan s;
	int count = 0;
	SCAN_OBJECT(content, {"role", &role}, {"parts", &parts});
	bool model = scan_is(scan_inside(role), "model");
	if (!model && !scan_is(scan_inside(role), "user"))
		return chat_refuse(r->c, "Please use a valid role: user, model.");
	r->calls = r->results = 0;
	if (model && r->pairs->open)
		return turns_fit(r, false);
	s = scan_list(parts);
	for (; scan_element(&s, &part); count++)
		if (!part_scan(r, part, model))
			return false;
	if (!count || s.bad)
		return chat_refuse(r->c, "contents[%d].parts must not be empty",
				   r->number);
	return turns_fit(r, model);
}

static void tools_scan(struct chat *c, struct slice tools)
{
	struct scan s = scan_list(tools), inner;
	struct slice tool, declarations, declaration, name;
	while (scan_element(&s, &tool)) {
		SCAN_OBJECT(tool, {"functionDeclarations", &declarations});
		inner = scan_list(declarations);
		while (scan_element(&inner, &declaration)) {
			SCAN_OBJECT(declaration, {"name", &name});
			if (!is_plain_name(scan_inside(name), 64))
				chat_refuse(c, "a function declaration has an invalid "
					       "function name");
		}
	}
}

static void contents_scan(struct chat *c, struct slice contents)
{
	static struct pairs pairs; /* one request at a time is read */
	struct reading r = {.c = c, .pairs = &pairs};
	struct scan s = scan_list(contents);
	struct slice content;
	pairs.n = pairs.open = 0;
	while (scan_element(&s, &content))
		if (!content_scan(&r, content))
			return;
	if (s.bad || !r.number)
		chat_refuse(c, "contents are not specified");
	else if (r.was_model)
		chat_refuse(c, "Please ensure that single turn requests end with a user "
			       "role or the role field is empty.");
}

/* The model stands in the path: .../models/NAME:streamGenerateContent. */
static struct slice model_of(struct slice path, char *quoted, size_t size)
{
	const char *start = path.p + path.n;
	while (start > path.p && start[-1] != '/')
		start--;
	struct slice rest = slice_of(start, (size_t)(path.p + path.n - start));
	int n = snprintf(quoted, size, "\"%.*s\"", SLICE_ARG(slice_cut(&rest, ':')));
	return n > 2 && (size_t)n < size ? slice_of(quoted, (size_t)n) : SLICE_NONE;
}

static void scan(struct chat *c, const struct request *q)
{
	static char model[MODEL_MAX + 1];
	struct scan all = scan_of(q->body);
	struct slice body, tools, contents;
	if (!scan_value(&all, &body) || !scan_at_end(&all) ||
	    !SCAN_OBJECT(body, {"contents", &contents}, {"tools", &tools})) {
		chat_refuse(c, "Invalid JSON payload received.");
		return;
	}
	c->model = model_of(q->path, model, sizeof model);
	c->stream = slice_find(q->query, SLICE("alt=sse")) >= 0;
	c->include_usage = true;
	tools_scan(c, tools);
	contents_scan(c, contents);
}

/* ---- the answer */

static size_t open_parts(const struct answer *a)
{
	size_t at = event_begin(a->r);
	strbuf_add_str(&a->r->out, "data: {\"candidates\":[{\"content\":{\"parts\":[");
	return at;
}

/* `told`: chunks that this one's usage is to count, of them thoughts. */
static void close_parts(const struct answer *a, size_t at, size_t told, bool last)
{
	size_t thoughts = a->thought.n ? (size_t)a->script->chunks : 0;
	thoughts = thoughts < told ? thoughts : told;
	strbuf_printf(&a->r->out,
		      "],\"role\":\"model\"}%s,\"index\":0}],\"usageMetadata\":{"
		      "\"promptTokenCount\":%zu",
		      last ? ",\"finishReason\":\"STOP\"" : "", a->tokens_in);
	if (told > thoughts)
		strbuf_printf(&a->r->out, ",\"candidatesTokenCount\":%zu",
			      told - thoughts);
	strbuf_printf(&a->r->out, ",\"totalTokenCount\":%zu", a->tokens_in + told);
	if (thoughts)
		strbuf_printf(&a->r->out, ",\"thoughtsTokenCount\":%zu", thoughts);
	strbuf_printf(&a->r->out,
		      "},\"modelVersion\":%.*s,\"responseId\":\"fake%" PRIu64
		      "\"}\r\n\r\n",
		      SLICE_ARG(a->model), a->number);
	event_end(a->r, at);
	if (!last)
		answer_mark(a);
}

static void stream_text(const struct answer *a, struct slice text, const char *more)
{
	for (int i = 0; text.n && i < a->script->chunks; i++) {
		size_t at = open_parts(a);
		strbuf_add_str(&a->r->out, "{\"text\":\"");
		json_escape(&a->r->out, answer_part(text, i, a->script->chunks));
		strbuf_add_str(&a->r->out, more);
		close_parts(a, at, answer_tokens_out(a) + 1, false);
	}
}

static void stream_call(const struct answer *a, int i)
{
	struct strbuf *out = &a->r->out;
	const struct script_tool *tool = &a->script->tools[i];
	size_t at = open_parts(a);
	strbuf_add_str(out, "{\"functionCall\":{\"name\":\"");
	json_escape(out, tool->name);
	strbuf_add_str(out, "\",\"args\":");
	strbuf_add_slice(out, is_object(tool->args) ? tool->args : SLICE("{}"));
	strbuf_add_char(out, '}');
	if (i == 0) {
		strbuf_add_str(out, ",\"thoughtSignature\":\"");
		sign_put(out, tool->name);
		strbuf_add_char(out, '"');
	}
	strbuf_add_char(out, '}');
	close_parts(a, at, answer_tokens_out(a) + 1, false);
}

static void stream(const struct answer *a)
{
	reply_mark(a->r);
	stream_text(a, a->thought, "\",\"thought\":true}");
	stream_text(a, a->text, "\"}");
	for (int i = 0; a->calls && i < a->script->tool_count; i++)
		stream_call(a, i);
	size_t at = open_parts(a);
	strbuf_add_str(&a->r->out, "{\"text\":\"\"");
	if (a->thought.n && !a->calls) {
		strbuf_add_str(&a->r->out, ",\"thoughtSignature\":\"");
		sign_put(&a->r->out, SLICE("text"));
		strbuf_add_char(&a->r->out, '"');
	}
	strbuf_add_char(&a->r->out, '}');
	close_parts(a, at, answer_tokens_out(a), true);
}

static void stream_error(const struct answer *a)
{
	size_t at = event_begin(a->r);
	strbuf_add_str(&a->r->out, "data: {\"error\":{\"code\":503,\"message\":"
				   "\"scripted\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n");
	event_end(a->r, at);
}

/* ---- refusals */

static const char *status_of(int status)
{
	static const struct {
		int status;
		const char *name;
	} known[] = {
		{400, "INVALID_ARGUMENT"},   {401, "UNAUTHENTICATED"},
		{403, "PERMISSION_DENIED"},  {404, "NOT_FOUND"},
		{429, "RESOURCE_EXHAUSTED"}, {503, "UNAVAILABLE"},
		{504, "DEADLINE_EXCEEDED"},
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].status == status)
			return known[i].name;
	return status >= 500 ? "INTERNAL" : "FAILED_PRECONDITION";
}

static void put_details(struct strbuf *body, const struct refusal *f)
{
	static const char google[] = "{\"@type\":\"type.googleapis.com/google.rpc.";
	strbuf_add_str(body, ",\"details\":[");
	if (f->why == REFUSE_KEY)
		strbuf_printf(body, "%sErrorInfo\",\"reason\":\"API_KEY_INVALID\"}",
			      google);
	if (f->status == 429)
		strbuf_printf(body,
			      "%sQuotaFailure\",\"violations\":[{\"quotaId\":"
			      "\"GenerateRequestsPer%sPerProjectPerModel\"}]}",
			      google, f->why == REFUSE_QUOTA ? "Day" : "Minute");
	if (f->status == 429 && f->retry_after.n)
		strbuf_printf(body, ",%sRetryInfo\",\"retryDelay\":\"%.*ss\"}", google,
			      SLICE_ARG(f->retry_after));
	strbuf_add_char(body, ']');
}

static void put_refusal(struct strbuf *body, struct refusal *f)
{
	char text[200];
	const char *message = f->message;
	if (f->why == REFUSE_KEY) {
		f->status = 400;
		message = "API key not valid. Please pass a valid API key.";
	} else if (f->why == REFUSE_WINDOW) {
		f->status = 400;
		snprintf(text, sizeof text,
			 "The input token count (%zu) exceeds the maximum number of "
			 "tokens allowed (%zu).",
			 f->tokens, f->window);
		message = text;
	} else if (f->why == REFUSE_QUOTA) {
		f->status = 429;
		message = "You exceeded your current quota.";
	} else if (f->why == REFUSE_REQUEST) {
		f->status = 400;
	}
	bool listed = f->status >= 500; /* streaming ends put it into a list at times */
	strbuf_printf(body, "%s{\"error\":{\"code\":%d,\"message\":\"", listed ? "[" : "",
		      f->status);
	json_escape(body, slice_str(message));
	strbuf_printf(body, "\",\"status\":\"%s\"", status_of(f->status));
	put_details(body, f);
	strbuf_add_str(body, listed ? "}}]" : "}}");
}

const struct format fake_gemini = {
	.takes = takes,
	.key = key,
	.scan = scan,
	.stream = stream,
	.stream_error = stream_error,
	.put_refusal = put_refusal,
	.request_id = "x-goog-request-id",
};
