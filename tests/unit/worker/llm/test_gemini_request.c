/* SPDX-License-Identifier: Apache-2.0
 * The request text of Gemini's generateContent, to the byte. */
#include "tests/unit/worker/llm/talk.h"

#define HEAD "{'generationConfig':{},"
#define OWN(json) "'provider':'gemini','opaque':" json
#define DUMMY "'thoughtSignature':'skip_thought_signature_validator'"

static void test_text(void **state)
{
	(void)state;
	talk.q.system = SLICE("be\nkind");
	say_text(LLM_SUMMARY, "before");
	say_text(LLM_USER, "h\\u00e9");
	say_text(LLM_ASSISTANT, "yes");
	say_text(LLM_USER, "more");
	expect_request(HEAD "'systemInstruction':{'parts':[{'text':'be\\nkind'}]},"
			    "'contents':[{'role':'user','parts':[{'text':'before'},{"
			    "'text':'h\xC3\xA9'}]},{'role':'model','parts':[{'text':"
			    "'yes'}]},{'role':'user','parts':[{'text':'more'}]}]}");
}

static void test_tools(void **state)
{
	(void)state;
	static const struct llm_tool t1 = {"f", "does f", "{\"type\":\"object\"}"},
				     t2 = {"g", "does g", "{\"type\":\"object\"}"};
	const struct llm_tool *tools[] = {&t1, &t2};
	talk.q.tools = tools;
	talk.q.tool_count = 2;
	expect_request(HEAD "'tools':[{'functionDeclarations':[{'name':'f','description':"
			    "'does f','parametersJsonSchema':{'type':'object'}},{'name':"
			    "'g','description':'does g','parametersJsonSchema':{'type':"
			    "'object'}}]}],'contents':[]}");
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
		 HEAD "'tools':[{'functionDeclarations':[{'name':'f','description':'f','"
		      "parametersJsonSchema':{'type':'object'}}]}],"
		      ""
		      "'contents':[]}"},
		{{.kind = LLM_CHOICE_NONE},
		 HEAD "'tools':[{'functionDeclarations':[{'name':'f','description':'f','"
		      "parametersJsonSchema':{'type':'object'}}]}],"
		      "'toolConfig':{'functionCallingConfig':{'mode':'NONE'}},"
		      "'contents':[]}"},
		{{.kind = LLM_CHOICE_REQUIRED},
		 HEAD "'tools':[{'functionDeclarations':[{'name':'f','description':'f','"
		      "parametersJsonSchema':{'type':'object'}}]}],"
		      "'toolConfig':{'functionCallingConfig':{'mode':'ANY'}},"
		      "'contents':[]}"},
		{{LLM_CHOICE_NAMED, {"f", 1}},
		 HEAD "'tools':[{'functionDeclarations':[{'name':'f','description':'f','"
		      "parametersJsonSchema':{'type':'object'}}]}],"
		      "'toolConfig':{'functionCallingConfig':{'mode':'ANY','"
		      "allowedFunctionNames':['f']}},"
		      "'contents':[]}"},
	};
	const struct llm_tool *tools[] = {&t1};
	talk.q.tools = tools;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		talk.q.tool_count = 1;
		talk.q.choice = cases[i].choice;
		expect_request(cases[i].want);
	}
	talk.q.tool_count = 0; /* none to choose of */
	expect_request(HEAD "'contents':[]}");
}

/* All results of a turn are one content, what the user said meanwhile is another. Only
 * what Gemini gave an id has one, in the call and in its result. */
