/* SPDX-License-Identifier: Apache-2.0
 * Options over a file's members. */
#include "cli/agent_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/report.h"
#include "common/attr.h"
#include "common/json.h"
#include "proto/model/agent_config.h"

#define PROMPT_MOST ((size_t)1000000)
#define CONFIG_MOST ((size_t)2000000)

static const struct {
	enum param_id id;
	const char *key;
} members[] = {{PARAM_model, "model"},
	       {PARAM_queue_mode, "queueMode"},
	       {PARAM_queue_cap, "queueCap"},
	       {PARAM_queue_drop, "queueDrop"},
	       {PARAM_queue_debounce, "queueDebounceMs"},
	       {PARAM_on_failure, "onFailure"},
	       {PARAM_system_prompt, "systemPrompt"}};

/* At most `most` bytes and one, which tells that it is longer. */
static int read_file(struct strbuf *out, const char *path, size_t most, const char *what)
{
	bool input = strcmp(path, "-") == 0;
	FILE *f = input ? stdin : fopen(path, "re");
	if (f) {
		out->n += fread(strbuf_reserve(out, most + 1), 1, most + 1, f);
		int failed = ferror(f);
		if (!input)
			fclose(f);
		if (!failed)
			return 0;
	}
	report("%s %s cannot be read: %s", what, path, strerror(errno));
	return -1;
}

static int check_text(const struct strbuf *text, size_t most, const char *what)
{
	if (text->n > most)
		report("the %s is longer than %zu bytes", what, most);
	else if (!slice_is_utf8(strbuf_slice(text)) ||
		 (text->n && memchr(text->p, 0, text->n)))
		report("the %s is no UTF-8 text", what);
	else if (!slice_trim(strbuf_slice(text)).n)
		report("the %s is empty", what);
	else
		return 0;
	return -1;
}

static int check_model(const char *model)
{
	const char *slash = strchr(model, '/');
	if (slash && slash > model && slash[1])
		return 0;
	report("--model must be PROVIDER/NAME, like openai/gpt-4o-mini, not '%s'", model);
	return -1;
}

static int put_prompt(struct json_out *o, const char *given)
{
	AUTO(strbuf_fini) struct strbuf prompt = STRBUF_INIT;
	if (*given != '@')
		strbuf_add_str(&prompt, given);
	else if (read_file(&prompt, given + 1, PROMPT_MOST, "the system prompt's file"))
		return -1;
	if (check_text(&prompt, PROMPT_MOST, "system prompt"))
		return -1;
	json_kv_str(o, "systemPrompt", strbuf_slice(&prompt));
	return 0;
}

static int put_options(struct json_out *o, const struct args *a)
{
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		enum param_id id = members[i].id;
		if (!(a->given >> id & 1))
			continue;
		if (id == PARAM_model && check_model(a->text[id]))
			return -1;
		if (id == PARAM_system_prompt) {
			if (put_prompt(o, a->text[id]))
				return -1;
		} else if (param_of(id)->kind == PARAM_IS_NUMBER) {
			json_kv_i64(o, members[i].key, a->number[id]);
		} else {
			json_kv_cstr(o, members[i].key, a->text[id]);
		}
	}
	return 0;
}

static bool is_an_option(struct slice key, const struct args *a)
{
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (slice_is(key, members[i].key))
			return a->given >> members[i].id & 1;
	return false;
}

static int check_config(json_t config, const char *path)
{
	struct agent_config c;
	struct settings_fault fault;
	struct json_iter it = json_iter(config);
	struct slice key;
	agent_config_init(&c);
	bool fine = agent_config_read(&c, config, true, &fault);
	agent_config_fini(&c);
	if (!fine) {
		report("the configuration in %s is wrong: %s", path, fault.message);
		return -1;
	}
	while (json_next(&it, &key))
		if (!agent_config_knows(key)) {
			report("the configuration in %s has a member that means nothing: "
			       "%.*s",
			       path, key.n > 100 ? 100 : (int)key.n, key.p);
			return -1;
		}
	return 0;
}

static int put_file(struct json_out *o, const struct args *a, const char *path)
{
	AUTO(strbuf_fini) struct strbuf text = STRBUF_INIT;
	char why[160] = "";
	if (read_file(&text, path, CONFIG_MOST, "the configuration") ||
	    check_text(&text, CONFIG_MOST, "configuration"))
		return -1;
	AUTO(auto_json_free)
	struct json_doc *d =
		json_parse_unique(strbuf_slice(&text), CONFIG_MOST, why, sizeof why);
	if (!d) {
		report("the configuration in %s is no JSON: %s", path, why);
		return -1;
	}
	if (check_config(json_root(d), path))
		return -1;
	struct json_iter it = json_iter(json_root(d));
	struct slice key;
	for (json_t v; (v = json_next(&it, &key));) {
		char name[64];
		snprintf(name, sizeof name, "%.*s", SLICE_ARG(key));
		if (is_an_option(key, a))
			continue;
		json_key(o, name);
		json_put_value(o, v);
	}
	return 0;
}

int agent_compose(struct strbuf *out, const struct args *a)
{
	struct json_out o = json_out(out);
	json_obj(&o);
	if (put_options(&o, a) ||
	    (args_has(a, O(config)) && put_file(&o, a, a->text[PARAM_config])))
		return EXIT_USAGE;
	json_obj_end(&o);
	return 0;
}
