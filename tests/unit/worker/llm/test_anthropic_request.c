/* SPDX-License-Identifier: Apache-2.0
 * The request text of Anthropic's messages, to the byte. */
#include "tests/unit/worker/llm/talk.h"

#define HEAD "{'model':'m1','stream':true,'max_tokens':8192,"
#define MARK "'cache_control':{'type':'ephemeral'}"
#define OWN(json) "'provider':'anthropic','opaque':" json

static void test_text(void **state)
{
	(void)state;
	talk.q.system = SLICE("be\nkind");
	say_text(LLM_USER, "h\\u00e9");
	say_text(LLM_ASSISTANT, "yes");
	say_text(LLM_USER, "more");
	expect_request(HEAD "'system':[{'type':'text','text':'be\\nkind'," MARK "}],"
			    "'messages':[{'role':'user','content':[{'type':'text',"
			    "'text':'h\xC3\xA9'}]},{'role':'assistant','content':[{"
			    "'type':'text','text':'yes'}]},{'role':'user','content':[{"
			    "'type':'text','text':'more'," MARK "}]}]}");
}

static void test_tools(void **state)
{
	(void)state;
	static const struct llm_tool t1 = {"f", "does f", "{\"type\":\"object\"}"},
				     t2 = {"g", "does g", "{\"type\":\"object\"}"};
	const struct llm_tool *tools[] = {&t1, &t2};
	talk.q.tools = tools;
	talk.q.tool_count = 2;
	expect_request(HEAD "'tools':[{'name':'f','description':'does f','input_schema':{"
			    "'type':'object'}},{'name':'g','description':'does g',"
			    "'input_schema':{'type':'object'}," MARK "}],'messages':[]}");
}

/* Those of a client may have no description; which one is to be called. */
static void test_choices(void **state)
{
	(void)state;
	static const struct llm_tool t1 = {"f", NULL, "{\"type\":\"object\"}"};
	static const struct {
		struct llm_choice choice;
		const char *want;
	} cases[] = {
		{{.kind = LLM_CHOICE_FREE},
		 HEAD "'tools':[{'name':'f','input_schema':{'type':'object'}," MARK "}],"
		      ""
		      "'messages':[]}"},
		{{.kind = LLM_CHOICE_NONE},
		 HEAD "'tools':[{'name':'f','input_schema':{'type':'object'}," MARK "}],"
		      "'tool_choice':{'type':'none'},"
		      "'messages':[]}"},
		{{.kind = LLM_CHOICE_REQUIRED},
		 HEAD "'tools':[{'name':'f','input_schema':{'type':'object'}," MARK "}],"
		      "'tool_choice':{'type':'any'},"
		      "'messages':[]}"},
		{{LLM_CHOICE_NAMED, {"f", 1}},
		 HEAD "'tools':[{'name':'f','input_schema':{'type':'object'}," MARK "}],"
		      "'tool_choice':{'type':'tool','name':'f'},"
		      "'messages':[]}"},
	};
	const struct llm_tool *tools[] = {&t1};
	talk.q.tools = tools;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		talk.q.tool_count = 1;
		talk.q.choice = cases[i].choice;
		expect_request(cases[i].want);
	}
	talk.q.tool_count = 0; /* none to choose of */
	expect_request(HEAD "'messages':[]}");
}

/* Parallel calls, their results in two stored messages, and what the user said meanwhile:
 * one message, results first. */
static void test_results(void **state)
{
	(void)state;
	say_text(LLM_SUMMARY, "before");
	say_text(LLM_USER, "go");
	say(LLM_ASSISTANT,
	    "[{'type':'text','text':'look'},"
	    "{'type':'tool_call','callId':'c1','name':'f',"
	    "'arguments':{'x':[1,{'y':null}]}},"
	    "{'type':'tool_call','callId':'c2','name':'g','arguments':{}}]");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'c1','text':'one'}]");
	say_text(LLM_USER, "wait");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'c2','isError':true,'text':''}]");
	expect_request(
		HEAD
		"'messages':[{'role':'user','content':[{'type':'text','text':'before'},{"
		"'type':'text','text':'go'}]},{'role':'assistant','content':[{'type':"
		"'text','text':'look'},{'type':'tool_use','id':'c1','name':'f','input':{"
		"'x':[1,{'y':null}]}},{'type':'tool_use','id':'c2','name':'g','input':{}}"
		"]},{'role':'user','content':[{'type':'tool_result','tool_use_id':'c1',"
		"'content':'one'},{'type':'tool_result','tool_use_id':'c2','is_error':"
		"true," MARK "},{'type':'text','text':'wait'}]}]}");
}

