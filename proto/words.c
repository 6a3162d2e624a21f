/* SPDX-License-Identifier: Apache-2.0
 * The words of the small enums that travel as numbers. */
#include "common/attr.h"
#include "proto/wire.h"

struct word {
	unsigned number;
	const char *word;
};

static const struct word events[] = {
#define EVENT(NAME, word, number) {number, word},
#include "proto/events.tbl"
#undef EVENT
};
static const struct word results[] = {
#define RESULT(NAME, word, number, wait) {number, word},
#include "proto/results.tbl"
#undef RESULT
};
static const struct word waits[] = {
#define RESULT(NAME, word, number, wait) {number, wait},
#include "proto/results.tbl"
#undef RESULT
};
static const struct word modes[] = {{MODE_STEER, "steer"},
				    {MODE_FOLLOWUP, "followup"},
				    {MODE_COLLECT, "collect"},
				    {MODE_INTERRUPT, "interrupt"},
				    {MODE_ANNOUNCE, "announce"}};
static const struct word jobs[] = {
	{MODE_APPEND, "append"},         {MODE_COMPACT, "compact"},
	{MODE_RESET, "reset"},           {MODE_IMPORT, "import"},
	{MODE_ARCHIVE, "archive"},       {MODE_FORK, "fork"},
	{MODE_REGENERATE, "regenerate"}, {MODE_EDIT, "edit"},
	{MODE_DELETE, "delete"},         {MODE_RESTORE, "restore"}};
static const struct word states[] = {{RUN_SCHEDULED, "scheduled"},
				     {RUN_QUEUED, "queued"},
				     {RUN_RUNNING, "running"},
				     {RUN_RETRY_WAIT, "retry_wait"},
				     {RUN_WAITING, "waiting"}};

static const struct word drops[] = {
	{DROP_REJECT, "reject"}, {DROP_OLD, "old"}, {DROP_SUMMARIZE, "summarize"}};

static const struct word decisions[] = {{DECISION_APPROVE, "approve"},
					{DECISION_ALWAYS, "always"},
					{DECISION_DENY, "deny"}};
static const struct word answers[] = {{DECISION_APPROVE, "once"},
				      {DECISION_ALWAYS, "session"},
				      {DECISION_DENY, "denied"}};

static const char *word_of(const struct word *t, size_t n, unsigned number)
{
	for (size_t i = 0; i < n; i++)
		if (t[i].number == number)
			return t[i].word;
	return "?";
}

static unsigned number_of(const struct word *t, size_t n, struct slice word)
{
	for (size_t i = 0; i < n; i++)
		if (slice_is(word, t[i].word))
			return t[i].number;
	return 0;
}

const char *event_word(unsigned type)
{
	return word_of(events, ARRAY_LEN(events), type);
}
const char *result_word(unsigned result)
{
	return word_of(results, ARRAY_LEN(results), result);
}
const char *result_wait_word(unsigned result)
{
	return word_of(waits, ARRAY_LEN(waits), result);
}
const char *mode_word(unsigned mode)
{
	return mode_is_job(mode) ? word_of(jobs, ARRAY_LEN(jobs), mode)
				 : word_of(modes, ARRAY_LEN(modes), mode);
}
const char *run_state_word(unsigned state)
{
	return word_of(states, ARRAY_LEN(states), state);
}
const char *drop_word(unsigned drop)
{
	return word_of(drops, ARRAY_LEN(drops), drop);
}
const char *decision_word(unsigned decision)
{
	return word_of(decisions, ARRAY_LEN(decisions), decision);
}
const char *decision_state(unsigned decision)
{
	return word_of(answers, ARRAY_LEN(answers), decision);
}
unsigned event_from_word(struct slice word)
{
	return number_of(events, ARRAY_LEN(events), word);
}
unsigned result_from_word(struct slice word)
{
	return number_of(results, ARRAY_LEN(results), word);
}
unsigned mode_from_word(struct slice word)
{
	return number_of(modes, ARRAY_LEN(modes), word);
}
unsigned job_from_word(struct slice word)
{
	return number_of(jobs, ARRAY_LEN(jobs), word);
}
unsigned run_state_from_word(struct slice word)
{
	return number_of(states, ARRAY_LEN(states), word);
}
unsigned drop_from_word(struct slice word)
{
	return number_of(drops, ARRAY_LEN(drops), word);
}
unsigned decision_from_word(struct slice word)
{
	return number_of(decisions, ARRAY_LEN(decisions), word);
}
bool approval_is_state(struct slice word)
{
	return slice_is(word, "pending") || slice_is(word, "expired") ||
	       number_of(answers, ARRAY_LEN(answers), word);
}
