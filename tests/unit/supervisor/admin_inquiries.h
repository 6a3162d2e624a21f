/* SPDX-License-Identifier: Apache-2.0
 * Of test_admin.c: questions that a worker answers, and what people read of that. */
#ifndef TB_TEST_ADMIN_INQUIRIES_H
#define TB_TEST_ADMIN_INQUIRIES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "common/log.h"
#include "common/json.h"
#include "supervisor/inquiries.h"
#include "supervisor/lq.h"

static struct lq_run *add_run(int lane, enum lq_state state);
static int connect_client(void);
static json_t answer(int fd, const char *request);
static void is(json_t v, const char *key, const char *text);

/* Answered at once, in two parts; the platform's is refused. */
static struct inquiry_ask inquired;
void inquiries_ask(struct sup *s, const struct inquiry_ask *ask, inquiry_hear *hear,
		   void *arg)
{
	(void)s;
	inquired = *ask;
	if (!ask->tenant) {
		hear(arg, &(struct inquiry_heard){.err = ERR_NODE_FULL,
						  .message = "it is full"});
		return;
	}
	hear(arg, &(struct inquiry_heard){.body = SLICE("{\"ok\":\"tr")});
	hear(arg, &(struct inquiry_heard){.body = SLICE("ue\"}\n"), .last = true});
}

/* The worker's answer is the socket's, whole. */
static void test_inquiries(void **state)
{
	(void)state;
	char line[200], id[UUID_TEXT_LEN + 1];
	struct lq_run *r = add_run(0, LQ_S_RUNNING);
	int fd = connect_client();
	uuid_format(lq_run_id(r), id);
	snprintf(line, sizeof line,
		 "{\"cmd\":\"run.request\",\"args\":{\"run\":\"%s\",\"step\":3}}", id);
	is(answer(fd, line), "ok", "true");
	assert_int_equal(inquired.kind, INQUIRY_REQUEST);
	assert_int_equal(inquired.tenant, 1);
	assert_int_equal(inquired.step, 3);
	assert_true(uuid_eq(inquired.object, lq_run_id(r)));
	snprintf(line, sizeof line,
		 "{\"cmd\":\"key.test\",\"args\":{\"key\":\"%s\",\"tenant\":0}}", id);
	is(answer(fd, line), "error", "it is full");
	assert_int_equal(inquired.kind, INQUIRY_KEY);
	snprintf(line, sizeof line,
		 "{\"cmd\":\"key.test\",\"args\":{\"key\":\"%s\",\"tenant\":\"two\"}}",
		 id);
	is(answer(fd, line), "error", "tenant: a number is needed");
}

#endif