/* The mark moves on, all before it stays as it was. */
static void test_what_was_sent_is_sent_again(void **state)
{
	(void)state;
	talk.q.system = SLICE("s");
	say_text(LLM_USER, "one");
	size_t first = strlen(request());
	char *was = strdup(talk.out.p);
	say_text(LLM_ASSISTANT, "two");
	say_text(LLM_USER, "three");
	size_t same = 0;
	while (request()[same] == was[same])
		same++;
	/* up to the mark itself and the brackets behind it */
	assert_true(same + strlen(json("," MARK "}]}]}")) >= first);
	free(was);
}

static void test_thoughts(void **state)
{
	(void)state;
	say_text(LLM_USER, "go");
	say(LLM_ASSISTANT,
	    "[{'type':'reasoning','text':'first\\nline'," OWN(
		    "{'signature':'Eq+/=='}") "},"
					      "{'type':'reasoning','text':''," OWN(
						      "{'data':'Er+/=='}") "},"
									   "{'type':'"
									   "reasoning','"
									   "text':'hm','"
									   "provider':'"
									   "gemini','"
									   "opaque':{"
									   "'signature':'"
									   "no'}},"
									   "{'type':'"
									   "reasoning','"
									   "text':'"
									   "unsigned'},"
									   "{'type':'"
									   "text','text':"
									   "'yes','"
									   "provider':'"
									   "gemini','"
									   "opaque':['no'"
									   "]},"
									   "{'type':'"
									   "tool_call','"
									   "callId':'c','"
									   "name':'f','"
									   "arguments':{}"
									   ","
									   "'provider':'"
									   "gemini','"
									   "opaque':{'"
									   "thoughtSignat"
									   "ure':'no'}}"
									   "]");
	expect_has("{'role':'assistant','content':[{'type':'thinking','thinking':"
		   "'first\\nline','signature':'Eq+/=='},{'type':'redacted_thinking',"
		   "'data':'Er+/=='},{'type':'text','text':'yes'},{'type':'tool_use',"
		   "'id':'c','name':'f','input':{}}]}");
	expect_lacks("no");
	expect_lacks("hm");
	expect_lacks("unsigned");
}

/* An answer that was cut behind a thought. */
static void test_a_thought_alone(void **state)
{
	(void)state;
	say(LLM_ASSISTANT,
	    "[{'type':'text','text':'so'},{'type':'reasoning','text':'t'," OWN(
		    "{'signature':'S'}") "},{'type':'text','text':' '}]");
	expect_has("'content':[{'type':'text','text':'so'}]");
}

/* Images that tools returned. What is only named by a URL is not shown: nobody fetches
 * anything for a tool. */
static void test_images_of_tools(void **state)
{
	(void)state;
	say_images_of_tools();
	expect_has("{'type':'tool_result','tool_use_id':'c1','content':[{'type':'text',"
		   "'text':'one'},{'type':'image','source':{'type':'base64','media_type':"
		   "'image/png','data':'iVBO'}}]},{'type':'tool_result','tool_use_id':"
		   "'c2','content':[{'type':'text','text':'two'},{'type':'image',"
		   "'source':{'type':'base64','media_type':'image/gif','data':'R0lG'}},{"
		   "'type':'image','source':{'type':'base64','media_type':'image/gif',"
		   "'data':'R0lH'}}]},{'type':'text','text':'wait'," MARK "}]}]");
}

