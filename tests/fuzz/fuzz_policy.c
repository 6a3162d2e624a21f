/* SPDX-License-Identifier: Apache-2.0
 * The policy's documents: up to four, between 0x1f bytes (ceiling, agent, revision's
 * tools, session). Nothing gives what another layer denies, what is kept of a document
 * means the same as the document, and one that cannot be read refuses everything. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/die.h"
#include "proto/tools/policy_doc.h"
#include "proto/tools/policy_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice part(struct slice *rest)
{
	struct slice s = rest->p ? slice_cut(rest, 0x1f) : SLICE_NONE;
	return s.n ? s : SLICE_NONE;
}

static void check_verdicts(const struct policy *p)
{
	struct policy_reason why;
	for (size_t i = 0; i < catalog_count(); i++) {
		enum policy_verdict v = policy_judge(p, i, &why);
		check(v == why.verdict && why.rule[0] && why.layer);
		check(memchr(why.rule, 0, sizeof why.rule));
		check(!policy_problem(p) || v == POLICY_DENY);
	}
	check(policy_max_calls(p) >= 0 && policy_max_calls(p) <= POLICY_CALLS_MOST);
}

/* No more than with that layer alone, and than without it. */
static void check_narrowing(const struct policy_layers *all)
{
	struct policy_layers without = *all;
	without.session = SLICE_NONE;
	struct policy *p = policy_of(all), *wider = policy_of(&without);
	check_verdicts(p);
	for (size_t i = 0; i < catalog_count() && !policy_problem(wider); i++)
		check(policy_judge(p, i, NULL) <= policy_judge(wider, i, NULL));
	policy_free(wider);
	policy_free(p);
}

static void check_kept(enum policy_layer l, struct slice json)
{
	AUTO(strbuf_fini) struct strbuf kept = STRBUF_INIT, again = STRBUF_INIT;
	char err[320] = "", member[64];
	bool right = json.p && policy_check(l, json, err, sizeof err);
	if (!json.p || !policy_compose(l, json, &kept, err, sizeof err)) {
		policy_blame(err, member, sizeof member);
		check(!kept.n);
		return;
	}
	check(right);
	check(policy_compose(l, strbuf_slice(&kept), &again, err, sizeof err));
	check(slice_eq(strbuf_slice(&kept), strbuf_slice(&again)));
	struct policy *given = policy_new(), *stored = policy_new();
	policy_put(given, l, json);
	policy_put(stored, l, strbuf_slice(&kept));
	check(!policy_problem(given) && !policy_problem(stored));
	for (size_t i = 0; i < catalog_count(); i++)
		check(policy_judge(given, i, NULL) == policy_judge(stored, i, NULL));
	check(policy_max_calls(given) == policy_max_calls(stored));
	policy_free(given);
	policy_free(stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size);
	uint64_t tools;
	struct policy_layers d;
	d.ceiling = part(&rest);
	d.agent = part(&rest);
	d.tools = part(&rest);
	d.session = part(&rest);
	check_narrowing(&d);
	check_kept(POLICY_CEILING, d.ceiling);
	check_kept(POLICY_AGENT, d.agent);
	check_kept(POLICY_SESSION, d.session);
	if (policy_word(slice_of(data, size), &tools))
		check(size < 40 && (size == 1 || !memchr(data, ' ', size)));
	return 0;
}
