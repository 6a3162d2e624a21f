/* SPDX-License-Identifier: Apache-2.0
 * One turn: a message, its run as it comes, what it asks the person, and its end before
 * its time: by Ctrl-C, once to cancel the run and once more to leave, or by --timeout. */
#include <stdio.h>

#include "cli/chat.h"
#include "cli/interrupt.h"
#include "cli/plain.h"
#include "cli/report.h"
#include "common/loop.h"

/* From the cancel that --timeout asks for to the run's end. */
#define CANCEL_US 10000000
#define INPUT_MOST 2000
#define REASON_MOST 2000

/* ---- its end before its time */

static void cancel(struct chat *c)
{
	char path[80];
	snprintf(path, sizeof path, "/v1/runs/%s/cancel", c->watch.run);
	node_post(&c->node, path);
}

static void end_run(struct chat *c)
{
	if (++c->wishes > 1) {
		c->watch.leave = c->leave = true;
		node_abort(&c->node);
	} else if (c->watch.run[0]) {
		cancel(c);
	}
}

static void on_interrupt(void *arg)
{
	struct chat *c = arg;
	if (!c->node.open)
		return;
	end_run(c);
	if (c->wishes == 1)
		render_note(&c->out, "cancelling; Ctrl-C again leaves at once");
}

static void on_limit(void *arg)
{
	struct chat *c = arg;
	c->late = true;
	end_run(c);
	loop_timer_start(c->limit, CANCEL_US);
}

/* ---- what it asks */

static bool on_event(void *arg, const struct render_event *e)
{
	struct chat *c = arg;
	json_t approval = json_get(json_get(e->body, "metadata"), "approval");
	struct slice state = json_str(json_get(approval, "state"));
	if (c->wishes && !c->run[0]) /* asked for before the run was known */
		cancel(c);
	snprintf(c->run, sizeof c->run, "%s", c->watch.run);
	if (!slice_is(state, "pending") || !c->person || c->wishes)
		return false;
	json_free(c->asked);
	c->asked = json_parse(e->data, e->data.n, NULL, 0);
	return true;
}

/* "n because": the answer, and in *reason what stands behind it. */
static const char *decision_of(struct slice line, struct slice *reason)
{
	static const struct {
		const char *word, *decision;
	} words[] = {{"y", "approve"},       {"yes", "approve"}, {"a", "always"},
		     {"always", "always"},   {"n", "deny"},      {"no", "deny"},
		     {"approve", "approve"}, {"deny", "deny"}};
	struct slice rest = line, word = slice_cut(&rest, ' ');
	*reason = slice_trim(rest);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_ieq(word, slice_str(words[i].word)))
			return words[i].decision;
	return NULL;
}

static void send_decision(struct chat *c, const char *id, const char *decision,
			  struct slice reason)
{
	AUTO(strbuf_fini) struct strbuf body = STRBUF_INIT;
	struct json_out o = json_out(&body);
	int status;
	json_obj(&o);
	json_kv_cstr(&o, "decision", decision);
	if (reason.n && slice_is(slice_str(decision), "deny"))
		json_kv_str(&o, "message",
			    slice_of(reason.p,
				     reason.n < REASON_MOST ? reason.n : REASON_MOST));
	json_obj_end(&o);
	json_free(chat_ask(c, "POST", strbuf_slice(&body), &status, "/v1/approvals/%s",
			   id));
}

static void show_question(struct chat *c, json_t event)
{
	AUTO(strbuf_fini) struct strbuf input = STRBUF_INIT;
	render_break(&c->out);
	json_print(&input, json_get(event, "toolInput"));
	fputs("allow ", c->out.out);
	plain_put_short(c->out.out, json_str(json_get(event, "toolName")), INPUT_MOST);
	fputc(' ', c->out.out);
	plain_put_short(c->out.out, strbuf_slice(&input), INPUT_MOST);
	fputs(" ?\n", c->out.out);
}

/* The stream is left meanwhile: a person may think for as long as it takes. */
static void between(void *arg)
{
	struct chat *c = arg;
	struct json_doc *d = c->asked;
	json_t event = json_root(d);
	json_t approval = json_get(json_get(event, "metadata"), "approval");
	const char *decision = NULL;
	struct slice line, reason = SLICE_NONE;
	bool interrupted = false;
	c->asked = NULL;
	show_question(c, event);
	while (!decision &&
	       chat_read(c, "[y]es, [a]lways, [n]o REASON: ", &line, &interrupted) == 0)
		decision = decision_of(line, &reason);
	if (decision) {
		send_decision(c, json_cstr(json_get(approval, "id"), ""), decision,
			      reason);
	} else {
		c->leave = c->leave || !interrupted;
		end_run(c);
	}
	json_free(d);
}

/* ---- the turn */

void chat_turns_begin(struct chat *c)
{
	c->watch = (struct follow_watch){on_event, between, c, "", false};
	interrupt_open(c->node.loop, on_interrupt, c);
	if (args_has(c->args, O(timeout)))
		c->limit = loop_timer_new(c->node.loop, on_limit, c);
}

void chat_turns_end(struct chat *c)
{
	interrupt_close();
	loop_timer_free(c->limit);
	json_free(c->asked);
}

static void begin(struct chat *c)
{
	c->wishes = 0;
	c->late = false;
	c->watch.leave = false;
	c->watch.run[0] = c->run[0] = 0;
	interrupt_count();
	if (c->limit)
		loop_timer_start(c->limit, c->args->number[PARAM_timeout] * 1000000ll);
}

static int end(struct chat *c, int status)
{
	if (c->limit)
		loop_timer_stop(c->limit);
	if (c->watch.leave)
		report("left before the run's end%s%s", *c->run ? "; it was " : "",
		       *c->run ? "asked to end" : "");
	if (!c->late)
		return status;
	report("the run did not end in %ld s", c->args->number[PARAM_timeout]);
	return EXIT_TIMEOUT;
}

int chat_say(struct chat *c, struct slice text)
{
	struct message m = {.agent = c->agent,
			    .session = c->session,
			    .model = *c->model ? c->model : NULL,
			    .text = text,
			    .builder = args_has(c->args, O(builder)),
			    .wait_s = args_number(c->args, PARAM_wait, 0),
			    .watch = &c->watch};
	begin(c);
	return end(c, follow_message(&c->node, &c->out, &m));
}

int chat_follow(struct chat *c, struct uuid run)
{
	begin(c);
	uuid_format(run, c->watch.run);
	return end(c, follow_run(&c->node, &c->out, run, &c->watch));
}
