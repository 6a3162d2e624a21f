/* SPDX-License-Identifier: Apache-2.0
 * The request text of OpenAI's responses, to the byte. */
#include "tests/unit/worker/llm/talk.h"

#define START "{'model':'m1','stream':true,'store':false,"
#define HEAD START "'include':['reasoning.encrypted_content'],"
#define OWN(json) "'provider':'openai-responses','opaque':" json

static void test_text(void **state)
{
	(void)state;
	talk.q.system = SLICE("be\nkind");
	say_text(LLM_SUMMARY, "before");
	say_text(LLM_USER, "h\\u00e9");
	say_text(LLM_ASSISTANT, "yes");
	say_text(LLM_USER, "more");
	expect_request(HEAD "'instructions':'be\\nkind','input':[{'type':'message','role'"
			    ":'user','content':[{'type':'input_text','text':'before'}]},{"
			    "'type':'message','role':'user','content':[{'type':"
			    "'input_text','text':'h\xC3\xA9'}]},{'type':'message','role':"
			    "'assistant','content':'yes'},{'type':'message','role':'user'"
			    ",'content':[{'type':'input_text','text':'more'}]}]}");
}

static void test_tools(void **state)
{
	(void)state;
	static const struct llm_tool t1 = {"f", "does f", "{\"type\":\"object\"}"},
				     t2 = {"g", "does g", "{}"};
	const struct llm_tool *tools[] = {&t1, &t2};
	talk.q.tools = tools;
	talk.q.tool_count = 2;
	expect_request(HEAD "'tools':[{'type':'function','name':'f','description':"
			    "'does f','parameters':{'type':'object'},'strict':false},{"
			    "'type':'function','name':'g','description':'does g',"
			    "'parameters':{},'strict':false}],'input':[]}");
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
		 HEAD "'tools':[{'type':'function','name':'f','parameters':{'type':'"
		      "object'},'strict':false}],"
		      ""
		      "'input':[]}"},
		{{.kind = LLM_CHOICE_NONE},
		 HEAD "'tools':[{'type':'function','name':'f','parameters':{'type':'"
		      "object'},'strict':false}],"
		      "'tool_choice':'none',"
		      "'input':[]}"},
		{{.kind = LLM_CHOICE_REQUIRED},
		 HEAD "'tools':[{'type':'function','name':'f','parameters':{'type':'"
		      "object'},'strict':false}],"
		      "'tool_choice':'required',"
		      "'input':[]}"},
		{{LLM_CHOICE_NAMED, {"f", 1}},
		 HEAD "'tools':[{'type':'function','name':'f','parameters':{'type':'"
		      "object'},'strict':false}],"
		      "'tool_choice':{'type':'function','name':'f'},"
		      "'input':[]}"},
	};
	const struct llm_tool *tools[] = {&t1};
	talk.q.tools = tools;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		talk.q.tool_count = 1;
		talk.q.choice = cases[i].choice;
		expect_request(cases[i].want);
	}
	talk.q.tool_count = 0; /* none to choose of */
	expect_request(HEAD "'input':[]}");
}

static void test_results(void **state)
{
	(void)state;
	say_text(LLM_USER, "go");
	say(LLM_ASSISTANT,
	    "[{'type':'text','text':'look'},"
	    "{'type':'tool_call','callId':'c1','name':'f',"
	    "'arguments':{'x':'y'}},"
	    "{'type':'tool_call','callId':'c2','name':'g','arguments':{}}]");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'c1','text':'one'},{'type':"
		      "'tool_result','callId':'c2','isError':true,'text':''}]");
	expect_request(HEAD
		       "'input':[{'type':'message','role':'user','content':[{'type':"
		       "'input_text','text':'go'}]},{'type':'message','role':'assistant',"
		       "'content':'look'},{'type':'function_call','call_id':'c1','name':"
		       "'f','arguments':'{\\'x\\':\\'y\\'}'},{'type':'function_call',"
		       "'call_id':'c2','name':'g','arguments':'{}'},{'type':"
		       "'function_call_output','call_id':'c1','output':'one'},{'type':"
		       "'function_call_output','call_id':'c2','output':''}]}");
}

/* Thoughts go back encrypted, in their places; those of others do not. */
static void test_thoughts(void **state)
{
	(void)state;
	say(LLM_ASSISTANT,
	    "[{'type':'reasoning','text':'shown'," OWN(
		    "{'summary':['a\\nb','c'],'encrypted_content':'gA+/"
		    "=='}") "},"
			    "{'type':'tool_call','callId':'c','name':'f','"
			    "arguments':{}},"
			    "{'type':'reasoning','text':''," OWN(
				    "{'encrypted_content':'gB'}") "},"
								  "{'type'"
								  ":'text'"
								  ",'text'"
								  ":'yes'"
								  "," OWN("{'phase':'"
									  "commentary"
									  "'}") "},"
										"{'"
										"type"
										"':'"
										"reas"
										"onin"
										"g','"
										"text"
										"':'"
										"hm'}"
										","
										"{'"
										"type"
										"':'"
										"reas"
										"onin"
										"g','"
										"text"
										"':'"
										"hm',"
										"'pro"
										"vide"
										"r':'"
										"open"
										"ai',"
										"'opa"
										"que'"
										":{"
										"'enc"
										"rypt"
										"ed_"
										"cont"
										"ent'"
										":'"
										"no'}"
										"},"
										"{'"
										"type"
										"':'"
										"text"
										"','"
										"text"
										"':'"
										"so',"
										"'pro"
										"vide"
										"r':'"
										"gemi"
										"ni',"
										"'opa"
										"que'"
										":{'"
										"phas"
										"e':'"
										"no'}"
										"}]");
	expect_request(HEAD
		       "'input':[{'type':'reasoning','summary':[{'type':'summary_text',"
		       "'text':'a\\nb'},{'type':'summary_text','text':'c'}],"
		       "'encrypted_content':'gA+/=='},{'type':'function_call','call_id':"
		       "'c','name':'f','arguments':'{}'},{'type':'reasoning','summary':[]"
		       ",'encrypted_content':'gB'},{'type':'message','role':'assistant',"
		       "'content':'yes','phase':'commentary'},{'type':'message','role':"
		       "'assistant','content':'so'}]}");
}

