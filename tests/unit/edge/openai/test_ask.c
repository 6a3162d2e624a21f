/* SPDX-License-Identifier: Apache-2.0
 * Requests of both APIs: what becomes an order, what becomes history, and that each
 * refusal names the parameter and the rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "common/strbuf.h"
#include "edge/openai/ask.h"

#define RUN "01234567-89ab-7def-8123-456789abcdef"

static struct arena *arena;
static struct ask ask;
static struct ask_fault fault;
static struct strbuf body;
static struct talk_part *parts;
static size_t part_count;
static struct slice content;

static int setup(void **state)
{
	(void)state;
	arena = arena_new(64 << 20);
	return 0;
}

static void let_go(void)
{
	ask_fini(&ask);
	talk_free_parts(parts, part_count);
	strbuf_fini(&body);
	ask = (struct ask){0};
	parts = NULL;
	part_count = 0;
}

static int teardown(void **state)
{
	(void)state;
	let_go();
	arena_free(arena);
	return 0;
}

/* Single quotes stand for double ones. */
static struct slice quoted(const char *text)
{
	strbuf_reset(&body);
	strbuf_add_str(&body, text);
	for (size_t i = 0; i < body.n; i++)
		if (body.p[i] == '\'')
			body.p[i] = '"';
	return strbuf_slice(&body);
}

static bool read_all(bool chat, const char *text, bool stable)
{
	const char *list = chat ? "messages" : "input";
	let_go();
	memset(&fault, 0, sizeof fault);
	bool fine = chat ? ask_read_chat(&ask, arena, quoted(text), stable, &fault)
			 : ask_read_responses(&ask, arena, quoted(text), stable, &fault);
	return fine && ask_compose(&ask, list, &content, &fault) &&
	       ask_history(&ask, list, 0, &parts, &part_count, &fault);
}

static void expect_content(const char *want)
{
	assert_int_equal(content.n, strlen(want));
	for (size_t i = 0; i < content.n; i++)
		assert_int_equal(content.p[i], want[i] == '\'' ? '"' : want[i]);
}

static void expect_history(size_t part, const char *want)
{
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	const char *at = parts[part].body.p, *next;
	static const char when[] = "\"createdAt\":\"1970-01-01T00:00:00.000Z\",";
	while ((next = strstr(at, when))) {
		strbuf_add(&b, at, (size_t)(next - at));
		at = next + sizeof when - 1;
	}
	strbuf_add_str(&b, at);
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] == '"')
			b.p[i] = '\'';
	assert_string_equal(b.p, want);
}

static void chat(const char *text, bool stable)
{
	if (!read_all(true, text, stable))
		fail_msg("refused: %s: %s", fault.param, fault.message);
}

static void responses(const char *text, bool stable)
{
	if (!read_all(false, text, stable))
		fail_msg("refused: %s: %s", fault.param, fault.message);
}

/* ---- chat */

static void test_one_message(void **state)
{
	(void)state;
	chat("{'model':'agent/"
	     "a','messages':[{'role':'user','content':'hi'}],'stream':true,"
	     "'stream_options':{'include_usage':true},'n':1,'seed':7,'logprobs':false,"
	     "'temperature':null,'tools':[]}",
	     false);
	expect_content("{'blocks':[{'type':'text','text':'hi'}]}");
	assert_true(ask.stream && ask.usage && !ask.tools.p && !ask.stable);
	assert_string_equal(ask.model.p, "agent/a");
	assert_int_equal(part_count, 0);
}

static void test_parameters(void **state)
{
	(void)state;
	chat("{'messages':[{'role':'system','content':'be brief'},{'role':'developer',"
	     "'content':[{'type':'text','text':'and "
	     "kind'}]},{'role':'user','content':'x'}],"
	     "'temperature':0.5,'top_p':0.9,'max_completion_tokens':9,'stop':'END',"
	     "'reasoning_effort':'low','response_format':{'type':'json_schema',"
	     "'json_schema':{'name':'n','schema':{'type':'object'}}},'metadata':{'a':'b'}"
	     ","
	     "'tools':[{'type':'function','function':{'name':'add','description':'adds',"
	     "'parameters':{'type':'object'},'strict':true}}],'tool_choice':{'type':"
	     "'function','function':{'name':'add'}}}",
	     false);
	expect_content(
		"{'blocks':[{'type':'text','text':'x'}],'overrides':{'system':'be "
		"brief\\n\\n"
		"and kind','temperature':0.5,'topP':0.9,'maxTokens':9,'stop':['END'],"
		"'reasoningEffort':'low','responseSchema':{'type':'object'},'metadata':{"
		"'a':'b'}},'clientTools':[{'name':'add','description':'adds','parameters'"
		":{"
		"'type':'object'}}],'toolChoice':{'name':'add'}}");
}

