/* SPDX-License-Identifier: Apache-2.0
 * GET and PUT of /v1/budgets, /v1/agents/{agent}/budget and /v1/prices. A PUT is one
 * budget or price; without a limit or a number it takes it away. */
#include <string.h>

#include "common/attr.h"
#include "common/json.h"
#include "edge/lookup.h"
#include "edge/money.h"
#include "edge/reply.h"

#define BODY_MOST (16u << 10)
#define ID_MOST 256
#define MODEL_MOST 200
#define AMOUNT_MOST 1000000000000000ll
#define PRICE_MOST 1000000000000ll

enum stage { MONEY_START, MONEY_AGENT, MONEY_ASKED };

struct changing {
	struct budget_change budget;
	struct price_change price;
	struct agent_row agent;
	struct money_answer answer;
};

static const char *const limit_names[] = {"tokens", "costMicros", "calls", "seconds"};
static const char *const price_names[] = {"input", "output", "cached", "cacheWrite"};

/* ---- bodies */

/* One text of a body, copied. False: it is no text of 1..most bytes. */
static bool take_text(struct call *c, json_t v, size_t most, struct slice *to)
{
	struct slice s = json_str(v);
	if (!s.n || s.n > most)
		return false;
	*to = arena_slice(c->request->arena, s);
	return true;
}

static bool take_amount(json_t v, int64_t least, int64_t most, int64_t *to)
{
	if (json_kind(v) == JSON_NULL)
		return true;
	return json_i64(v, to) && *to >= least && *to <= most;
}

static int place_of(struct slice name, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (slice_is(name, names[i]))
			return i;
	return -1;
}

static bool is_one_of(struct slice word, const char *a, const char *b, const char *d)
{
	return slice_is(word, a) || slice_is(word, b) || slice_is(word, d);
}

static bool refuse(struct call *c, struct slice name, const char *rule)
{
	struct arena *a = c->request->arena;
	const char *text = arena_strndup(a, name.p, name.n < 63 ? name.n : 63);
	return reply_wrong(c->request, text, arena_printf(a, "%s %s", text, rule));
}

static bool take_budget_member(struct call *c, struct slice name, json_t v, bool of_agent)
{
	struct budget_change *b = &((struct changing *)c->state)->budget;
	int i = place_of(name, limit_names, LIMIT__COUNT);
	if (i >= 0)
		return take_amount(v, 1, AMOUNT_MOST, &b->limit[i]) ||
		       refuse(c, name, "must be a whole number above 0, or null");
	if (slice_is(name, "period"))
		return (take_text(c, v, 16, &b->period) &&
			is_one_of(b->period, "day", "month", "total")) ||
		       refuse(c, name, "must be day, month or total");
	if (!of_agent && slice_is(name, "scope"))
		return (take_text(c, v, 16, &b->scope) &&
			is_one_of(b->scope, "tenant", "agent", "user")) ||
		       refuse(c, name, "must be tenant, agent or user");
	if (!of_agent && slice_is(name, "id"))
		return take_text(c, v, ID_MOST, &b->id) ||
		       refuse(c, name, "must be an agent's id, or a user");
	return refuse(c, name, "is no member of a budget");
}

static bool is_whole_budget(struct call *c, struct budget_change *b, bool of_agent)
{
	struct uuid id;
	char text[UUID_TEXT_LEN + 1];
	if (!b->period.p)
		return reply_wrong(c->request, "period",
				   "period must be day, month or total");
	if (of_agent)
		return true;
	if (!b->scope.p)
		return reply_wrong(c->request, "scope",
				   "scope must be tenant, agent or user");
	if (slice_is(b->scope, "tenant")) {
		if (b->id.p)
			return reply_wrong(c->request, "id",
					   "a tenant's budget has no id");
		b->id = SLICE("");
		return true;
	}
	if (!b->id.p)
		return reply_wrong(c->request, "id",
				   "id must be an agent's id, or a user");
	if (slice_is(b->scope, "user"))
		return true;
	if (!uuid_parse(b->id, &id))
		return reply_wrong(c->request, "id", "id must be an agent's id");
	uuid_format(id, text); /* as the database writes it */
	b->id = arena_slice(c->request->arena, slice_str(text));
	return true;
}

static bool take_price_member(struct call *c, struct slice name, json_t v, bool unused)
{
	struct price_change *p = &((struct changing *)c->state)->price;
	int i = place_of(name, price_names, PRICE__COUNT);
	(void)unused;
	if (i >= 0)
		return take_amount(v, 0, PRICE_MOST, &p->micros[i]) ||
		       refuse(c, name,
			      "must be a whole number of micros per million tokens");
	if (slice_is(name, "provider"))
		return take_text(c, v, 40, &p->provider) ||
		       refuse(c, name, "must be a provider's name, like openai");
	if (slice_is(name, "model"))
		return take_text(c, v, MODEL_MOST, &p->model) ||
		       refuse(c, name, "must be a model's name; it may end in *");
	return refuse(c, name, "is no member of a price");
}