static void test_images(void **state)
{
	(void)state;
	say(LLM_USER, "[{'type':'text','text':'see'},{'type':'image','mediaType':"
		      "'image/gif','data':'R0lG'},{'type':'image','url':'https://x/y'}]");
	expect_request(HEAD "'messages':[{'role':'user','content':[{'type':'text','text':"
			    "'see'},{'type':'image','source':{'type':'base64',"
			    "'media_type':'image/gif','data':'R0lG'}},{'type':'image',"
			    "'source':{'type':'url','url':'https://x/y'}," MARK "}]}]}");
}

/* What the API refuses for ever must not stay in a session: blank texts, names and ids of
 * other characters. An answer of nothing leaves the user's words in one message. */
static void test_what_would_be_refused(void **state)
{
	(void)state;
	say_text(LLM_USER, "a");
	say_text(LLM_ASSISTANT, " \\n ");
	say(LLM_USER, "[{'type':'text','text':''},{'type':'image'},{'type':'text',"
		      "'text':'b'}]");
	say(LLM_ASSISTANT, "[{'type':'tool_call','callId':'functions.f:0','name':"
			   "'no such/tool','arguments':{'_raw':'{oops'}},{'type':"
			   "'tool_call','callId':'','name':'','arguments':'x'}]");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'functions.f:0','text':'t'}]");
	expect_request(HEAD
		       "'messages':[{'role':'user','content':[{'type':'text','text':'a'},"
		       "{'type':'text','text':'b'}]},{'role':'assistant','content':[{"
		       "'type':'tool_use','id':'functions_f_0','name':'no_such_tool',"
		       "'input':{'_raw':'{oops'}},{'type':'tool_use','id':'_','name':'_',"
		       "'input':{}}]},{'role':'user','content':[{'type':'tool_result',"
		       "'tool_use_id':'functions_f_0','content':'t'," MARK "}]}]}");
}

static void test_strange_content(void **state)
{
	(void)state;
	static const char *const blocks[] = {"7", "[]", "[7,null]", "[{}]",
					     "[{'type':'tool_call'}]"};
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		say(i % 2 ? LLM_USER : LLM_TOOL, blocks[i]);
	expect_request(HEAD "'messages':[]}");
}

/* ---- parameters */

static void test_parameters(void **state)
{
	(void)state;
	talk.q.params = (struct llm_params){.has_temperature = true,
					    .temperature = 0.5,
					    .max_tokens = 99,
					    .stop = SLICE("[\"END\"]"),
					    .schema = SLICE("{\"type\":\"object\"}")};
	expect_request("{'model':'m1','stream':true,'max_tokens':99,'temperature':0.5,"
		       "'stop_sequences':['END'],'output_config':{'format':{'type':"
		       "'json_schema','schema':{'type':'object'}}},'messages':[]}");
}

/* Of the two ways to choose among tokens it is told one. */
static void test_top_p(void **state)
{
	(void)state;
	talk.q.params = (struct llm_params){.top_p = 0.25, .max_tokens = 9};
	expect_request("{'model':'m1','stream':true,'max_tokens':9,'top_p':0.25,"
		       "'messages':[]}");
	talk.q.params.has_temperature = true;
	expect_request("{'model':'m1','stream':true,'max_tokens':9,'temperature':0,"
		       "'messages':[]}");
}