static void test_images(void **state)
{
	(void)state;
	chat("{'messages':[{'role':'user','content':[{'type':'text','text':'see'},{'type'"
	     ":"
	     "'image_url','image_url':{'url':'data:image/png;base64,AAAA'}},{'type':"
	     "'image_url','image_url':{'url':'https://x/y.png','detail':'low'}}]}]}",
	     false);
	expect_content(
		"{'blocks':[{'type':'text','text':'see'},{'type':'image','mediaType':"
		"'image/png','data':'AAAA'},{'type':'image','url':"
		"'https://x/y.png'}]}");
}

#define TALK                                                                             \
	"'messages':[{'role':'system','content':'s'},{'role':'user','content':'one'},"   \
	"{'role':'assistant','content':'two'},{'role':'user','content':'three'},"        \
	"{'role':'assistant','content':null,'tool_calls':[{'id':'c1','type':'function'," \
	"'function':{'name':'add','arguments':'{\\'a\\':1}'}},{'id':'c2','type':"        \
	"'function','function':{'name':'sub','arguments':'oops'}}]},"                    \
	"{'role':'tool','tool_call_id':'c1','content':'3'},"                             \
	"{'role':'user','content':'go on'}]"

/* A session that has the rest is told what is new. */
static void test_what_is_new(void **state)
{
	(void)state;
	chat("{" TALK "}", true);
	expect_content("{'blocks':[{'type':'text','text':'go on'}],'toolResults':[{"
		       "'toolCallId':'c1','content':'3'}],'overrides':{'system':'s'}}");
	assert_int_equal(part_count, 0);
	chat("{'user':'u'," TALK "}", false);
	assert_true(ask.stable);
	assert_int_equal(part_count, 0);
}

static void test_history(void **state)
{
	(void)state;
	chat("{" TALK "}", false);
	expect_content("{'blocks':[{'type':'text','text':'go on'}],'toolResults':[{"
		       "'toolCallId':'c1','content':'3'}],'overrides':{'system':'s'}}");
	assert_int_equal(part_count, 1);
	expect_history(
		0,
		"{'messages':[{'seq':1,'role':'user','step':0,'content':{'blocks':[{'"
		"type':"
		"'text','text':'one'}]}},{'seq':2,'role':'assistant','step':0,'content':{"
		"'blocks':[{'type':'text','text':'two'}]}},{'seq':3,'role':'user','step':"
		"0,"
		"'content':{'blocks':[{'type':'text','text':'three'}]}},{'seq':4,'role':"
		"'assistant','step':0,'content':{'blocks':[{'type':'tool_call','callId':"
		"'c1','name':'add','arguments':{'a':1},'clientSide':true},{'type':"
		"'tool_call','callId':'c2','name':'sub','arguments':{'_raw':'oops'},"
		"'clientSide':true}]}}]}");
}

/* Within a history each call has a result. */
static void test_results_that_are_missing(void **state)
{
	(void)state;
	chat("{'messages':[{'role':'assistant','content':'w','tool_calls':[{'id':'c1','"
	     "type':"
	     "'function','function':{'name':'f','arguments':'{}'}},{'id':'c2','type':"
	     "'function','function':{'name':'g','arguments':''}}]},{'role':'tool',"
	     "'tool_call_id':'c2','content':[{'type':'text','text':'r'}]},{'role':"
	     "'assistant','content':'then'},{'role':'user','content':'x'}]}",
	     false);
	expect_history(
		0,
		"{'messages':[{'seq':1,'role':'assistant','step':0,'content':{'blocks':[{"
		"'type':'text','text':'w'},{'type':'tool_call','callId':'c1','name':'f',"
		"'arguments':{},'clientSide':true},{'type':'tool_call','callId':'c2',"
		"'name':'g','arguments':{},'clientSide':true}]}},{'seq':2,'role':'tool',"
		"'step':0,'content':{'blocks':[{'type':'tool_result','callId':'c2','name'"
		":"
		"'g','isError':false,'text':'r'}]}},{'seq':3,'role':'tool','step':0,"
		"'content':{'blocks':[{'type':'tool_result','callId':'c1','name':'f',"
		"'isError':true,'text':'no result was given'}]}},{'seq':4,'role':"
		"'assistant','step':0,'content':{'blocks':[{'type':'text','text':'then'}]"
		"}}"
		"]}");
}

