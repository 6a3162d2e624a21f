/* SPDX-License-Identifier: Apache-2.0
 * Questions outside of any lane: whom they go to, how many there may be, and that each
 * ends, once. */
#include "tests/unit/supervisor/sup_double.h"

#include "supervisor/inquiries.h"

#define OTHER 8
#define SECOND 1000000ll

static const struct uuid KEY = {{9}};
static int punished;

void child_punish(struct child *c, const char *fmt, ...)
{
	(void)c, (void)fmt;
	punished++;
}
char *sup_conninfo(const struct sup *s, const char *role)
{
	(void)s, (void)role;
	return xstrdup("x");
}
struct pg_pool *pg_pool_new(struct loop *l, const struct pg_pool_config *c)
{
	static char pool;
	(void)l, (void)c;
	return (struct pg_pool *)(void *)&pool;
}
void pg_pool_free(struct pg_pool *p)
{
	(void)p;
}

/* ---- who asks */

struct heard {
	int count, ends;
	enum err err;
	unsigned retry_after_s;
	char text[200], body[200];
};

static void hear(void *arg, const struct inquiry_heard *h)
{
	struct heard *x = arg;
	x->count++;
	x->err = h->err;
	x->retry_after_s = h->retry_after_s;
	x->ends += h->err || h->last;
	snprintf(x->text, sizeof x->text, "%s", h->message ? h->message : "");
	snprintf(x->body + strlen(x->body), sizeof x->body - strlen(x->body), "%.*s",
		 SLICE_ARG(h->body));
}

static void ask(int64_t tenant, enum inquiry_kind kind, struct heard *x)
{
	*x = (struct heard){0};
	inquiries_ask(&sup,
		      &(struct inquiry_ask){.tenant = tenant,
					    .kind = kind,
					    .object = KEY,
					    .model = SLICE(""),
					    .by = SLICE("somebody")},
		      hear, x);
}

static struct pg_request *grant_of(int n) /* the n-th that was not answered */
{
	for (int i = 0; i < request_n; i++)
		if (!requests[i]->answered &&
		    requests[i]->first_stmt == SQL_INQUIRY_BEGIN && n-- == 0)
			return requests[i];
	fail_msg("no grant is asked for");
	return NULL;
}

static int ended(void) /* capabilities that were taken back */
{
	int n = 0;
	for (int i = 0; i < request_n; i++)
		n += requests[i]->first_stmt == SQL_INQUIRY_END;
	return n;
}

static void grant(void)
{
	static const unsigned types[] = {PG_TEXT};
	answer_rows(grant_of(0), rows_new(1, types, 1));
}

static void part(struct child *by, uint64_t number, const char *body, bool last)
{
	inquiries_part(by, &(struct wire_inquiry_part){.number = number,
						       .error = SLICE(""),
						       .message = SLICE(""),
						       .body = slice_str(body),
						       .last = last});
}

/* ---- the bed */

static int begin(void **state)
{
	(void)state;
	sup_begin();
	list_init(&sup.children);
	memset(&worker, 0, sizeof worker);
	worker.sup = &sup;
	worker.role = ROLE_WORKER;
	worker.state = LIFE_READY;
	worker.incarnation = uuid7_new();
	list_push(&sup.children, &worker.node);
	sup.state = SUP_SERVING;
	sup.inquiries = inquiries_new(&sup);
	punished = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	inquiries_free(sup.inquiries);
	sup.inquiries = NULL;
	for (int i = 0; i < request_n; i++)
		if (!requests[i]->answered)
			refuse(requests[i], PG_UNKNOWN, "");
	sup_end();
	return 0;
}

static void test_the_way_of_one(void **state)
{
	(void)state;
	static struct heard x;
	ask(TENANT, INQUIRY_KEY, &x);
	assert_int_equal(sent_count(WIRE_INQUIRY), 0); /* not before it is granted */
	grant();
	assert_int_equal(sent_count(WIRE_INQUIRY), 1);
	part(&worker, 1, "{\"ok\"", false);
	assert_int_equal(x.ends, 0);
	part(&worker, 1, ":1}", true);
	assert_int_equal(x.ends, 1);
	assert_string_equal(x.body, "{\"ok\":1}");
	assert_int_equal(ended(), 1);
	part(&worker, 1, "more", true); /* late: nobody hears it */
	assert_int_equal(x.count, 2);
	assert_int_equal(punished, 0);
}

