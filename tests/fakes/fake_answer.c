/* SPDX-License-Identifier: Apache-2.0
 * The script's answer: what it says, where it rests, how it ends. The words on the wire
 * are the formats'. */
#include "tests/fakes/fake_answer.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/attr.h"
#include "common/clock.h"
#include "tests/fakes/fake_scan.h"

#define KEEP_BYTES (64u << 10)
#define DONE_MAX 200
#define CHUNK_HEAD 10 /* eight hex digits and CRLF */

static const char not_json[] = "{\"this is\": not JSON";
static uint64_t answers;

bool path_ends(struct slice path, struct slice suffix)
{
	return path.n >= suffix.n &&
	       memcmp(path.p + path.n - suffix.n, suffix.p, suffix.n) == 0;
}

struct slice bearer_key(const struct request *q)
{
	struct slice value = q->header[HTTP_AUTHORIZATION], bearer = SLICE("Bearer ");
	if (!slice_has_prefix(value, bearer))
		return SLICE("");
	return slice_of(value.p + bearer.n, value.n - bearer.n);
}

/* ---- texts */

struct slice answer_part(struct slice text, int i, int k)
{
	size_t from = text.n * (size_t)i / (size_t)k;
	size_t to = text.n * ((size_t)i + 1) / (size_t)k;
	while (from < text.n && (text.p[from] & 0xc0) == 0x80)
		from++;
	while (to < text.n && (text.p[to] & 0xc0) == 0x80)
		to++;
	return slice_of(text.p + from, to - from);
}

size_t answer_tokens_out(const struct answer *a)
{
	return a->chat->stream ? a->r->mark_count - 1 : (size_t)a->script->chunks;
}

static void generate(struct strbuf *out, size_t n, const char *words)
{
	size_t length = strlen(words);
	strbuf_reserve(out, n);
	for (size_t left = n; left;) {
		size_t k = left < length ? left : length;
		strbuf_add(out, words, k);
		left -= k;
	}
	if (n)
		out->p[out->n - 1] = '.';
}

static void put_done(struct strbuf *out, struct slice tool)
{
	strbuf_add_str(out, "done: ");
	size_t from = out->n, n;
	scan_text(tool, out);
	n = out->n - from;
	if (n <= DONE_MAX)
		return;
	for (n = DONE_MAX; n && (out->p[from + n] & 0xc0) == 0x80;)
		n--;
	out->n = from + n;
}

static void compose(struct strbuf *out, const struct chat *c, const struct script *s,
		    bool calls)
{
	static const char words[] =
		"all work and no play makes a model repeat its words ";
	if (calls) {
		generate(out, (size_t)s->say, "let us see what the tools have to say ");
	} else if (s->clock) {
		for (int i = 0; i < s->chunks; i++)
			strbuf_add_str(out, REPLY_STAMP " ");
	} else if (s->plain) {
		strbuf_add_slice(out, s->payload);
	} else if (s->tool_count) {
		put_done(out, c->tool);
	} else if (s->size >= 0) {
		generate(out, (size_t)s->size, words);
	} else {
		strbuf_add_str(out, "echo: ");
		strbuf_add_slice(out, s->payload);
	}
}

/* ---- pieces of the stream */

size_t event_begin(struct reply *r)
{
	size_t at = r->out.n;
	strbuf_add_str(&r->out, "00000000\r\n");
	return at;
}

void event_end(struct reply *r, size_t at)
{
	size_t n = r->out.n - at - CHUNK_HEAD;
	for (size_t i = 8; i-- > 0; n >>= 4)
		r->out.p[at + i] = "0123456789abcdef"[n & 15];
	strbuf_add_str(&r->out, "\r\n");
}

void answer_mark(const struct answer *a)
{
	if (a->script->garbage && a->r->mark_count == 1) {
		size_t at = event_begin(a->r);
		strbuf_printf(&a->r->out, "data: %s\n\n", not_json);
		event_end(a->r, at);
	}
	reply_mark(a->r);
}

/* ---- how it ends */

/* Where the k-th chunk ends, or the last one. */
static size_t place(const struct answer *a, long k)
{
	const struct reply *r = a->r;
	size_t last = r->mark_count - 1;
	if (a->chat->stream)
		return r->marks[(size_t)k < last ? (size_t)k : last];
	return (r->marks[0] + r->out.n) / 2;
}