static void test_results(void **state)
{
	(void)state;
	say_text(LLM_USER, "go");
	say(LLM_ASSISTANT,
	    "[{'type':'text','text':'look'},"
	    "{'type':'tool_call','callId':'g\\\\1','name':'f','arguments':{'x':1}," OWN(
		    "{'id':'g\\\\1','thoughtSignature':'A+/=='}") "},"
								  "{'type':'tool_call',"
								  "'callId':'call_1_1','"
								  "name':'g','"
								  "arguments':{}}]");
	say(LLM_TOOL,
	    "[{'type':'tool_result','callId':'g\\\\1','name':'f','text':'{\\'a\\':1}'}]");
	say_text(LLM_USER, "wait");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'call_1_1','name':'g',"
		      "'isError':true,'text':'no'}]");
	expect_request(
		HEAD
		"'contents':[{'role':'user','parts':[{'text':'go'}]},{'role':'model',"
		"'parts':[{'text':'look'},{'functionCall':{'id':'g\\\\1','name':'f',"
		"'args':{'x':1}},'thoughtSignature':'A+/=='},{'functionCall':{'name':'g',"
		"'args':{}}}]},{'role':'user','parts':[{'functionResponse':{'id':"
		"'g\\\\1','name':'f','response':{'output':'{\\'a\\':1}'}}},{"
		"'functionResponse':{'name':'g','response':{'error':'no'}}}]},{'role':"
		"'user','parts':[{'text':'wait'}]}]}");
}

/* Several results in one stored message; a text that looks like a form is a text. */
static void test_ids(void **state)
{
	(void)state;
	say(LLM_ASSISTANT,
	    "[{'type':'tool_call','callId':'a','name':'f','arguments':{}," OWN(
		    "{'id':'a'}") "},"
				  "{'type':'tool_call','callId':'b','name':'f','"
				  "arguments':{}},"
				  "{'type':'tool_call','callId':'c','name':'f','"
				  "arguments':{}," OWN("{'id':'c'}") "}]");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'a','name':'f','text':"
		      "'{\\'functionResponse\\':{\\'id\\':\\'a\\','},"
		      "{'type':'tool_result','callId':'b','name':'f','text':''},"
		      "{'type':'tool_result','callId':'c','name':'f','text':'t'},"
		      "{'type':'tool_result','callId':'','name':'f','text':'u'}]");
	expect_has("'parts':[{'functionResponse':{'id':'a','name':'f','response':{"
		   "'output':'{\\'functionResponse\\':{\\'id\\':\\'a\\','}}},{"
		   "'functionResponse':{'name':'f','response':{'output':''}}},{"
		   "'functionResponse':{'id':'c','name':'f','response':{'output':'t'}}},{"
		   "'functionResponse':{'name':'f','response':{'output':'u'}}}]");
	/* the same id of an older turn is not this one's */
	say_text(LLM_ASSISTANT, "so");
	say(LLM_TOOL, "[{'type':'tool_result','callId':'a','name':'f','text':'x'}]");
	expect_has("{'functionResponse':{'name':'f','response':{'output':'x'}}}");
}

/* The first call of each step is signed: by its own signature, or by the word that stands
 * for one. */
static void test_calls_of_another(void **state)
{
	(void)state;
	say(LLM_ASSISTANT,
	    "[{'type':'reasoning','text':'hm','provider':'anthropic','opaque':{"
	    "'signature':'no'}},"
	    "{'type':'tool_call','callId':'toolu_1','name':'f','arguments':{}},"
	    "{'type':'tool_call','callId':'toolu_2','name':'g','arguments':{},"
	    "'provider':'other','opaque':{'thoughtSignature':'no','id':'no'}}]");
	expect_request(
		HEAD "'contents':[{'role':'model','parts':[{'functionCall':{'name':'f',"
		     "'args':{}}," DUMMY "},{'functionCall':{'name':'g','args':{}}}]}]}");
}

