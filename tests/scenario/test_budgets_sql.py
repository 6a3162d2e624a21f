# SPDX-License-Identifier: Apache-2.0
"""Budgets and usage in the database: reserving and settling under races, periods that roll over, reservations of the dead, prices, reports
and how long they take, rights."""
import json
import os
import unittest

from node import wait_for
from test_journal_sql import AGENT, CAP, Refused, WithDatabase, ended, event, literal, retry, said, uuid7

LONG = os.environ.get("TB_LONG")


def usage(step=1, call=0, tin=10, tout=20, cost=None, ms=7):
    return {"step": step, "call": call, "provider": "p", "model": "m", "in": tin, "out": tout, "cached": 0, "cache_write": 0, "reasoning": 0,
            "cost": cost, "ms": ms}


def settlement(tokens, micros=0, calls=1, ms=0):
    return {"what": "settle", "data": {"tokens": tokens, "micros": micros, "calls": calls, "ms": ms}}


class Budgets(WithDatabase):
    seconds = 15

    def setUp(self):
        self.root.ask("DELETE FROM tb.budgets; DELETE FROM tb.budget_holds; DELETE FROM tb.model_prices; DELETE FROM tb.usage_ledger;")

    def limit(self, scope="tenant", id="", period="day", tokens=None, micros=None, calls=None, seconds=None, by=None):
        return self.root.ask(f"SELECT tb.budget_set(1, '{scope}', '{id}', '{period}', {literal(tokens)}, {literal(micros)}, {literal(calls)},"
                             f" {literal(seconds)}, '{uuid7()}', 'ann');")

    @staticmethod
    def question(item, tin=100, tout=100, had=0, micros_in=None, price=0, cap=CAP):
        return (f"SELECT * FROM tb.budget_reserve('{cap}', 1, '{item['run']}', {item['fence']}, {had}, 0, {tin}, {tout}, {literal(micros_in)}, {price})")

    def reserve(self, item, **kw):
        (row,) = self.worker.rows(self.question(item, **kw))
        return row

    def outcome(self, item, **kw):
        return self.reserve(item, **kw)["outcome"]

    def settle(self, item, tokens, **kw):
        step = item["step"] = item.get("step", 0) + 1
        (row,) = self.journal({**item, "usage": [usage(step=step, tin=tokens, tout=0)], "acts": [settlement(tokens, **kw)]})
        self.assertEqual(row["outcome"], "ok")
        item["commit"] += 1

    def finish(self, item):
        (row,) = self.journal({**item, "messages": [said("done")], "events": [event(2, phase="end")], "end": [ended()]})
        self.assertEqual(row["outcome"], "ok")

    def run_of(self, user=None):
        s = self.session()
        run = self.queued(s, user=user)
        (row,) = self.claim({"run": run, "session": s})
        item = {"run": run, "session": s, "fence": row["fence"], "commit": row["commit_no"]}
        self.addCleanup(self.let_go, item)
        return item

    def let_go(self, item):
        if self.live(item["run"]):
            self.bury(item["run"], item["session"], "attempts", "the test is over")

    def budget(self, scope="tenant", period="day"):
        report = json.loads(self.root.ask("SELECT tb.budget_report(1, NULL, NULL);"))
        (b,) = [b for b in report if b["scope"] == scope and b["period"] == period]
        return b

    def test_nothing_binds_where_there_is_no_budget(self):
        item = self.run_of()
        self.assertEqual(self.outcome(item), "none")
        self.limit(tokens=1000)
        self.assertEqual(self.outcome(item), "granted")
        self.limit()                                       # it goes
        self.assertEqual(self.outcome(item), "none")

    def test_runs_together_use_no_more_than_there_is(self):
        """Each may need 200 of 1000: five of six get it, the sixth waits until one has settled for less, and all is used up exactly once."""
        self.limit(tokens=1000)
        items = [self.run_of() for _ in range(6)]
        self.assertEqual([self.outcome(i) for i in items], ["granted"] * 5 + ["held"])
        self.assertEqual(self.budget()["reserved"]["tokens"], 1000)
        self.settle(items[0], 50)
        self.assertEqual((self.budget()["used"]["tokens"], self.budget()["reserved"]["tokens"]), (50, 800))
        row = self.reserve(items[5])
        self.assertEqual((row["outcome"], row["used"], row["others"]), ("held", 50, 800))   # 150 are left
        self.settle(items[1], 150)
        self.assertEqual(self.outcome(items[5]), "granted")
        for i in items[2:]:
            self.settle(i, 200)
        row = self.reserve(items[0])
        self.assertEqual((row["outcome"], row["scope"], row["unit"], row["most"], row["used"]), ("exhausted", "tenant", "tokens", 1000, 1000))
        self.assertEqual(self.budget()["used"]["tokens"], 1000)

    def test_two_connections_at_once(self):
        """Both ask while a third holds the tenant's lock: one is granted and the other, which has waited, sees it."""
        self.limit(tokens=300)
        items, others = [self.run_of(), self.run_of()], [self.connect("tb_worker"), self.connect("tb_worker")]
        self.root.ask("BEGIN; SELECT FROM tb.money_terms WHERE tenant_id = 1 FOR UPDATE;")
        for item, other in zip(items, others):
            other.send_rows(self.question(item))
        looker = self.connect(None)
        wait_for(lambda: looker.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%budget_reserve%'"
                                    " AND pid <> pg_backend_pid();") == "2")
        self.root.ask("COMMIT;")
        got = sorted(json.loads(o.result())[0]["outcome"] for o in others)
        self.assertEqual(got, ["granted", "held"])

    def test_a_settlement_waits_for_nobody_who_reserves(self):
        """A commit that settles while another transaction has the tenant's lock goes through."""
        self.limit(tokens=1000)
        item = self.run_of()
        self.assertEqual(self.outcome(item), "granted")
        looker = self.connect(None)
        looker.ask("BEGIN; SELECT FROM tb.money_terms WHERE tenant_id = 1 FOR UPDATE;")
        self.worker.ask("SET lock_timeout = '250ms';")
        try:
            self.settle(item, 120)
        finally:
            looker.ask("COMMIT;")
            self.worker.ask("RESET lock_timeout;")
        self.assertEqual(self.budget()["used"]["tokens"], 120)

    def test_the_answer_is_as_long_as_what_is_left(self):
        self.limit(tokens=1000)
        item = self.run_of()
        row = self.reserve(item, tin=700, tout=5000)
        self.assertEqual((row["outcome"], row["answer"]), ("granted", 300))
        self.assertEqual(self.reserve(item, tin=700, tout=5000, had=200)["answer"], 100)   # what a failed attempt used
        self.assertEqual(self.outcome(item, tin=950, tout=5000), "exhausted")              # 50 are no answer
        self.assertEqual(self.outcome(item, tin=950, tout=50), "granted")                  # unless more is not wanted

    def test_cost(self):
        """10 micros a token of the answer; the question's are known."""
        self.limit(micros=5000)
        item = self.run_of()
        self.assertEqual(self.outcome(item), "unpriced")
        row = self.reserve(item, tout=1000, micros_in=1000, price=10000000)
        self.assertEqual((row["outcome"], row["answer"]), ("granted", 400))
        self.settle(item, 10, micros=4500)
        self.assertEqual(self.outcome(item, tout=1000, micros_in=100, price=10000000), "exhausted")
        self.assertEqual(self.outcome(item, micros_in=0, price=0), "granted")              # what is free needs no money
        self.assertEqual(self.budget()["used"]["costMicros"], 4500)

    def test_calls_and_seconds(self):
        self.limit(calls=2)
        a, b = self.run_of(), self.run_of()
        self.assertEqual(self.outcome(a), "granted")
        self.settle(a, 1, ms=1500)
        self.assertEqual((self.outcome(b), self.outcome(a)), ("granted", "held"))
        self.settle(b, 1, ms=600)
        row = self.reserve(a)
        self.assertEqual((row["outcome"], row["unit"], row["used"]), ("exhausted", "calls", 2))
        self.limit(seconds=2)
        row = self.reserve(a)
        self.assertEqual((row["outcome"], row["unit"], row["used"]), ("exhausted", "seconds", 2))

    def test_whose_budget(self):
        """Of an agent and a user: theirs alone are bound, and the first that is used up is named."""
        self.assertEqual(self.limit("agent", uuid7(), tokens=5), "absent")
        self.assertEqual(self.limit("agent", AGENT, tokens=5000), "done")
        self.assertEqual(self.limit("user", "ann", tokens=300), "done")
        anns, bobs = self.run_of("ann"), self.run_of("bob")
        self.assertEqual((self.outcome(anns), self.outcome(bobs)), ("granted", "granted"))
        self.settle(anns, 200)
        self.settle(bobs, 150)
        row = self.reserve(anns)
        self.assertEqual((row["outcome"], row["scope"], row["scope_id"]), ("exhausted", "user", "ann"))
        self.assertEqual(self.outcome(bobs), "granted")
        self.assertEqual(self.budget("agent")["used"]["tokens"], 350)
        self.assertEqual(self.budget("user")["used"]["tokens"], 200)

    def test_a_new_period_begins_by_itself(self):
        self.limit(period="month", tokens=300)
        self.limit(period="total", tokens=100000)
        item = self.run_of()
        self.assertEqual(self.outcome(item), "granted")
        self.settle(item, 300)
        row = self.reserve(item)
        self.assertEqual((row["outcome"], row["period"]), ("exhausted", "month"))
        self.assertRegex(row["begins"], r"-01T00:00:00\+00")
        self.root.ask("UPDATE tb.budgets SET period_start = period_start - interval '1 month' WHERE period = 'month';")
        self.assertEqual(self.budget(period="month")["used"]["tokens"], 0)                 # who reads it sees so, too
        self.assertEqual(self.outcome(item), "granted")
        self.assertEqual(self.budget(period="total")["used"]["tokens"], 300)
        self.assertEqual(self.root.ask("SELECT tb.period_start('month', now()) = period_start FROM tb.budgets WHERE period = 'month';"), "t")

    def test_what_was_settled_before_the_period_is_not_of_it(self):
        self.limit(tokens=300)
        item = self.run_of()
        self.assertEqual(self.outcome(item), "granted")
        self.settle(item, 250)
        self.root.ask("UPDATE tb.budgets SET period_start = period_start - interval '1 day';"
                      "UPDATE tb.budget_holds SET at = at - interval '1 day';")
        self.assertEqual(self.outcome(item), "granted")
        self.assertEqual(self.budget()["used"]["tokens"], 0)

    def test_periods_are_those_of_utc(self):
        for zone in ("UTC", "Asia/Kolkata", "America/Los_Angeles"):
            self.root.ask(f"SET TIME ZONE '{zone}';")
            for period, start, end in (("day", "2026-03-29", "2026-03-30"), ("month", "2026-03-01", "2026-04-01")):
                got = self.root.ask(f"SELECT tb.as_text(tb.period_start('{period}', '2026-03-29T23:30:00Z')) || ' ' ||"
                                    f" tb.as_text(tb.period_end('{period}', '2026-03-29T23:30:00Z'));")
                self.assertEqual(got, f"{start}T00:00:00.000Z {end}T00:00:00.000Z")
        self.root.ask("RESET TIME ZONE;")

    def test_reservations_of_the_dead_hold_nothing(self):
        """Its worker died and the run is claimed again; it waits for another try; it ended; it was buried: each time others have the room."""
        self.limit(tokens=250)
        b = self.run_of()
        a = self.run_of()
        self.assertEqual((self.outcome(a), self.outcome(b)), ("granted", "held"))
        (row,) = self.claim({"run": a["run"], "session": a["session"], "crashed": True})
        self.assertEqual(self.outcome(b), "granted")
        self.assertEqual(self.outcome(a), "stale")                                         # the old worker
        a.update(fence=row["fence"], commit=row["commit_no"])
        self.settle(b, 0)
        self.assertEqual((self.outcome(a), self.outcome(b)), ("granted", "held"))
        (row,) = self.journal({**a, "retry": [retry()]})
        self.assertEqual((row["outcome"], self.outcome(b)), ("ok", "granted"))
        self.settle(b, 0)
        c = self.run_of()
        self.assertEqual((self.outcome(c), self.outcome(b)), ("granted", "held"))
        self.finish(c)
        self.assertEqual(self.outcome(b), "granted")
        self.settle(b, 0)
        d = self.run_of()
        self.assertEqual((self.outcome(d), self.outcome(b)), ("granted", "held"))
        self.let_go(d)
        self.assertEqual(self.budget()["reserved"]["tokens"], 0)
        self.assertEqual(self.outcome(b), "granted")
        self.assertEqual(self.root.ask("SELECT count(*) FROM tb.budget_holds;"), "1")

    def test_who_may_reserve(self):
        self.limit(tokens=1000)
        item = self.run_of()
        self.assertEqual(self.outcome(item, cap="another"), "stale")
        self.assertEqual(self.outcome({**item, "fence": item["fence"] - 1}), "stale")
        for who, what in ((self.worker, f"SELECT tb.budget_set(1, 'tenant', '', 'day', NULL, NULL, NULL, NULL, '{uuid7()}', 'x');"),
                          (self.edge, f"SELECT tb.budget_set(1, 'tenant', '', 'day', NULL, NULL, NULL, NULL, '{uuid7()}', 'x');"),
                          (self.edge, f"SELECT tb.price_set(0, 'openai', 'x', 1, 1, 1, 1, '{uuid7()}', 'x');"),
                          (self.edge, "UPDATE tb.budgets SET limit_tokens = 5;"), (self.worker, "DELETE FROM tb.budget_holds;"),
                          (self.sup, self.question(item) + ";"), (self.worker, "SELECT tb.act_settle(1, NULL, NULL, 1, '{}');")):
            with self.assertRaises(Refused, msg=what):
                who.ask(what)
        with self.assertRaises(Refused):                   # a tenant is named first
            self.edge.ask(f"SELECT tb.budget_edit(NULL, 'tenant', '', 'day', 1, NULL, NULL, NULL, '{uuid7()}', 'x');")

    def test_a_tenant_sees_and_changes_its_own(self):
        self.limit(tokens=1000)
        self.root.ask(f"SELECT tb.price_set(0, 'openai', 'gpt-9*', 1, 2, NULL, NULL, '{uuid7()}', 'x');")
        put = (f"SELECT tb.budget_edit(NULL, 'tenant', '', 'day', 7, NULL, NULL, NULL, '{uuid7()}', 'x');"
               f"SELECT tb.price_edit(NULL, 'openai', 'gpt-9', 5, 6, 1, 7, '{uuid7()}', 'x');")
        self.edge.ask("BEGIN; SET LOCAL app.tenant_id = '2';" + put + "COMMIT;")
        for tenant, tokens, prices in ((1, 1000, [("platform", 1, 1)]), (2, 7, [("tenant", 5, 1), ("platform", 1, 1)])):
            got = self.edge.ask(f"BEGIN; SET LOCAL app.tenant_id = '{tenant}'; SELECT tb.budget_report(1, NULL, NULL) || tb.budget_report(2, NULL, NULL);"
                                "SELECT tb.price_report(1); SELECT tb.price_report(2); COMMIT;").splitlines()
            self.assertEqual([b["tokens"] for b in json.loads(got[0])], [tokens])
            self.assertEqual([(p["of"], p["input"], p["cached"]) for p in json.loads(got[tenant])], prices)

    def test_the_terms_have_a_version(self):
        """What tells a worker that it knows too little."""
        def version():
            return self.root.ask(f"SELECT tb.policy_versions(1, '{AGENT}', '{AGENT}');")
        seen = [version()]
        self.limit(tokens=5)
        seen.append(version())
        self.root.ask(f"SELECT tb.price_set(0, 'openai', 'x', 1, 1, 1, 1, '{uuid7()}', 'x');")
        seen.append(version())
        self.root.ask(f"SELECT tb.price_set(1, 'openai', 'x', 1, 1, 1, 1, '{uuid7()}', 'x');")
        seen.append(version())
        self.limit()
        seen.append(version())
        self.assertEqual(len(set(seen)), 5)
        self.assertTrue(all(v.startswith("0.0.0") for v in seen))

    def test_a_new_budget_counts_what_its_period_has_seen(self):
        item = self.run_of("carol")
        self.journal({**item, "usage": [usage(tin=30, tout=5, cost=9), usage(call=1, tin=1, tout=1)]})
        self.limit("user", "carol", tokens=100, micros=100, calls=5)
        used = self.budget("user")["used"]
        self.assertEqual((used["tokens"], used["costMicros"], used["calls"]), (37, 9, 2))
        (noted,) = self.root.rows("SELECT action, detail FROM tb.audit_log WHERE object = 'user:carol'")
        self.assertEqual((noted["action"], noted["detail"]["tokens"]), ("budget.set", 100))

    def report(self, by, first="2026-01-01", last="2026-02-01", after=None, limit=100, tenant=1):
        return json.loads(self.root.ask(f"SELECT tb.usage_report({tenant}, '{first}', '{last}', '{by}', NULL, {literal(after)}, {limit});"))

    def test_reports(self):
        s, t, runs = self.session(), self.session(), [uuid7() for _ in range(3)]
        rows = [(runs[0], s, "ann", "a", 100, 10, 5, "2026-01-05T23:59:59Z"), (runs[0], s, "ann", "b", 50, 5, None, "2026-01-06T00:00:00Z"),
                (runs[1], t, None, "a", 7, 3, 2, "2026-01-06T12:00:00Z"), (runs[2], t, None, "b", 1, 1, None, "2026-02-01T00:00:00Z")]
        for n, (run, session, user, model, tin, tout, cost, at) in enumerate(rows):
            self.root.ask("INSERT INTO tb.usage_ledger (tenant_id, run_id, step, call_no, agent_id, session_id, user_id, provider, model, tokens_in,"
                          f" tokens_out, cost_micros, at, duration_ms) VALUES (1, '{run}', 1, {n}, '{AGENT}', '{session}', {literal(user)}, 'openai',"
                          f" '{model}', {tin}, {tout}, {literal(cost)}, '{at}', 4);")
        got = self.report("day")
        self.assertEqual([(g["key"], g["inputTokens"], g["costMicros"], g["unpricedCalls"]) for g in got["groups"]],
                         [("2026-01-05", 100, 5, 0), ("2026-01-06", 57, 2, 1)])
        self.assertEqual((got["total"]["inputTokens"], got["total"]["outputTokens"], got["total"]["costMicros"], got["total"]["calls"],
                          got["total"]["unpricedCalls"], got["total"]["durationMs"], got["next"]), (157, 18, 7, 3, 1, 12, None))
        models = self.report("model")["groups"]
        self.assertEqual([(g["key"], g["costMicros"]) for g in models], [("openai/a", 7), ("openai/b", None)])   # not known is not 0
        self.assertEqual([(g["key"], g["agent"]) for g in self.report("agent")["groups"]], [(AGENT, "sql")])
        self.assertEqual({g["sessionKey"] for g in self.report("session")["groups"]}, {s, t})
        self.assertEqual([(g["key"], g["calls"]) for g in self.report("user")["groups"]], [("", 1), ("ann", 2)])
        page = self.report("run", limit=1)
        self.assertEqual((len(page["groups"]), page["next"], page["total"]["calls"]), (1, page["groups"][0]["key"], 3))
        rest = self.report("run", after=page["next"])
        self.assertEqual(({g["key"] for g in rest["groups"]} | {page["next"]}, rest["next"]), (set(runs[:2]), None))
        empty = self.report("day", "2020-01-01", "2020-02-01")
        self.assertEqual((empty["groups"], empty["total"]["calls"], empty["total"]["costMicros"]), ([], 0, None))

    @unittest.skipUnless(LONG, "a million rows: ./test --all")
    def test_a_day_of_a_million_rows(self):
        """A day of one of two tenants, of 30 days with a million rows; by an index."""
        self.root.ask("INSERT INTO tb.usage_ledger (tenant_id, run_id, step, call_no, agent_id, session_id, provider, model, tokens_in, tokens_out, at)"
                      f" SELECT 100 + n % 2, gen_random_uuid(), 1, 0, '{AGENT}', md5((n / 20)::text)::uuid, 'openai', 'm' || n % 5, 100, 10,"
                      " '2025-05-01'::timestamptz + n * interval '2592 milliseconds' FROM generate_series(1, 1000000) n;")
        self.root.ask("ANALYZE tb.usage_ledger;")
        try:
            for by in ("day", "model", "agent", "session"):
                best = min(self.timed(by) for _ in range(5))
                print(f"usage_report by {by}, a day of 16,667 of 1,000,000 rows: {best:.1f} ms")
                self.assertLess(best, 50)
            plan = self.root.ask("EXPLAIN SELECT sum(tokens_in) FROM tb.usage_ledger WHERE tenant_id = 100 AND at >= '2025-05-20' AND at < '2025-05-21';")
            print(plan)
            self.assertIn("usage_ledger_at", plan)
        finally:
            self.root.ask("DELETE FROM tb.usage_ledger WHERE tenant_id >= 100;")

    def timed(self, by):
        plan = json.loads(self.root.ask("EXPLAIN (ANALYZE, FORMAT JSON) SELECT tb.usage_report(100, '2025-05-20', '2025-05-21', '" + by + "', NULL, NULL, 100);"))
        return plan[0]["Execution Time"]