/* An answer that was cut behind a thought. */
static void test_a_thought_alone(void **state)
{
	(void)state;
	say(LLM_ASSISTANT, "[{'type':'reasoning','text':''," OWN(
				   "{'encrypted_content':'gA'}") "},{'type':'text',"
								 "'text':''}]");
	say_text(LLM_USER, "go on");
	expect_request(HEAD "'input':[{'type':'message','role':'user','content':[{'type':"
			    "'input_text','text':'go on'}]}]}");
}

/* Images that tools returned. What is only named by a URL is not shown: nobody fetches
 * anything for a tool. */
static void test_images_of_tools(void **state)
{
	(void)state;
	say_images_of_tools();
	expect_has("{'type':'function_call_output','call_id':'c1','output':[{'type':"
		   "'input_text','text':'one'},{'type':'input_image','detail':'auto',"
		   "'image_url':'data:image/png;base64,iVBO'}]},{'type':"
		   "'function_call_output','call_id':'c2','output':[{'type':'input_text',"
		   "'text':'two'},{'type':'input_image','detail':'auto','image_url':"
		   "'data:image/gif;base64,R0lG'},{'type':'input_image','detail':'auto',"
		   "'image_url':'data:image/gif;base64,R0lH'}]},{'type':'message',");
	talk.q.model = SLICE("o3-mini"); /* takes none */
	expect_has("{'type':'function_call_output','call_id':'c1','output':'one'},{"
		   "'type':'function_call_output','call_id':'c2','output':'two'},{'type':"
		   "'message',");
	expect_lacks("input_image");
}

static void test_images(void **state)
{
	(void)state;
	say(LLM_USER, "[{'type':'text','text':'see'},{'type':'image','mediaType':"
		      "'image/gif','data':'R0lG'},{'type':'image','url':'https://x/y'}]");
	expect_request(HEAD "'input':[{'type':'message','role':'user','content':[{'type':"
			    "'input_text','text':'see'},{'type':'input_image','detail':"
			    "'auto','image_url':'data:image/gif;base64,R0lG'},{'type':"
			    "'input_image','detail':'auto','image_url':'https://x/y'}]}]"
			    "}");
}

static void test_strange_content(void **state)
{
	(void)state;
	static const char *const blocks[] = {"7", "[]", "[7,null]", "[{}]",
					     "[{'type':'tool_call'}]"};
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		say(i % 2 ? LLM_USER : LLM_TOOL, blocks[i]);
	say_text(LLM_USER, "");
	expect_request(HEAD "'input':[]}");
	say(LLM_ASSISTANT, "[{'type':'text','text':''},{'type':'tool_call','callId':"
			   "'functions.f:0','name':'no such'}]");
	expect_request(HEAD "'input':[{'type':'function_call','call_id':'functions_f_0',"
			    "'name':'no_such','arguments':'{}'}]}");
}

/* ---- parameters */

static void test_parameters(void **state)
{
	(void)state;
	talk.q.params = (struct llm_params){.has_temperature = true,
					    .temperature = 0.5,
					    .max_tokens = 99,
					    .effort = SLICE("low"),
					    .stop = SLICE("[\"END\"]"),
					    .schema = SLICE("{\"type\":\"object\"}")};
	expect_request(HEAD "'reasoning':{'effort':'low'},'max_output_tokens':99,'text':{"
			    "'format':{'type':'json_schema','name':'answer','strict':"
			    "true,'schema':{'type':'object'}}},'input':[]}");
}

/* What a model that does not reason refuses, and what one that does. */
static void test_models(void **state)
{
	(void)state;
	static const char *const plain[] = {"gpt-4o", "gpt-4.1-mini", "gpt-3.5-turbo",
					    "chatgpt-4o-latest", "gpt-5-chat-latest"};
	static const char *const reasoning[] = {"gpt-5", "gpt-5.3-codex", "o3", "o4-mini",
						"gpt-6"};
	talk.q.params = (struct llm_params){.has_temperature = true,
					    .temperature = 1,
					    .top_p = 0.5,
					    .effort = SLICE("high")};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		talk.q.model = slice_str(plain[i]);
		expect_has("'temperature':1,'top_p':0.5");
		expect_lacks("reasoning");
		talk.q.model = slice_str(reasoning[i]);
		expect_lacks("temperature");
		expect_lacks("top_p");
		expect_has("'include':['reasoning.encrypted_content']");
		expect_has("'reasoning':{'effort':'high'}");
	}
}

static void test_headers(void **state)
{
	(void)state;
	expect_headers(&(struct llm_target){.api_key = SLICE("k")},
		       "Authorization: Bearer k\n");
	talk.provider->write_path(&talk.out, &talk.q);
	assert_string_equal(talk.out.p, "/responses");
	assert_string_equal(talk.provider->name, "openai-responses");
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, talk_begin, talk_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_text),
		CASE(test_choices),
		CASE(test_tools),
		CASE(test_results),
		CASE(test_thoughts),
		CASE(test_a_thought_alone),
		CASE(test_images),
		CASE(test_images_of_tools),
		CASE(test_strange_content),
		CASE(test_parameters),
		CASE(test_models),
		CASE(test_headers),
	};
	talk.provider = &llm_responses;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