static void finish(const struct answer *a, size_t head_n)
{
	const struct script *s = a->script;
	struct reply *r = a->r;
	if (s->hang || s->half_head) {
		r->hang = s->hang;
		r->close = s->half_head;
		r->out.n = s->half_head ? head_n / 2 : head_n;
		r->mark_count = 0;
		return;
	}
	if (s->ending == ENDS_WELL) {
		r->told_in = a->tokens_in;
		r->told_out = answer_tokens_out(a);
		r->mark_count--; /* the last chunk and the end go together */
		return;
	}
	/* What follows the chunk is forgotten, the end of the body with it. */
	r->out.n = place(a, s->after);
	r->hang = s->ending == ENDS_STALLED;
	r->reset = s->ending == ENDS_RESET;
	r->close = !r->hang && s->ending != ENDS_IN_ERROR;
	if (s->ending != ENDS_IN_ERROR)
		return;
	if (a->chat->stream) {
		a->format->stream_error(a);
		strbuf_add_str(&r->out, "0\r\n\r\n");
	} else {
		r->close = true;
	}
}

static void put_request_id(struct reply *r, const struct format *f)
{
	strbuf_printf(&r->out, "%s: req_%" PRIu64 "\r\n", f->request_id, answers);
}

static void write_stream(const struct answer *a)
{
	struct reply *r = a->r;
	reply_head(r, 200, "text/event-stream");
	put_request_id(r, a->format);
	strbuf_add_str(&r->out, "Transfer-Encoding: chunked\r\n\r\n");
	size_t head_n = r->out.n;
	a->format->stream(a);
	strbuf_add_str(&r->out, "0\r\n\r\n");
	finish(a, head_n);
}

static void write_whole(const struct answer *a)
{
	struct strbuf body = STRBUF_INIT;
	a->format->whole(a, &body);
	reply_json(a->r, 200, a->script->garbage ? SLICE(not_json) : strbuf_slice(&body));
	size_t head_n = a->r->marks[0];
	reply_mark(a->r);
	finish(a, head_n);
	strbuf_fini(&body);
}

/* ---- refusals */

void answer_refuse(struct reply *r, const struct format *f, struct refusal refusal)
{
	struct strbuf body = STRBUF_INIT;
	f->put_refusal(&body, &refusal);
	reply_head(r, refusal.status, "application/json");
	put_request_id(r, f);
	if (refusal.retry_after.n && f->has_retry_after)
		strbuf_printf(&r->out, "Retry-After: %.*s\r\n",
			      SLICE_ARG(refusal.retry_after));
	reply_body(r, strbuf_slice(&body));
	strbuf_fini(&body);
}

/* Whether the script or the request's own size has it refused. */
static bool is_refused(struct reply *r, const struct format *f, const struct chat *c,
		       const struct script *s)
{
	size_t tokens = c->body.n / 4;
	struct refusal refusal = {.status = s->status,
				  .message = "scripted",
				  .retry_after = s->retry_after,
				  .tokens = tokens,
				  .window = (size_t)s->window};
	if (s->quota)
		refusal.why = REFUSE_QUOTA;
	else if (s->window >= 0 && tokens > (size_t)s->window)
		refusal.why = REFUSE_WINDOW;
	else if (!s->status)
		return false;
	answer_refuse(r, f, refusal);
	return true;
}

/* ---- all of it */

const struct format *format_of(struct slice path)
{
	static const struct format *const all[] = {&fake_openai, &fake_anthropic,
						   &fake_gemini, &fake_responses};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i]->takes(path))
			return all[i];
	return NULL;
}

/* The script, of which nothing goes wrong yet. */
static const struct script *without_faults(const struct script *s)
{
	static struct script well;
	well = *s;
	well.status = 0;
	well.ending = ENDS_WELL;
	well.quota = well.garbage = well.hang = well.half_head = false;
	return &well;
}

void answer_write(struct reply *r, const struct format *f, const struct chat *c,
		  const struct script *s)
{
	if (s->late && s->tool_count && !c->has_tool)
		s = without_faults(s);
	static struct strbuf text, thought; /* one answer at a time is composed */
	struct answer a = {.r = r, .format = f, .chat = c, .script = s};
	answers++;
	r->delay_ms = s->delay_ms;
	r->drip_ms = s->drip_ms;
	if (is_refused(r, f, c, s))
		return;
	if (!c->stream && !f->whole) {
		answer_refuse(r, f,
			      (struct refusal){.why = REFUSE_REQUEST,
					       .message = "this one only streams"});
		return;
	}
	r->pause_ms = c->stream ? s->pause_ms : 0;
	r->clock = s->clock;
	a.calls = s->tool_count && (s->loops || !c->has_tool);
	a.model = c->model.p && c->model.n <= MODEL_MAX ? c->model : SLICE("\"fake\"");
	a.created = clock_real_us() / 1000000;
	a.number = answers;
	a.tokens_in = c->body.n / 4;
	compose(&text, c, s, a.calls);
	generate(&thought, (size_t)s->think, "there is much to think about here ");
	a.text = strbuf_slice(&text);
	a.thought = strbuf_slice(&thought);
	if (c->stream)
		write_stream(&a);
	else
		write_whole(&a);
	strbuf_reset(&text);
	strbuf_shrink(&text, KEEP_BYTES);
	strbuf_reset(&thought);
}