static void test_it_ends_in_time(void **state)
{
	(void)state;
	static struct heard x, y;
	ask(TENANT, INQUIRY_REQUEST, &x);
	grant();
	pass(INQUIRY_MS * 1000ll - 1);
	assert_int_equal(x.ends, 0);
	pass(1);
	assert_int_equal(x.err, ERR_UNAVAILABLE);
	assert_int_equal(ended(), 1);
	/* One whose grant does not come likewise; what comes then starts nothing. */
	ask(TENANT, INQUIRY_REQUEST, &y);
	pass(INQUIRY_MS * 1000ll);
	assert_int_equal(y.err, ERR_UNAVAILABLE);
	grant();
	assert_int_equal(sent_count(WIRE_INQUIRY), 1);
	assert_int_equal(x.ends + y.ends, 2);
}

static void test_a_worker_that_ends(void **state)
{
	(void)state;
	static struct heard x, y;
	ask(TENANT, INQUIRY_REQUEST, &x);
	grant();
	ask(OTHER, INQUIRY_REQUEST, &y);
	inquiries_lost(&worker);
	assert_int_equal(x.err, ERR_PEER_GONE);
	assert_int_equal(y.err, ERR_PEER_GONE);
	worker.state = LIFE_DOWN;
	ask(TENANT, INQUIRY_REQUEST, &x);
	assert_int_equal(x.err, ERR_UNAVAILABLE);
	worker.state = LIFE_READY;
	links_full = true; /* it is behind with what it was told */
	ask(TENANT, INQUIRY_REQUEST, &x);
	assert_int_equal(x.err, ERR_UNAVAILABLE);
}

static void test_the_database_says_no(void **state)
{
	(void)state;
	static struct heard x;
	ask(TENANT, INQUIRY_REQUEST, &x);
	refuse(grant_of(0), PG_ROLLED_BACK, "57P01");
	assert_int_equal(x.err, ERR_DATABASE);
	assert_int_equal(x.ends, 1);
}

static void test_only_who_was_asked_answers(void **state)
{
	(void)state;
	static struct heard x;
	struct child other = {.sup = &sup};
	ask(TENANT, INQUIRY_REQUEST, &x);
	part(&worker, 1, "early", true);
	assert_int_equal(punished, 1);
	grant();
	part(&other, 1, "not mine", true);
	assert_int_equal(punished, 2);
	assert_int_equal(x.count, 0);
}

static void test_how_many(void **state)
{
	(void)state;
	static struct heard x[INQUIRIES_OF_NODE + 1];
	for (unsigned i = 0; i < INQUIRIES_OF_TENANT; i++)
		ask(TENANT, INQUIRY_REQUEST, &x[i]);
	ask(TENANT, INQUIRY_REQUEST, &x[INQUIRIES_OF_TENANT]);
	assert_int_equal(x[INQUIRIES_OF_TENANT].err, ERR_TENANT_FULL);
	for (unsigned i = INQUIRIES_OF_TENANT; i < INQUIRIES_OF_NODE; i++)
		ask(100 + i, INQUIRY_REQUEST, &x[i]);
	ask(OTHER, INQUIRY_REQUEST, &x[INQUIRIES_OF_NODE]);
	assert_int_equal(x[INQUIRIES_OF_NODE].err, ERR_NODE_FULL);
	for (unsigned i = 0; i < INQUIRIES_OF_NODE; i++)
		assert_int_equal(x[i].count, 0);
	grant();
	part(&worker, 1, "{}", true);
	ask(OTHER, INQUIRY_REQUEST, &x[0]);
	assert_int_equal(x[0].count, 0);
}