/* A long one goes in parts, each a body of its own. */
static void test_a_long_history(void **state)
{
	(void)state;
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_str(&b, "{'messages':[");
	for (int i = 0; i < 5; i++) {
		strbuf_add_str(&b, "{'role':'user','content':'");
		for (int k = 0; k < 900000; k++)
			strbuf_add_char(&b, 'x');
		strbuf_add_str(&b, "'},");
	}
	strbuf_add_str(&b,
		       "{'role':'assistant','content':'a'},{'role':'user','content':'b'}"
		       "]}");
	chat(b.p, false);
	assert_int_equal(part_count, 3);
	for (size_t i = 0; i < part_count; i++) {
		AUTO(auto_json_free)
		struct json_doc *d =
			json_parse(strbuf_slice(&parts[i].body), 2 << 20, NULL, 0);
		json_t list = json_get(json_root(d), "messages");
		int64_t seq = 0;
		assert_int_equal(json_len(list), 2);
		assert_true(json_i64(json_get(json_at(list, 0), "seq"), &seq));
		assert_int_equal(seq, 1 + 2 * i);
	}
}

/* ---- responses */

static void test_input(void **state)
{
	(void)state;
	responses("{'input':'hi','instructions':'be brief','max_output_tokens':5,'store':"
		  "false,'include':['reasoning.encrypted_content'],'reasoning':{'effort':"
		  "'low'},'text':{'format':{'type':'json_schema','name':'n','schema':{"
		  "'type':'object'}}},'truncation':'auto','background':true}",
		  false);
	expect_content(
		"{'blocks':[{'type':'text','text':'hi'}],'overrides':{'system':'be "
		"brief','maxTokens':5,'reasoningEffort':'low','responseSchema':{"
		"'type':'object'}}}");
	assert_true(ask.background);
}

#define ITEMS                                                                            \
	"'input':[{'role':'user','content':'one'},{'type':'reasoning','id':'rs_1',"      \
	"'summary':[]},{'type':'message','role':'assistant','content':[{'type':"         \
	"'output_text','text':'two'}]},{'type':'function_call','call_id':'c1','name':"   \
	"'add','arguments':'{}'},{'type':'function_call_output','call_id':'c1',"         \
	"'output':'3'}]"

static void test_items(void **state)
{
	(void)state;
	responses("{" ITEMS
		  ",'tools':[{'type':'function','name':'add','parameters':{'type':"
		  "'object'},'strict':false}],'tool_choice':{'type':'function','name':"
		  "'add'}}",
		  false);
	expect_content("{'blocks':[],'toolResults':[{'toolCallId':'c1','content':'3'}],"
		       "'clientTools':[{'name':'add','parameters':{'type':'object'}}],"
		       "'toolChoice':{'name':'add'}}");
	expect_history(
		0,
		"{'messages':[{'seq':1,'role':'user','step':0,'content':{'blocks':[{"
		"'type':'text','text':'one'}]}},{'seq':2,'role':'assistant','step':0,"
		"'content':{'blocks':[{'type':'text','text':'two'},{'type':'tool_call',"
		"'callId':'c1','name':'add','arguments':{},'clientSide':true}]}}]}");
	responses("{'previous_response_id':'resp_" RUN "'," ITEMS "}", false);
	assert_int_equal(part_count, 0);
	assert_false(uuid_is_nil(ask.previous));
}

static void test_results_with_images(void **state)
{
	(void)state;
	responses("{'conversation':{'id':'k'},'input':[{'type':'function_call_output',"
		  "'call_id':'c1','output':[{'type':'input_text','text':'see'},{'type':"
		  "'input_image','image_url':'https://x/y'}]}]}",
		  false);
	expect_content(
		"{'blocks':[],'toolResults':[{'toolCallId':'c1','content':[{'type':"
		"'text','text':'see'},{'type':'image','url':'https://x/y'}]}]}");
	assert_string_equal(ask.conversation.p, "k");
}

/* What a reference names is in the session of its run. */
static void test_references(void **state)
{
	(void)state;
	responses(
		"{'input':[{'role':'user','content':'one'},{'type':'item_reference','id':"
		"'fc_" RUN "_0'},{'type':'function_call_output','call_id':'c1','output':"
		"'3'}]}",
		false);
	assert_true(ask.stable && !uuid_is_nil(ask.previous));
	expect_content("{'blocks':[],'toolResults':[{'toolCallId':'c1','content':'3'}]}");
	assert_int_equal(part_count, 0);
}