static bool is_word(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_-", s.p[i]))
			return false;
	return s.n > 0;
}

static bool is_whole_price(struct call *c, const struct price_change *p)
{
	const char *star = p->model.p ? memchr(p->model.p, '*', p->model.n) : NULL;
	const int64_t *m = p->micros;
	if (!is_word(p->provider))
		return reply_wrong(c->request, "provider",
				   "provider must be a provider's name, like openai");
	if (!p->model.n || (star && star != p->model.p + p->model.n - 1))
		return reply_wrong(c->request, "model",
				   "model must be a model's name; it may end in *");
	if ((m[PRICE_IS_IN] < 0) != (m[PRICE_IS_OUT] < 0) ||
	    (m[PRICE_IS_IN] < 0 && (m[PRICE_IS_CACHED] >= 0 || m[PRICE_IS_WRITE] >= 0)))
		return reply_wrong(c->request, "input",
				   "a price has input and output; without both it is "
				   "taken away");
	return true;
}

typedef bool take_member(struct call *c, struct slice name, json_t v, bool of_agent);

static bool read_body(struct call *c, take_member *take, bool of_agent)
{
	char err[160];
	struct slice name;
	AUTO(auto_json_free)
	struct json_doc *d = json_parse_unique(strbuf_slice(&c->request->body), BODY_MOST,
					       err, sizeof err);
	if (json_kind(json_root(d)) != JSON_OBJECT)
		return reply_wrong(c->request, NULL,
				   d ? "the body must be a JSON object" : err);
	struct json_iter it = json_iter(json_root(d));
	for (json_t v; (v = json_next(&it, &name));)
		if (!take(c, name, v, of_agent))
			return false;
	return true;
}

/* ---- the calls */

static bool is_put(const struct call *c)
{
	return c->request->head.method == METHOD_PUT;
}

static struct changing *begin(struct call *c)
{
	struct changing *x = arena_zalloc(c->request->arena, sizeof *x);
	for (int i = 0; i < PRICE__COUNT; i++)
		x->price.micros[i] = -1;
	c->state = x;
	return x;
}

static void send_budget(struct call *c, struct changing *x)
{
	c->stage = MONEY_ASKED;
	if (is_put(c))
		money_set_budget(c, &x->budget, &x->answer);
	else
		money_budgets(c, x->budget.scope, x->budget.id, &x->answer);
}

void budgets(struct call *c)
{
	struct changing *x = c->state ? c->state : begin(c);
	if (c->asking)
		return;
	if (c->stage == MONEY_ASKED)
		money_reply(c, &x->answer, "budgets", "such budget, or agent");
	else if (!is_put(c) || (change_read(c, &x->answer.change) &&
				read_body(c, take_budget_member, false) &&
				is_whole_budget(c, &x->budget, false)))
		send_budget(c, x);
}

static void name_agent(struct call *c, struct changing *x)
{
	char text[UUID_TEXT_LEN + 1];
	if (!lookup_agent_of_path(c, &x->agent))
		return;
	uuid_format(x->agent.id, text);
	x->budget.scope = SLICE("agent");
	x->budget.id = arena_slice(c->request->arena, slice_str(text));
	send_budget(c, x);
}

void agent_budget(struct call *c)
{
	struct changing *x = c->state ? c->state : begin(c);
	if (c->asking)
		return;
	if (c->stage == MONEY_ASKED) {
		money_reply(c, &x->answer, "budgets", "such budget");
		return;
	}
	if (c->stage == MONEY_START && is_put(c) &&
	    (!change_read(c, &x->answer.change) ||
	     !read_body(c, take_budget_member, true) ||
	     !is_whole_budget(c, &x->budget, true)))
		return;
	c->stage = MONEY_AGENT;
	name_agent(c, x);
}

void prices(struct call *c)
{
	struct changing *x = c->state ? c->state : begin(c);
	if (c->asking)
		return;
	if (c->stage == MONEY_ASKED) {
		money_reply(c, &x->answer, "prices", "such price of the tenant's");
		return;
	}
	if (is_put(c) &&
	    (!change_read(c, &x->answer.change) ||
	     !read_body(c, take_price_member, false) || !is_whole_price(c, &x->price)))
		return;
	c->stage = MONEY_ASKED;
	if (is_put(c))
		money_set_price(c, &x->price, &x->answer);
	else
		money_prices(c, &x->answer);
}