static void test_how_often_a_key_is_tested(void **state)
{
	(void)state;
	static struct heard x;
	uint64_t number = 0;
	for (unsigned i = 0; i < INQUIRY_TESTS_A_MINUTE; i++) {
		static struct heard y;
		ask(TENANT, INQUIRY_KEY, &x);
		number++;
		ask(TENANT, INQUIRY_KEY, &y); /* one at a time */
		assert_int_equal(y.err, ERR_TENANT_FULL);
		grant();
		part(&worker, number, "{}", true);
		assert_int_equal(x.ends, 1);
		pass(SECOND);
	}
	ask(TENANT, INQUIRY_KEY, &x);
	assert_int_equal(x.err, ERR_TENANT_FULL);
	assert_in_range(x.retry_after_s, 50, 51);
	ask(OTHER, INQUIRY_KEY, &x);
	assert_int_equal(x.count, 0);
	pass(51 * SECOND);
	ask(TENANT, INQUIRY_KEY, &x);
	assert_int_equal(x.count, 0);
}

static void test_an_answer_without_end(void **state)
{
	(void)state;
	static struct heard x;
	static char piece[LIMIT_FINDING_PART + 1];
	memset(piece, 'x', LIMIT_FINDING_PART);
	ask(TENANT, INQUIRY_REQUEST, &x);
	grant();
	for (unsigned i = 0; i <= LIMIT_FINDING_BYTES / LIMIT_FINDING_PART; i++)
		part(&worker, 1, piece, false);
	assert_int_equal(x.err, ERR_TOO_LARGE);
	assert_int_equal(x.ends, 1);
}

/* Embeddings are counted apart, bring a body, and may take longer. */
static void test_embeddings(void **state)
{
	(void)state;
	static struct heard x[EMBEDDINGS_OF_TENANT], full, key;
	for (unsigned i = 0; i < EMBEDDINGS_OF_TENANT; i++) {
		ask(TENANT, INQUIRY_EMBED, &x[i]);
		assert_int_equal(x[i].count, 0);
	}
	ask(TENANT, INQUIRY_EMBED, &full);
	assert_int_equal(full.err, ERR_TENANT_FULL);
	ask(TENANT, INQUIRY_KEY, &key); /* stands in nobody's way */
	assert_int_equal(key.count, 0);
	grant();
	assert_int_equal(sent_count(WIRE_INQUIRY), 1);
	pass(INQUIRY_MS * 1000ll);
	assert_int_equal(key.err, ERR_UNAVAILABLE);
	assert_int_equal(x[0].ends, 0);
	part(&worker, 1, "{}", true);
	assert_int_equal(x[0].ends, 1);
	ask(TENANT, INQUIRY_EMBED, &full); /* one was answered */
	assert_int_equal(full.count, 0);
	pass((EMBEDDING_MS - INQUIRY_MS) * 1000ll);
	assert_int_equal(x[1].err, ERR_UNAVAILABLE);
}

static void test_the_node_shuts_down(void **state)
{
	(void)state;
	static struct heard x, y;
	ask(TENANT, INQUIRY_REQUEST, &x);
	sup.state = SUP_DRAINING;
	ask(TENANT, INQUIRY_REQUEST, &y);
	assert_int_equal(y.err, ERR_DRAINING);
	assert_int_equal(x.count, 0);
	inquiries_free(sup.inquiries);
	assert_int_equal(x.err, ERR_DRAINING);
	sup.inquiries = inquiries_new(&sup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_way_of_one, begin, end),
		cmocka_unit_test_setup_teardown(test_it_ends_in_time, begin, end),
		cmocka_unit_test_setup_teardown(test_a_worker_that_ends, begin, end),
		cmocka_unit_test_setup_teardown(test_the_database_says_no, begin, end),
		cmocka_unit_test_setup_teardown(test_only_who_was_asked_answers, begin,
						end),
		cmocka_unit_test_setup_teardown(test_how_many, begin, end),
		cmocka_unit_test_setup_teardown(test_how_often_a_key_is_tested, begin,
						end),
		cmocka_unit_test_setup_teardown(test_an_answer_without_end, begin, end),
		cmocka_unit_test_setup_teardown(test_embeddings, begin, end),
		cmocka_unit_test_setup_teardown(test_the_node_shuts_down, begin, end),
	};
	crypto_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
