/* SPDX-License-Identifier: Apache-2.0
 * bench_request [N]: what it takes to make the request of a session of 200 messages
 * (user, call, result, answer in turn; results of 2,000 characters) with all tools and a
 * system prompt of 4,000 characters: measure, plan, the messages in their forms, the
 * provider's JSON. One JSON object: per provider `bytes` of the request and p50 and p95
 * in microseconds of N (300) each of first: nothing of the session was read or written
 * for that provider yet (a session that this worker did not have, or had for another
 * provider) next:  an answer and a message later than the last one, as all later
 * questions are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/die.h"
#include "common/json.h"
#include "common/strbuf.h"
#include "worker/context.h"
#include "worker/run.h"
#include "worker/tools/registry.h"

#define MESSAGES 200
#define ROUNDS_MOST 10000
#define WINDOW 1000000

static const char *const providers[] = {"openai", "openai-responses", "anthropic",
					"gemini"};
static struct worker worker;
static struct run run;

/* Words of different lengths, quotes and line ends among them, as texts have. */
static void put_words(struct json_out *o, const char *key, size_t bytes, unsigned seed)
{
	static const char *const words[] = {"the ",   "lane ",     "\"quoted\" ", "of\n",
					    "model ", "answers, ", "path/to/it ", "42 "};
	struct strbuf b = STRBUF_INIT;
	while (b.n < bytes)
		strbuf_add_str(&b, words[(seed = seed * 1103515245 + 12345) >> 16 & 7]);
	json_kv_str(o, key, strbuf_slice(&b));
	strbuf_fini(&b);
}

static void put_block(struct json_out *o, unsigned i)
{
	char id[32];
	snprintf(id, sizeof id, "call_%u", i / 4);
	json_obj(o);
	if (i % 4 == 1) {
		json_kv_str(o, "type", SLICE("tool_call"));
		json_kv_str(o, "callId", slice_str(id));
		json_kv_str(o, "name", SLICE("read"));
		json_key(o, "arguments");
		json_obj(o);
		put_words(o, "path", 40, i);
		json_obj_end(o);
	} else if (i % 4 == 2) {
		json_kv_str(o, "type", SLICE("tool_result"));
		json_kv_str(o, "callId", slice_str(id));
		json_kv_str(o, "name", SLICE("read"));
		json_kv_bool(o, "isError", false);
		put_words(o, "text", 2000, i);
	} else {
		json_kv_str(o, "type", SLICE("text"));
		put_words(o, "text", i % 4 ? 600 : 200, i);
	}
	json_obj_end(o);
}

static void add_message(struct session *s)
{
	static const char *const roles[] = {"user", "assistant", "tool", "assistant"};
	unsigned i = (unsigned)s->count;
	struct strbuf b = STRBUF_INIT;
	struct json_out o = json_out(&b);
	json_obj(&o);
	json_key(&o, "blocks");
	json_arr(&o);
	put_block(&o, i);
	json_arr_end(&o);
	json_obj_end(&o);
	session_add(s, (int64_t)i + 1, slice_str(roles[i % 4]), 0, (struct uuid){{0}},
		    strbuf_slice(&b));
	strbuf_fini(&b);
}

static struct session *new_session(void)
{
	struct session *s = session_take(worker.sessions, 1, uuid7_new());
	for (int i = 0; i < MESSAGES; i++)
		add_message(s);
	s->head_seq = MESSAGES;
	return s;
}

/* As step_ask does. */
static double make(const struct llm_provider *p, struct strbuf *body)
{
	int64_t began = clock_mono_us();
	struct llm_question q = {.model = run.model};
	arena_reset(run.arena);
	const struct llm_tool **tools =
		arena_alloc(run.arena, tool_count() * sizeof *tools);
	for (size_t i = 0; i < tool_count(); i++)
		tools[q.tool_count++] = agent_tool(run.agent, i);
	q.tools = tools;
	q.system = context_system(&run);
	q.params = asking_params(&run);
	context_measure(&run, &q);
	context_fill(&run, &q, 0, 0);
	strbuf_reset(body);
	p->write_request(body, &q);
	return (double)(clock_mono_us() - began);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print_times(const char *name, double *us, size_t n)
{
	qsort(us, n, sizeof *us, by_size);
	printf(",\"%s\":{\"p50_us\":%.0f,\"p95_us\":%.0f}", name, us[n / 2],
	       us[n * 95 / 100]);
}

static void measure(const char *name, size_t rounds)
{
	static double first[ROUNDS_MOST], next[ROUNDS_MOST];
	AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
	char full[80];
	snprintf(full, sizeof full, "%s/m", name);
	const struct llm_provider *p = llm_provider_of(slice_str(full), &run.model);
	if (!p)
		fatal("no provider is called %s", name);
	for (size_t i = 0; i < rounds; i++) {
		run.session = new_session();
		first[i] = make(p, &body);
		add_message(run.session);
		add_message(run.session);
		next[i] = make(p, &body);
		session_clear(run.session);
		session_give_back(run.session);
	}
	printf("%s\"%s\":{\"bytes\":%zu", name == providers[0] ? "" : ",", name, body.n);
	print_times("first", first, rounds);
	print_times("next", next, rounds);
	printf("}");
}

static void start(void)
{
	AUTO(strbuf_fini) struct strbuf config = STRBUF_INIT;
	struct json_out o = json_out(&config);
	json_obj(&o);
	put_words(&o, "systemPrompt", 4000, 7);
	json_kv_i64(&o, "contextWindow", WINDOW);
	json_obj_end(&o);
	worker.sessions = sessions_new(64u << 20);
	worker.agents = agents_new();
	run.worker = &worker;
	run.tenant = 1;
	run.arena = arena_new(RUN_ARENA_BYTES);
	run.agent = agent_put(worker.agents, 1, run.agent_id, 1, strbuf_slice(&config));
	if (run.agent->problem)
		fatal("the agent: %s", run.agent->problem);
}

int main(int argc, char **argv)
{
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 300;
	if (rounds < 1 || rounds > ROUNDS_MOST)
		fatal("1 to %d rounds", ROUNDS_MOST);
	start();
	printf("{");
	for (size_t i = 0; i < ARRAY_LEN(providers); i++)
		measure(providers[i], rounds);
	printf("}\n");
	return 0;
}