/* Which model is asked to think in which way. */
static void test_effort(void **state)
{
	(void)state;
	static const struct {
		const char *model, *effort;
		int64_t max_tokens;
		const char *want; /* behind the model and `stream` */
	} cases[] = {
		{"claude-3-5-haiku-20241022", "", 0, "'max_tokens':8192,'temperature':1"},
		{"claude-opus-4-20250514", "", 0, "'max_tokens':32000,'temperature':1"},
		{"claude-sonnet-4-5", "minimal", 0,
		 "'max_tokens':32000,'thinking':{'type':'enabled','budget_tokens':1024}"},
		{"claude-3-7-sonnet-20250219", "low", 0,
		 "'max_tokens':32000,'thinking':{'type':'enabled','budget_tokens':4096}"},
		{"claude-sonnet-4-5", "medium", 0,
		 "'max_tokens':32000,'thinking':{'type':'enabled','budget_tokens':"
		 "12288}"},
		{"claude-sonnet-4-5", "high", 0,
		 "'max_tokens':32000,'thinking':{'type':'enabled','budget_tokens':"
		 "24576}"},
		/* the budget is within the answer's limit, or there is none */
		{"claude-sonnet-4-5", "high", 24576,
		 "'max_tokens':24576,'thinking':{'type':'enabled','budget_tokens':"
		 "12288}"},
		{"claude-sonnet-4-5", "low", 2047, "'max_tokens':2047,'temperature':1"},
		{"other", "low", 0,
		 "'max_tokens':8192,'thinking':{'type':'enabled','budget_tokens':4096}"},
		{"claude-opus-4-6", "", 0, "'max_tokens':32000,'temperature':1"},
		{"claude-opus-4-6", "minimal", 0,
		 "'max_tokens':32000,'thinking':{'type':'adaptive'},"
		 "'output_config':{'effort':'low'}"},
		{"claude-sonnet-4-7", "", 0, "'max_tokens':32000"},
		{"claude-opus-5", "high", 0,
		 "'max_tokens':32000,'thinking':{'type':'adaptive'},"
		 "'output_config':{'effort':'high'}"},
		{"claude-fable-5-1", "", 0,
		 "'max_tokens':32000,'thinking':{'type':'adaptive','block_binding':{"
		 "'prefix_mismatch_behavior':'drop_block'}}"},
		{"claude-latest", "medium", 5000,
		 "'max_tokens':5000,'thinking':{'type':'adaptive','block_binding':{"
		 "'prefix_mismatch_behavior':'drop_block'}},"
		 "'output_config':{'effort':'medium'}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char want[512];
		talk.q.model = slice_str(cases[i].model);
		talk.q.params = (struct llm_params){.has_temperature = true,
						    .temperature = 1,
						    .effort = slice_str(cases[i].effort),
						    .max_tokens = cases[i].max_tokens};
		snprintf(want, sizeof want,
			 "{'model':'%s','stream':true,%s,'messages':[]}", cases[i].model,
			 cases[i].want);
		expect_request(want);
	}
}

/* Calls that were made without a thought cannot be gone on with by thinking. */
static void test_calls_of_another(void **state)
{
	(void)state;
	talk.q.model = SLICE("claude-sonnet-4-5");
	talk.q.params.effort = SLICE("low");
	say_text(LLM_USER, "go");
	expect_has("'thinking':{");
	say(LLM_ASSISTANT,
	    "[{'type':'tool_call','callId':'c','name':'f','arguments':{}}]");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'c','text':'t'}]");
	expect_lacks("'thinking':{");
	say_text(LLM_USER, "and?"); /* a new turn */
	expect_has("'thinking':{");
	say(LLM_ASSISTANT, "[{'type':'reasoning','text':'t'," OWN(
				   "{'signature':'s'}") "},"
							"{'type':'tool_call','callId':'d'"
							",'name':'f','arguments':{}}]");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'d','text':'t'}]");
	expect_has("'thinking':{");
}

static void test_headers(void **state)
{
	(void)state;
	struct llm_target t = {.api_key = SLICE("k")};
	expect_headers(&t, "anthropic-version: 2023-06-01\n"
			   "anthropic-beta: thinking-binding-controls-2026-08-01\n"
			   "x-api-key: k\n");
	t.version = SLICE("2026-10-21");
	t.bearer = true;
	expect_headers(&t, "anthropic-version: 2026-10-21\n"
			   "anthropic-beta: thinking-binding-controls-2026-08-01\n"
			   "Authorization: Bearer k\n");
	talk.provider->write_path(&talk.out, &talk.q);
	assert_string_equal(talk.out.p, "/v1/messages");
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, talk_begin, talk_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_text),
		CASE(test_choices),
		CASE(test_tools),
		CASE(test_results),
		CASE(test_what_was_sent_is_sent_again),
		CASE(test_thoughts),
		CASE(test_a_thought_alone),
		CASE(test_images),
		CASE(test_images_of_tools),
		CASE(test_what_would_be_refused),
		CASE(test_strange_content),
		CASE(test_parameters),
		CASE(test_top_p),
		CASE(test_effort),
		CASE(test_calls_of_another),
		CASE(test_headers),
	};
	talk.provider = &llm_anthropic;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