static void test_signatures(void **state)
{
	(void)state;
	static const struct {
		const char *block, *want;
	} cases[] = {
		/* a thought that is signed, and one that is not */
		{"{'type':'reasoning','text':'t'," OWN(
			 "{'thoughtSignature':'S'}") "},{'type':'reasoning','text':'u'}",
		 "{'text':'t','thought':true,'thoughtSignature':'S'}"},
		/* the text before the signed stretch and the one behind it */
		{"{'type':'text','text':'abcdef'," OWN(
			 "[{'from':2,'to':4,'thoughtSignature':'S'}]") "}",
		 "{'text':'ab'},{'text':'cd','thoughtSignature':'S'},{'text':'ef'}"},
		/* an empty one at the end, and one that is all there is */
		{"{'type':'text','text':'ab'," OWN(
			 "[{'from':2,'to':2,'thoughtSignature':'S'}]") "}",
		 "{'text':'ab'},{'text':'','thoughtSignature':'S'}"},
		{"{'type':'text','text':''," OWN(
			 "[{'from':0,'to':0,'thoughtSignature':'S'}]") "}",
		 "{'text':'','thoughtSignature':'S'}"},
		{"{'type':'text','text':'ab'," OWN(
			 "[{'from':0,'to':1,'thoughtSignature':'S'},{'from':1,'to':2,"
			 "'thoughtSignature':'T'}]") "}",
		 "{'text':'a','thoughtSignature':'S'},{'text':'b','thoughtSignature':"
		 "'T'}"},
		/* stretches that are none */
		{"{'type':'text','text':'ab'," OWN(
			 "[{'from':1,'to':3,'thoughtSignature':'S'},{'from':-1,'to':1},7,"
			 "{'from':2,'to':1}]") "}",
		 "{'text':'ab'}"},
		{"{'type':'text','text':'ab'," OWN("7") "}", "{'text':'ab'}"},
		{"{'type':'text','text':'ab','provider':'x','opaque':[{'from':0,'to':1,"
		 "'thoughtSignature':'S'}]}",
		 "{'text':'ab'}"},
		{"{'type':'text','text':''}", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char blocks[512];
		snprintf(blocks, sizeof blocks, "[%s]", cases[i].block);
		talk_forget();
		say(LLM_ASSISTANT, blocks);
		struct slice wire = llm_wire(&llm_gemini, talk.list[0]);
		assert_string_equal(wire.n ? wire.p : "", json(cases[i].want));
	}
}

/* Images that tools returned. What is only named by a URL is not shown: nobody fetches
 * anything for a tool. */
static void test_images_of_tools(void **state)
{
	(void)state;
	say_images_of_tools();
	expect_has(
		"{'role':'user','parts':[{'functionResponse':{'name':'f','response':{"
		"'output':'one'}}},{'functionResponse':{'name':'f','response':{"
		"'output':'two'}}}]},{'role':'user','parts':[{'inlineData':{'mimeType':"
		"'image/png','data':'iVBO'}},{'inlineData':{'mimeType':'image/gif',"
		"'data':'R0lG'}},{'inlineData':{'mimeType':'image/gif','data':'R0lH'}}"
		",{'text':'wait'}]}]");
}

static void test_images(void **state)
{
	(void)state;
	say(LLM_USER, "[{'type':'text','text':'see'},{'type':'image','mediaType':"
		      "'image/gif','data':'R0lG'},{'type':'image','url':'https://x/y'},{"
		      "'type':'image','mediaType':'image/png','url':'gs://b'}]");
	expect_request(HEAD
		       "'contents':[{'role':'user','parts':[{'text':'see'},{'inlineData':"
		       "{'mimeType':'image/gif','data':'R0lG'}},{'fileData':{'fileUri':"
		       "'https://x/y'}},{'fileData':{'mimeType':'image/png','fileUri':"
		       "'gs://b'}}]}]}");
}

static void test_strange_content(void **state)
{
	(void)state;
	static const char *const blocks[] = {"7", "[]", "[7,null]", "[{}]",
					     "[{'type':'tool_call'}]"};
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		say(i % 2 ? LLM_USER : LLM_TOOL, blocks[i]);
	expect_request(HEAD "'contents':[]}");
	say(LLM_ASSISTANT, "[{'type':'tool_call','name':'no such','arguments':7}]");
	expect_has("'parts':[{'functionCall':{'name':'no_such','args':{}}," DUMMY "}]");
}

/* ---- parameters */

static void test_parameters(void **state)
{
	(void)state;
	talk.q.params = (struct llm_params){.has_temperature = true,
					    .temperature = 0.5,
					    .top_p = 0.25,
					    .max_tokens = 99,
					    .stop = SLICE("[\"END\"]"),
					    .schema = SLICE("{\"type\":\"object\"}")};
	expect_request(
		"{'generationConfig':{'temperature':0.5,'topP':0.25,'maxOutputTokens':99,"
		"'stopSequences':['END'],'responseMimeType':'application/json',"
		"'responseJsonSchema':{'type':'object'}},'contents':[]}");
}

static void test_effort(void **state)
{
	(void)state;
	static const struct {
		const char *model, *effort, *want;
	} cases[] = {
		{"gemini-3-pro-preview", "high",
		 "'thinkingConfig':{'includeThoughts':true,'thinkingLevel':'high'}"},
		{"gemini-3.1-pro", "minimal",
		 "'thinkingConfig':{'includeThoughts':true,'thinkingLevel':'low'}"},
		{"gemini-flash-latest", "medium",
		 "'thinkingConfig':{'includeThoughts':true,'thinkingLevel':'medium'}"},
		{"gemini-3-flash", "", "'thinkingConfig':{'includeThoughts':true}"},
		{"gemini-2.5-flash", "", ""},
		{"gemini-2.5-flash", "minimal",
		 "'thinkingConfig':{'includeThoughts':true,'thinkingBudget':512}"},
		{"gemini-2.5-pro", "low",
		 "'thinkingConfig':{'includeThoughts':true,'thinkingBudget':2048}"},
		{"gemini-2.5-pro", "medium",
		 "'thinkingConfig':{'includeThoughts':true,'thinkingBudget':8192}"},
		{"gemini-2.5-pro", "high",
		 "'thinkingConfig':{'includeThoughts':true,'thinkingBudget':24576}"},
		{"gemini-2.0-flash", "high", ""},
		{"gemma-3-27b-it", "", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char want[256];
		talk.q.model = slice_str(cases[i].model);
		talk.q.params.effort = slice_str(cases[i].effort);
		snprintf(want, sizeof want, "{'generationConfig':{%s},'contents':[]}",
			 cases[i].want);
		expect_request(want);
	}
}

static void test_paths(void **state)
{
	(void)state;
	static const struct {
		const char *model, *path;
	} cases[] = {
		{"gemini-3.1-pro",
		 "/v1beta/models/gemini-3.1-pro:streamGenerateContent?alt=sse"},
		{"tunedModels/a_b",
		 "/v1beta/tunedModels/a_b:streamGenerateContent?alt=sse"},
		{"a?b #\xC3\xA9",
		 "/v1beta/models/a%3Fb%20%23%C3%A9:streamGenerateContent?alt=sse"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		strbuf_reset(&talk.out);
		talk.q.model = slice_str(cases[i].model);
		talk.provider->write_path(&talk.out, &talk.q);
		assert_string_equal(talk.out.p, cases[i].path);
	}
	expect_headers(&(struct llm_target){.api_key = SLICE("k")},
		       "x-goog-api-key: k\n");
	expect_headers(&(struct llm_target){.api_key = SLICE("k"), .bearer = true},
		       "Authorization: Bearer k\n");
	expect_headers(&(struct llm_target){.bearer = false}, "");
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, talk_begin, talk_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_text),
		CASE(test_choices),
		CASE(test_tools),
		CASE(test_results),
		CASE(test_ids),
		CASE(test_calls_of_another),
		CASE(test_signatures),
		CASE(test_images),
		CASE(test_images_of_tools),
		CASE(test_strange_content),
		CASE(test_parameters),
		CASE(test_effort),
		CASE(test_paths),
	};
	talk.provider = &llm_gemini;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