/* ---- what is refused */

static const struct {
	bool chat;
	const char *body, *param, *says;
} refused[] = {
	{true, "", "", "no valid JSON"},
	{true, "[]", "", "must be a JSON object"},
	{true, "{}", "messages", "is missing"},
	{true, "{'messages':'x'}", "messages", "must be a list"},
	{true, "{'messages':[]}", "messages[0]", "nothing is new"},
	{true, "{'messages':[{'role':'user','content':''}]}", "messages[0]",
	 "nothing is new"},
	{true,
	 "{'messages':[{'role':'user','content':'a'},{'role':'assistant','content':"
	 "'b'}]}",
	 "messages[1]", "nothing is new"},
	{true, "{'messages':[{'role':'king','content':'a'}]}", "messages[0].role",
	 "must be system"},
	{true, "{'messages':[{'content':'a'}]}", "messages[0].role", "must be system"},
	{true, "{'messages':[7]}", "messages[0].role", "must be system"},
	{true, "{'messages':[{'role':'user','content':7}]}", "messages[0].content",
	 "a string or a list"},
	{true, "{'messages':[{'role':'user','content':[{'type':'input_audio'}]}]}",
	 "messages[0].content[0]", "of type \"input_audio\""},
	{true,
	 "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{"
	 "'url':'http://x'}}]}]}",
	 "messages[0].content[0]", "begin with https://"},
	{true,
	 "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{"
	 "'url':'data:image/png,AA'}}]}]}",
	 "messages[0].content[0]", "base64"},
	{true,
	 "{'messages':[{'role':'user','content':[{'type':'image_url','image_url':{"
	 "'url':'data:image/bmp;base64,AAAA'}}]}]}",
	 "messages[0].content[0]", "image/png"},
	{true, "{'messages':[{'role':'tool','content':'a'}]}", "messages[0].tool_call_id",
	 "which call"},
	{true, "{'messages':[{'role':'tool','tool_call_id':'c','content':'a'}]}",
	 "messages[0]", "tool call c"},
	{true, "{'messages':[{'role':'assistant','tool_calls':[{'id':'c'}]}]}",
	 "messages[0].tool_calls[0]", "must have an id"},
	{true, "{'messages':[{'role':'user','content':'x'}],'n':2}", "n", "one answer"},
	{true, "{'messages':[{'role':'user','content':'x'}],'logprobs':true}", "logprobs",
	 "cannot be done"},
	{true, "{'messages':[{'role':'user','content':'x'}],'audio':{}}", "audio",
	 "answers are text"},
	{true,
	 "{'messages':[{'role':'user','content':'x'}],'modalities':['text','audio']}",
	 "modalities", "answers are text"},
	{true, "{'messages':[{'role':'user','content':'x'}],'presence_penalty':1}",
	 "presence_penalty", "penalties"},
	{true, "{'messages':[{'role':'user','content':'x'}],'wishes':1}", "wishes",
	 "no parameter \"wishes\""},
	{true, "{'messages':[{'role':'user','content':'x'}],'stream':1}", "stream",
	 "true or false"},
	{true, "{'messages':[{'role':'user','content':'x'}],'temperature':3}",
	 "temperature", "temperature must be a number"},
	{true, "{'messages':[{'role':'user','content':'x'}],'top_p':2}", "top_p",
	 "top_p must be a number"},
	{true, "{'messages':[{'role':'user','content':'x'}],'max_tokens':0}",
	 "max_tokens", "max_tokens must be an integer"},
	{true,
	 "{'messages':[{'role':'user','content':'x'}],'max_tokens':1,"
	 "'max_completion_tokens':1}",
	 "max_completion_tokens", "mean the same"},
	{true, "{'messages':[{'role':'user','content':'x'}],'stop':7}", "stop",
	 "stop must be a list"},
	{true,
	 "{'messages':[{'role':'user','content':'x'}],'response_format':{'type':"
	 "'json_object'}}",
	 "response_format", "json_schema"},
	{true,
	 "{'messages':[{'role':'user','content':'x'}],'response_format':{'type':"
	 "'json_schema'}}",
	 "response_format.schema", "must be a JSON schema"},
	{true, "{'messages':[{'role':'user','content':'x'}],'tools':{}}", "tools",
	 "list of at most 128"},
	{true, "{'messages':[{'role':'user','content':'x'}],'tools':[{'type':'custom'}]}",
	 "tools[0]", "of type \"custom\""},
	{true,
	 "{'messages':[{'role':'user','content':'x'}],'tools':[{'type':'function',"
	 "'function':{}}]}",
	 "tools[0]", "must have a name"},
	{true,
	 "{'messages':[{'role':'user','content':'x'}],'tools':[{'type':'function',"
	 "'function':{'name':'read'}}]}",
	 "tools[0].name", "tools[0].name is \"read\", a tool of the runtime's own"},
	{true,
	 "{'messages':[{'role':'user','content':'x'}],'tools':[{'type':'function',"
	 "'function':{'name':'a b'}}]}",
	 "tools[0].name", "letters, digits"},
	{true,
	 "{'messages':[{'role':'user','content':'x'}],'tool_choice':{'type':'function',"
	 "'function':{'name':'nowhere'}}}",
	 "tool_choice", "tool_choice"},
	{true, "{'messages':[{'role':'user','content':'x'}],'tool_choice':'any'}",
	 "tool_choice", "auto, none, required"},
	{true, "{'messages':[{'role':'user','content':'x'}],'user':7}", "user",
	 "must be a string"},
	{false, "{'input':7}", "input", "must be a list"},
	{false, "{'input':''}", "input[0]", "nothing is new"},
	{false, "{'input':'x','previous_response_id':'abc'}", "previous_response_id",
	 "id of a response"},
	{false, "{'input':'x','previous_response_id':'resp_" RUN "','conversation':'c'}",
	 "conversation", "one of them"},
	{false, "{'input':'x','stream':true,'background':true}", "background", "exclude"},
	{false, "{'input':'x','max_tool_calls':3}", "max_tool_calls", "tool policy"},
	{false, "{'input':'x','tools':[{'type':'web_search'}]}", "tools[0]",
	 "of type \"web_search\""},
	{false, "{'input':'x','text':{'verbosity':'low'}}", "text.verbosity",
	 "cannot be done"},
	{false, "{'input':[{'type':'image_generation_call'}]}", "input[0]",
	 "of type \"image_generation_call\""},
	{false, "{'input':[{'type':'item_reference','id':'rs_1'}]}", "input[0].id",
	 "names no item"},
	{false, "{'input':[{'type':'function_call_output','output':'x'}]}", "input[0]",
	 "call_id"},
	{false, "{'input':[{'role':'user','content':[{'type':'input_file'}]}]}",
	 "input[0].content[0]", "of type \"input_file\""},
	{false, "{'input':'x','reasoning':{'effort':'huge'}}", "reasoning.effort",
	 "reasoning.effort must be none"},
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		if (read_all(refused[i].chat, refused[i].body, false))
			fail_msg("taken: %s", refused[i].body);
		if (strcmp(fault.param, refused[i].param) ||
		    !strstr(fault.message, refused[i].says) || fault.status != 400)
			fail_msg("%s: %s: %s", refused[i].body, fault.param,
				 fault.message);
	}
}

