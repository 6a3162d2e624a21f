/* SPDX-License-Identifier: Apache-2.0
 * Questions that a worker answers: the test of a provider key, the request of a step. */
#include <stdlib.h>

#include "common/alloc.h"
#include "common/log.h"
#include "supervisor/admin_ask.h"
#include "supervisor/admin_commands.h"
#include "supervisor/admin_names.h"
#include "supervisor/inquiries.h"

#define LIMIT_US (INQUIRY_MS * 1000ll + 1000000)
/* An answer that does not fit a client's outbox would end its connection. */
#define ANSWER_MOST (3u << 20)

struct hearing {
	struct ask *ask;
	struct strbuf body;
};

static void done(struct hearing *x)
{
	struct ask *a = x->ask;
	strbuf_fini(&x->body);
	free(x);
	ask_release(a);
}

static void on_heard(void *arg, const struct inquiry_heard *h)
{
	struct hearing *x = arg;
	struct ask *a = x->ask;
	bool too_much = x->body.n + h->body.n > ANSWER_MOST;
	if (!h->err && !too_much)
		strbuf_add_slice(&x->body, h->body);
	if (ask_is_over(a))
		;
	else if (h->err)
		ask_fail(a, h->err, "%s", h->message ? h->message : err_text(h->err));
	else if (too_much)
		ask_fail(a, ERR_BAD_REQUEST,
			 "the answer has more than 3 MiB: ask for it by HTTP");
	else if (h->last)
		ask_end_with(a, slice_trim(strbuf_slice(&x->body)));
	if (h->err || h->last)
		done(x);
}

static void inquire(struct ask *a, const struct inquiry_ask *what)
{
	struct hearing *x = xcalloc(1, sizeof *x);
	x->ask = a;
	ask_hold(a);
	inquiries_ask(a->sup, what, on_heard, x);
}

/* The tenant is a number, 0 the platform: who asks has read the key's row. */
void admin_key_test(struct ask *a)
{
	const struct arg *model = &a->args[ARG_MODEL];
	if (!a->args[ARG_TENANT].is_number || a->args[ARG_TENANT].number < 0) {
		ask_fail(a, ERR_BAD_REQUEST, "tenant: a number is needed");
		return;
	}
	a->limit_us = LIMIT_US;
	log_info("audit", "actor=%s action=key.test tenant=%lld object=\"key:%.*s\"",
		 a->by, (long long)a->args[ARG_TENANT].number,
		 SLICE_ARG(a->args[ARG_KEY].text));
	inquire(a, &(struct inquiry_ask){.tenant = a->args[ARG_TENANT].number,
					 .kind = INQUIRY_KEY,
					 .object = a->args[ARG_KEY].uuid,
					 .model = model->given ? model->text : SLICE(""),
					 .by = slice_str(a->by)});
}

static void ask_request(struct ask *a)
{
	const struct arg *step = &a->args[ARG_STEP];
	inquire(a, &(struct inquiry_ask){.tenant = a->names.tenant,
					 .kind = INQUIRY_REQUEST,
					 .object = a->args[ARG_RUN].uuid,
					 .step = step->given ? (unsigned)step->number : 0,
					 .model = SLICE(""),
					 .by = slice_str(a->by)});
}

void admin_run_request(struct ask *a)
{
	a->limit_us = LIMIT_US;
	names_find_run(a, ask_request);
}