static void test_too_much(void **state)
{
	(void)state;
	AUTO(strbuf_fini) struct strbuf b = STRBUF_INIT;
	strbuf_add_str(&b, "{'messages':[{'role':'user','content':'");
	for (int k = 0; k < 3 << 20; k++)
		strbuf_add_char(&b, 'x');
	strbuf_add_str(&b, "'}]}");
	assert_false(read_all(true, b.p, false));
	assert_int_equal(fault.status, 413);
	assert_string_equal(fault.param, "messages");
}

static void test_agents(void **state)
{
	(void)state;
	static const struct {
		const char *model, *agent; /* NULL: the default one */
	} cases[] = {{"default", NULL},         {"agent/default", NULL},
		     {"openclaw", NULL},        {"main", "main"},
		     {"agent/main", "main"},    {"agent:main", "main"},
		     {"openclaw/main", "main"}, {"openclaw:a/b", "a/b"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice agent = ask_agent_of(slice_str(cases[i].model));
		if (cases[i].agent)
			assert_true(slice_is(agent, cases[i].agent));
		else
			assert_null(agent.p);
	}
	assert_null(ask_agent_of(SLICE_NONE).p);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_one_message),    CASE(test_parameters),
		CASE(test_images),         CASE(test_what_is_new),
		CASE(test_history),        CASE(test_results_that_are_missing),
		CASE(test_a_long_history), CASE(test_input),
		CASE(test_items),          CASE(test_results_with_images),
		CASE(test_references),     CASE(test_refusals),
		CASE(test_too_much),       CASE(test_agents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
