# SPDX-License-Identifier: Apache-2.0
"""Budgets, prices and usage through the real node: what ends a run and with which words, that runs together stay inside, that a death holds nothing,
that a tenant without budgets pays nothing for them, and that the ledger is what the provider told."""
import collections
import datetime
import json
import os
import re
import signal
import unittest
import uuid

from node import Node, wait_for
from test_queue_modes import WithQueue

together = True  # the classes share a node: one process

FINE, FAILED, USAGE, ABSENT = range(4)
PRICED, DEAR = "openai/fake-priced", "openai/fake-dear"


class WithMoney(WithQueue):
    workers = 2

    def setUp(self):
        super().setUp()
        for b in self.budgets():
            self.put("/v1/budgets", scope=b["scope"], period=b["period"], **({"id": b["id"]} if "id" in b else {}))

    def put(self, path, **document):
        status, _, answer = self.node.request("PUT", path, document)
        self.assertEqual(status, 200, answer)
        return answer

    def get(self, path):
        status, _, answer = self.node.get(path)
        self.assertEqual(status, 200, answer)
        return answer

    def budgets(self):
        return self.get("/v1/budgets")["budgets"]

    def price(self, model=PRICED, **numbers):
        provider, name = model.split("/")
        self.put("/v1/prices", provider=provider, model=name, **(numbers or {"input": 2000000, "output": 10000000}))

    def ask(self, message="hello", agent="main", session=None):
        run = self.post(message, session or uuid.uuid4().hex, agent=agent)
        self.assertIn(self.node.wait(run)["status"], ("ok", "error"), self.node.tail())
        return run

    def fails(self, run, code, *words):
        end = self.ended(run)
        self.assertEqual((end["result"], end["error_code"]), ("failed", code), end["error"])
        for w in words:
            self.assertIn(w, end["error"])

    def ledger(self, run):
        return self.node.rows(f"SELECT * FROM tb.usage_ledger WHERE run_id = '{run}' ORDER BY step, call_no")

    def paired(self, run):
        """Each call of the run's session has its result."""
        blocks = [b for m in self.transcript(run) for b in m["content"]["blocks"]]
        calls = [b["callId"] for b in blocks if b["type"] == "tool_call"]
        self.assertEqual(calls, [b["callId"] for b in blocks if b["type"] == "tool_result"])
        return len(calls)


class OfRunAndSession(WithMoney):
    def test_calls_of_a_run(self):
        agent = self.agent(budgets={"run": {"calls": 3}})
        run = self.ask("[loop memory_get {}] go", agent)
        self.fails(run, "budget_calls", "this run's budget of 3 model calls", "3 model calls are used")
        self.assertEqual((len(self.ledger(run)), self.paired(run)), (3, 3))

    def test_of_a_message(self):
        """What the message says and what the agent says: the tighter counts, for this run."""
        agent = self.agent(budgets={"run": {"calls": 3}})
        for calls, most in ((1, 1), (9, 3)):
            run = self.post("[loop memory_get {}] go", uuid.uuid4().hex, agent=agent, budget={"calls": calls})
            self.node.wait(run)
            self.fails(run, "budget_calls", f"this run's budget of {most} model calls")
        status, _, answer = self.node.post(f"/v1/agents/{agent}/runs", {"message": "x", "budget": {"cents": 1}})
        self.assertEqual((status, answer["error"]["param"]), (400, "budget"))

    def test_tokens_of_a_run(self):
        """It ends before the call that might not fit; what it had called has its results."""
        agent = self.agent(budgets={"run": {"tokens": 15000}})
        run = self.ask("[loop memory_get {}] go", agent)
        self.fails(run, "budget_tokens", "this run's budget of 15000 tokens")
        used = sum(u["tokens_in"] + u["tokens_out"] for u in self.ledger(run))
        self.assertGreater(self.paired(run), 0)
        self.assertGreater(used, 0)
        self.assertLessEqual(used, 15000)

    def test_the_answer_is_as_long_as_what_is_left(self):
        agent = self.agent(budgets={"run": {"tokens": 15000}})
        self.ask("hello", agent)
        asked = self.node.fake_get("/last")
        most = asked.get("max_tokens") or asked.get("max_completion_tokens")
        self.assertTrue(0 < most <= 8192, asked.keys())
        self.ask("hello", self.agent())
        asked = self.node.fake_get("/last")
        self.assertFalse({"max_tokens", "max_completion_tokens"} & set(asked))

    def test_seconds_of_a_run(self):
        run = self.ask("[hang] x", self.agent(budgets={"run": {"seconds": 1}}))
        end = self.ended(run)
        self.assertEqual((end["result"], end["error_code"]), ("timed_out", "run_budget"))

    def test_cost_of_a_run(self):
        self.price()
        run = self.ask("[loop memory_get {}] go", self.agent(model=PRICED, budgets={"run": {"costMicros": 20000}}))
        self.fails(run, "budget_cost", "budget of 0.020000 US dollars")
        spent = sum(u["cost_micros"] for u in self.ledger(run))
        self.assertTrue(0 < spent <= 20000, spent)
        run = self.ask("hello", self.agent(model=DEAR, budgets={"run": {"costMicros": 20000}}))
        self.fails(run, "budget_cost", "price of the model 'openai/fake-dear' is not known", "price set")
        self.assertEqual(self.ledger(run), [])

    def test_calls_of_a_session(self):
        agent, session = self.agent(budgets={"session": {"calls": 2}}), uuid.uuid4().hex
        for _ in range(2):
            self.assertEqual(self.ended(self.ask("hello", agent, session))["result"], "completed")
        self.fails(self.ask("hello", agent, session), "budget_calls", "the session's budget of 2 model calls", "2 model calls are used")
        self.assertEqual(self.ended(self.ask("hello", agent))["result"], "completed")    # another session

    def test_a_budget_that_is_none(self):
        run = self.ask("hello", self.agent(budgets={"run": {"token": 5}}))
        self.fails(run, "model_config", "budgets must hold limits")


class Shared(WithMoney):
    def test_runs_together_make_no_call_too_many(self):
        self.put("/v1/budgets", scope="tenant", period="day", calls=self.used("calls") + 3)
        runs = [self.post("[delay 300] hello", f"together-{uuid.uuid4().hex}") for _ in range(8)]
        ends = [self.ended(r) for r in runs]
        self.assertEqual(sorted(e["result"] for e in ends), ["completed"] * 3 + ["failed"] * 5)
        for e in ends:
            if e["result"] == "failed":
                self.assertEqual(e["error_code"], "budget_calls")
                self.assertIn("the tenant's daily budget", e["error"])
                tomorrow = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).strftime("%Y-%m-%dT00:00:00")
                self.assertIn(f"it begins anew at {tomorrow}", e["error"])
        (b,) = self.budgets()
        self.assertEqual((b["used"]["calls"], b["reserved"]["calls"]), (b["calls"], 0))

    def used(self, what, scope="tenant", period="day"):
        """What the ledger has of today: what a new budget begins with."""
        answer = self.put("/v1/budgets", scope=scope, period=period, tokens=10 ** 12)
        return answer["budgets"][0]["used"][what]

    def test_tokens_of_an_agent(self):
        """What its runs use together, with those of other agents left alone; used is what the ledger says."""
        agent, other = self.agent(), self.agent()
        id = self.node.sql(f"SELECT agent_id FROM tb.agents WHERE name = '{agent}'")
        self.put(f"/v1/agents/{agent}/budget", period="month", tokens=12000)
        runs = [self.ask(f"hello {i}", agent) for i in range(40)][-1:]
        self.fails(runs[-1], "budget_tokens", "the agent's monthly budget of 12000 tokens")
        (b,) = self.get(f"/v1/agents/{agent}/budget")["budgets"]
        spent = int(self.node.sql(f"SELECT sum(tokens_in + tokens_out) FROM tb.usage_ledger WHERE agent_id = '{id}'"))
        self.assertEqual((b["used"]["tokens"], b["reserved"]["tokens"], b["agent"]), (spent, 0, agent))
        self.assertLessEqual(spent, 12000)
        self.assertEqual(self.ended(self.ask("hello", other))["result"], "completed")
        self.put(f"/v1/agents/{agent}/budget", period="month", tokens=1000000)           # it holds from the next run on
        self.assertEqual(self.ended(self.ask("hello", agent))["result"], "completed")

    def test_of_a_user(self):
        self.put("/v1/budgets", scope="user", id="ann", period="total", calls=1)
        ends = [self.ended(self.post("hello", uuid.uuid4().hex, user=user)) for user in ("ann", "bob")]
        self.assertEqual([e["result"] for e in ends], ["completed"] * 2)
        end = self.ended(self.post("hello", uuid.uuid4().hex, user="ann"))
        self.assertEqual(end["error_code"], "budget_calls")
        self.assertIn("the user 'ann' whole budget", end["error"])

    def test_a_worker_that_dies_holds_nothing(self):
        """kill -9 while its run waits for the model: the run goes on elsewhere, and when it has ended all that is reserved is free and all that is
        used stands in the ledger."""
        self.put("/v1/budgets", scope="tenant", period="day", tokens=10 ** 9)
        (before,) = self.budgets()
        run = self.asked("[delay 1500] hello", uuid.uuid4().hex)
        (held,) = self.budgets()
        self.assertGreater(held["reserved"]["tokens"], 0)
        self.assertEqual(held["reserved"]["calls"], 1)
        ordinal = int(self.node.sql(f"SELECT worker FROM tb.agent_run_queue WHERE run_id = '{run}'"))
        self.node.kill("worker", ordinal, signal.SIGKILL)
        self.assertEqual(self.node.wait_until_ok(run)["status"], "ok")
        self.assertEqual(self.ended(run)["crashes"], 1)
        (after,) = self.budgets()
        spent = sum(u["tokens_in"] + u["tokens_out"] for u in self.ledger(run))
        self.assertEqual(after["reserved"], {"tokens": 0, "costMicros": 0, "calls": 0})
        self.assertEqual(after["used"]["tokens"] - before["used"]["tokens"], spent)
        wait_for(lambda: sum(c["kind"] == "worker" and c["state"] == "ready" for c in self.node.admin("status")["children"]) >= 2, 30)

    def test_a_cancel_frees_what_was_reserved(self):
        self.put("/v1/budgets", scope="tenant", period="day", tokens=10 ** 9)
        run = self.asked("[hang] hello", uuid.uuid4().hex)
        self.assertGreater(self.budgets()[0]["reserved"]["tokens"], 0)
        self.assertEqual(self.cancel(run)[0], 202)
        self.ended(run)
        self.assertEqual(self.budgets()[0]["reserved"]["tokens"], 0)

    def test_without_budgets_nothing_is_asked(self):
        """A plain turn is two statements that write, as ever, and reads nothing; with a budget one statement more, before the model is asked, and
        no commit of the journal more."""
        n, session = self.node, uuid.uuid4().hex
        n.sql("ALTER SYSTEM SET log_statement = 'all'")
        n.sql("SELECT pg_reload_conf()")
        try:
            for budget, reserved in ((False, None), (True, 5)):
                if budget:
                    self.put("/v1/budgets", scope="tenant", period="day", tokens=10 ** 9)
                wait_for(lambda: self.said_of_turns(1, session).get("JOURNAL"))    # what is cached is there, what is logged is logged
                said = self.said_of_turns(5, session)
                self.assertEqual((said.get("ENQUEUE"), said.get("JOURNAL"), said.get("BUDGET_RESERVE")), (5, 5, reserved))
                self.assertLessEqual(said.get("CAP", 0), 1)                # a permit is read again after a second, and no more than that
        finally:
            n.sql("ALTER SYSTEM RESET log_statement")
            n.sql("SELECT pg_reload_conf()")

    def said_of_turns(self, turns, session):
        """{statement: how often} of as many turns."""
        log = os.path.join(self.node.cluster.dir, "pg.log")
        before = os.path.getsize(log)
        for _ in range(turns):
            self.ask("hello", session=session)
        with open(log, "rb") as f:
            f.seek(before)
            return collections.Counter(re.findall(r"execute (\w+):", f.read().decode()))


class WithCompaction(WithMoney):
    """What a compaction asks is asked of the budgets first, and stands in the ledger."""

    def agent(self, **config):
        return super().agent(contextWindow=8000, **{"tools": [], **config})

    def rows_of(self, agent, table, columns):
        return self.node.rows(f"SELECT {columns} FROM tb.{table} JOIN tb.agent_sessions s USING (tenant_id, session_id) JOIN tb.agents a"
                              f" USING (tenant_id, agent_id) WHERE a.name = '{agent}' ORDER BY 1")

    def history(self, agent):
        return [(m["seq"], m["role"], m["content"]) for m in self.rows_of(agent, "session_messages", "seq, role, content")]

    def snapshots(self, agent):
        return [s["why"] for s in self.rows_of(agent, "agent_context_snapshots", "version, why")]

    def talk(self, agent, words, most=None, again=0):
        """Turns, until one ends because of its budget; its agent, its run and what stood there before. The fourth takes the context from below the flush
        to above the compaction."""
        for i in range(5):
            before = self.history(agent)
            run = self.post(f"{words} fact-{i} " + "and so it goes on and on " * (5, 5, 260, 700, 700)[i], "talk", agent=agent, **({"budget": {"calls": most}} if most else {}))
            if self.ended(run)["result"] != "completed":
                return agent, run, before
        if again:  # where the flush came a turn early, each had enough
            return self.talk(self.agent(tools=["memory_store", "memory_get"]), words, most, again - 1)
        told = self.node.rows("SELECT e.run_id, e.body FROM tb.run_events e JOIN tb.agent_runs r USING (tenant_id, run_id) JOIN tb.agents a USING (tenant_id, agent_id)"
                              f" WHERE a.name = '{agent}' AND e.type = 'lifecycle' ORDER BY e.at")
        self.fail(f"no budget ended any of them: {self.snapshots(agent)}, {told}")

    def test_a_budget_that_ends_in_the_midst(self):
        """In the memory flush, behind it, behind the summary: what stood there stands, and the next run goes on."""
        for most in (1, 2, 3):
            with self.subTest(most):
                agent = self.agent(tools=["memory_store", "memory_get"])
                agent, run, before = self.talk(agent, "saves-memory", most, again=2)
                self.fails(run, "budget_calls", f"this run's budget of {most} model calls", f"{most} model calls are used")
                after = self.history(agent)
                self.assertEqual(after[:len(before)], before)
                self.assertEqual([role for _, role, _ in after[len(before):]], ["user"] + ["summary"] * len(self.snapshots(agent)))
                end, of = self.ended(run), self.ledger(run)
                self.assertEqual(len(of), most)
                self.assertEqual((end["tokens_in"], end["tokens_out"]), (sum(u["tokens_in"] for u in of), sum(u["tokens_out"] for u in of)))
                on = self.post("saves-memory and on", "talk", agent=agent)
                self.assertEqual(self.ended(on)["result"], "completed")

    def test_one_that_runs_share(self):
        agent = self.agent()
        for i in range(4):
            self.assertEqual(self.ended(self.ask(f"fact-{i} " + "and so on " * 20, agent, "talk"))["result"], "completed")
        before, spent = self.history(agent), self.put("/v1/budgets", scope="tenant", period="day", calls=10 ** 9)["budgets"][0]["used"]
        for more, result in ((0, "failed"), (1, "completed")):
            self.put("/v1/budgets", scope="tenant", period="day", calls=spent["calls"] + more)
            wait_for(lambda: self.budgets()[0]["calls"] == spent["calls"] + more)
            status, _, job = self.node.post(f"/v1/agents/{agent}/sessions/talk/compact", {"keepRecentMessages": 2})
            end = self.ended(job["runId"])
            self.assertEqual(end["result"], result, end)
            if not more:
                self.fails(job["runId"], "budget_calls", "the tenant's daily budget", "it begins anew at")
                self.assertEqual((self.history(agent), self.snapshots(agent), self.ledger(job["runId"])), (before, [], []))
        self.assertEqual(self.snapshots(agent), ["asked"])
        (row,), (b,) = self.ledger(job["runId"]), self.budgets()
        self.assertEqual((b["used"]["calls"], b["reserved"]["calls"]), (spent["calls"] + 1, 0))
        self.assertEqual(b["used"]["tokens"] - spent["tokens"], row["tokens_in"] + row["tokens_out"])


class Prices(WithMoney):
    def test_cost_of_a_run(self):
        self.price(input=2000001, output=10000000)
        run = self.ask("hello", self.agent(model=PRICED))
        (u,) = self.ledger(run)
        cost = -(-(u["tokens_in"] * 2000001 + u["tokens_out"] * 10000000) // 1000000)
        self.assertEqual(u["cost_micros"], cost)
        shown = self.get(f"/v1/runs/{run}")["usage"]
        self.assertEqual((shown["costMicros"], shown["modelCalls"], shown["unpricedCalls"], shown["inputTokens"], shown["outputTokens"]),
                         (cost, 1, 0, u["tokens_in"], u["tokens_out"]))
        self.assertGreater(shown["wallMs"], 0)

    def test_what_is_not_known_is_not_nothing(self):
        agent = self.agent(model=DEAR)
        run = self.ask("hello", agent)
        self.assertIsNone(self.ledger(run)[0]["cost_micros"])
        shown = self.get(f"/v1/runs/{run}")["usage"]
        self.assertEqual((shown["costMicros"], shown["unpricedCalls"]), (None, 1))
        (group,) = self.get(f"/v1/usage?groupBy=model&agent={agent}")["groups"]
        self.assertEqual((group["key"], group["costMicros"], group["unpricedCalls"], group["calls"]), (DEAR, None, 1, 1))
        self.price(DEAR)
        self.ask("hello", agent)
        (group,) = self.get(f"/v1/usage?groupBy=model&agent={agent}")["groups"]
        self.assertGreater(group["costMicros"], 0)
        self.assertEqual((group["unpricedCalls"], group["calls"]), (1, 2))
        self.node.request("PUT", "/v1/prices", {"provider": "openai", "model": "fake-dear"})

    def test_the_platforms_and_the_tenants(self):
        n, model = self.node, "openai/fake-both"
        agent = self.agent(model=model)
        p = n.ctl("price", "set", "openai/fake-b*", "--in", "1000000", "--out", "0")
        self.assertEqual(p.returncode, FINE, p.stderr)
        (u,) = self.ledger(self.ask("hello", agent))
        self.assertEqual(u["cost_micros"], u["tokens_in"])
        self.price(model, input=0, output=1000000)
        (u,) = self.ledger(self.ask("hello", agent))
        self.assertEqual(u["cost_micros"], u["tokens_out"])
        self.assertIn("fake-b*", n.ctl("price", "list").stdout)
        self.assertEqual(n.ctl("price", "clear", "openai/fake-b*").returncode, FINE)
        self.assertEqual(n.ctl("price", "clear", "openai/fake-b*").returncode, ABSENT)
        self.assertEqual(n.ctl("price", "clear", model, "--tenant", "default").returncode, FINE)
        (u,) = self.ledger(self.ask("hello", agent))
        self.assertIsNone(u["cost_micros"])


class Api(WithMoney):
    def wrong(self, method, path, body, param):
        status, _, answer = self.node.request(method, path, body)
        self.assertEqual((status, answer["error"]["param"]), (400, param), answer)

    def test_bad_requests(self):
        for query, param in (("from=yesterday", "from"), ("to=2026-02-30", "to"), ("groupBy=hour", "groupBy"), ("limit=0", "limit"),
                             ("limit=201", "limit"), ("from=2026-01-02&to=2026-01-01", "to"), ("from=2020-01-01&to=2026-01-01", "from"),
                             ("groupBy=run&after=x", "after"), ("groupBy=user&after=%00", "after"), ("agent=", "agent"), ("day=1", "day")):
            self.wrong("GET", f"/v1/usage?{query}", None, param)
        for body, param in (({"scope": "tenant"}, "period"), ({"period": "day"}, "scope"), ({"scope": "node", "period": "day"}, "scope"),
                            ({"scope": "tenant", "period": "week"}, "period"), ({"scope": "tenant", "period": "day", "tokens": 0}, "tokens"),
                            ({"scope": "tenant", "period": "day", "tokens": 1.5}, "tokens"), ({"scope": "user", "period": "day", "calls": 1}, "id"),
                            ({"scope": "agent", "period": "day", "calls": 1, "id": "main"}, "id"),
                            ({"scope": "tenant", "id": "x", "period": "day", "calls": 1}, "id"), ({"scope": "tenant", "period": "day", "cents": 1}, "cents")):
            self.wrong("PUT", "/v1/budgets", body, param)
        self.wrong("PUT", "/v1/agents/main/budget", {"period": "day", "scope": "agent", "calls": 1}, "scope")
        for body, param in (({"provider": "Open AI", "model": "x", "input": 1, "output": 1}, "provider"),
                            ({"provider": "openai", "model": "*x", "input": 1, "output": 1}, "model"),
                            ({"provider": "openai", "model": "x", "input": 1}, "input"), ({"provider": "openai", "model": "x", "input": -1, "output": 1}, "input")):
            self.wrong("PUT", "/v1/prices", body, param)
        for method, path, body in (("PUT", "/v1/budgets", {"scope": "tenant", "period": "total"}), ("GET", "/v1/agents/nobody/budget", None),
                                   ("PUT", "/v1/budgets", {"scope": "agent", "period": "total", "calls": 1, "id": str(uuid.uuid4())}),
                                   ("PUT", "/v1/prices", {"provider": "openai", "model": "nobody-has-it"}), ("GET", "/v1/usage?agent=nobody", None)):
            status, _, answer = self.node.request(method, path, body)
            self.assertIn((status, answer["error"]["code"]), ((404, "not_found"),), answer)

    def test_a_change_replaces_the_version_that_it_names(self):
        lists = {"/v1/budgets": {"scope": "tenant", "period": "total"}, "/v1/agents/main/budget": {"period": "month"},
                 "/v1/prices": {"provider": "openai", "model": "fake-tagged"}}
        for path, one in lists.items():
            def put(tag, n):
                numbers = {"input": n, "output": n} if path == "/v1/prices" else {"calls": 1000 + n}
                status, head, answer = self.node.request("PUT", path, {**one, **numbers}, headers={"If-Match": tag})
                return status, head.get("etag"), answer
            _, head, _ = self.node.get(path)
            self.assertEqual(put(head["etag"], 1)[:2], (200, self.node.get(path)[1]["etag"]))
            status, _, answer = put(head["etag"], 2)
            self.assertEqual((status, answer["error"]["param"]), (412, "If-Match"), path)
            self.assertNotIn("1002", str(self.get(path)))
            self.assertEqual(put("*", 3)[0], 200)
            self.put(path, **one)  # away with it

    def test_usage_by_everything(self):
        agent, session = self.agent(), uuid.uuid4().hex
        runs = [self.ended(self.post("hello", session, agent=agent, user="zoe")) for _ in range(3)]
        tin, tout = sum(r["tokens_in"] for r in runs), sum(r["tokens_out"] for r in runs)
        for by, key in (("day", None), ("agent", runs[0]["agent_id"]), ("session", runs[0]["session_id"]), ("model", None), ("user", "zoe")):
            answer = self.get(f"/v1/usage?groupBy={by}&agent={agent}")
            (group,) = answer["groups"]
            self.assertEqual((group["inputTokens"], group["outputTokens"], group["calls"]), (tin, tout, 3))
            self.assertEqual(group["key"], key or group["key"])
            self.assertEqual(answer["total"]["inputTokens"], tin)
        seen, after = [], ""
        while after is not None:
            page = self.get(f"/v1/usage?groupBy=run&limit=1&agent={agent}" + (f"&after={after}" if after else ""))
            seen += [g["key"] for g in page["groups"]]
            after = page["next"]
        self.assertEqual(sorted(seen), sorted(r["run_id"] for r in runs))

    def test_the_command_line(self):
        n, agent = self.node, self.agent()

        def ctl(*args):
            p = n.ctl(*args)
            return p.returncode, p.stdout + p.stderr
        self.ask("hello", agent)
        self.assertEqual(ctl("budget", "set", "day", "--tenant", "default", "--agent", agent, "--calls", "1")[0], FINE)
        self.fails(self.ask("hello", agent), "budget_calls", "the agent's daily")
        status, out = ctl("budget", "list", "--tenant", "default")
        self.assertEqual(status, FINE)
        self.assertRegex(out, rf"agent +{agent} .* day .* 1 +1 ")
        self.assertEqual(ctl("budget", "clear", "day", "--tenant", "default", "--agent", agent)[0], FINE)
        self.assertEqual(ctl("budget", "clear", "day", "--tenant", "default", "--agent", agent)[0], ABSENT)
        self.assertEqual(self.ended(self.ask("hello", agent))["result"], "completed")
        status, out = ctl("usage", "--tenant", "default", "--agent", agent, "--by", "model", "--json")
        self.assertEqual(status, FINE, out)
        self.assertEqual(json.loads(out)["total"]["calls"], 2)
        self.assertIn("model calls", ctl("usage", "--tenant", "default")[1])
        for args, status, words in ((("budget", "set", "day", "--tenant", "default"), USAGE, "--tokens"), (("budget", "set", "week"), USAGE, "day|month|total"),
                                    (("budget", "set", "day", "--tenant", "default", "--agent", "nobody", "--calls", "1"), ABSENT, "no such budget"),
                                    (("budget", "set", "day", "--tenant", "default", "--agent", "a", "--user", "b", "--calls", "1"), USAGE, "not of both"),
                                    (("price", "set", "gpt", "--in", "1", "--out", "1"), USAGE, "PROVIDER/NAME"), (("price", "set", "a/b", "--in", "1"), USAGE, "--out"),
                                    (("usage", "--tenant", "default", "--from", "2026-99-99"), USAGE, "--from"), (("usage",), USAGE, "--tenant"),
                                    (("usage", "--tenant", "default", "--agent", "nobody"), ABSENT, "no such agent")):
            got, out = ctl(*args)
            self.assertEqual(got, status, (args, out))
            self.assertIn(words, out)


class Ledger(WithMoney):
    def test_what_the_provider_told(self):
        """Plain answers, tools, tries that failed before, streams that broke off, cancels: the sum over the runs is what the provider
        told, to the token; what it had not told by the time its stream broke is nobody's."""
        self.node.model_stats(reset=True)
        cancelled = self.asked("[hang] never", uuid.uuid4().hex)
        self.cancel(cancelled)
        runs = [self.post(m, uuid.uuid4().hex) for m in (
            "hello", "[chunks 7] seven", "[tool memory_get {}] look", "[status 500 1] again", "[cut 2 1] broken")]
        self.assertEqual([self.ended(r)["result"] for r in runs], ["completed"] * 5, [self.ended(r)["error"] for r in runs])
        self.assertEqual((self.ended(cancelled)["result"], self.ledger(cancelled)), ("cancelled", []))
        told = self.node.model_stats()
        rows = [u for r in runs for u in self.ledger(r)]
        self.assertEqual((sum(u["tokens_in"] for u in rows), sum(u["tokens_out"] for u in rows)), (told["told_in"], told["told_out"]))
        for r in runs:
            end, of = self.ended(r), self.ledger(r)
            self.assertEqual((end["tokens_in"], end["tokens_out"]), (sum(u["tokens_in"] for u in of), sum(u["tokens_out"] for u in of)))


class Told(WithMoney):
    """Of a provider that tells of the question first."""
    model = {}
    alone = True

    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="offline", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start_fake_for_all()
        cls.node.start()

    def test_a_run_that_was_put_off(self):
        """Its tries before and after stand in the ledger, each once, and nothing of it is reserved while it waits."""
        self.put("/v1/budgets", scope="tenant", period="day", tokens=10 ** 9)
        before = self.budgets()[0]["used"]["tokens"]
        run = self.post("[cut 2 4] hello", uuid.uuid4().hex, agent=self.agent(model="anthropic/claude-haiku-4-5"))
        wait_for(lambda: self.state(run) == "retry_wait")
        first = self.ledger(run)
        (b,) = self.budgets()
        self.assertEqual((b["reserved"]["tokens"], b["reserved"]["calls"]), (0, 0))
        self.assertEqual(b["used"]["tokens"] - before, sum(u["tokens_in"] + u["tokens_out"] for u in first))
        end = self.ended(run)
        self.assertEqual((end["result"], end["attempts"] > 1), ("completed", True))
        rows = self.ledger(run)
        self.assertEqual(rows[:len(first)], first)
        self.assertEqual([(u["step"], u["call_no"]) for u in rows], [(1, i) for i in range(5)])
        self.assertEqual((end["tokens_in"], end["tokens_out"]), (sum(u["tokens_in"] for u in rows), sum(u["tokens_out"] for u in rows)))
        (b,) = self.budgets()
        self.assertEqual((b["used"]["tokens"] - before, b["reserved"]["tokens"]), (end["tokens_in"] + end["tokens_out"], 0))
        self.assertEqual(self.get(f"/v1/runs/{run}")["usage"]["modelCalls"], 5)

    def test_a_cooldown_that_puts_off_costs_nothing(self):
        """Of a model that is not asked because it refused another run, a run has no row and holds nothing."""
        self.put("/v1/budgets", scope="tenant", period="day", tokens=10 ** 9)
        agent = self.agent(model="anthropic/claude-cooling")
        refused = self.post("[status 429 1][retry-after 9] hello", uuid.uuid4().hex, agent=agent)
        wait_for(lambda: self.state(refused) == "retry_wait")
        behind = self.post("me, too", uuid.uuid4().hex, agent=agent)
        wait_for(lambda: self.state(behind) == "retry_wait")
        self.assertEqual((self.ledger(refused), self.ledger(behind), self.budgets()[0]["reserved"]["calls"]), ([], [], 0))
        for run in (refused, behind):
            self.assertEqual(self.ended(run)["result"], "completed")
            self.assertEqual([(u["step"], u["call_no"]) for u in self.ledger(run)], [(1, 0)])

    def test_what_a_broken_stream_had_told(self):
        """A provider that tells of the question first: the try that broke off has a row, the one that was answered has its own, in one commit."""
        run = self.ask("[cut 2 1] hello", self.agent(model="anthropic/claude-haiku-4-5"))
        self.assertEqual(self.ended(run)["result"], "completed")
        broken, whole = self.ledger(run)
        self.assertEqual([(u["step"], u["call_no"]) for u in (broken, whole)], [(1, 0), (1, 1)])
        self.assertEqual(broken["tokens_in"], whole["tokens_in"])
        for u in (broken, whole):
            new = u["tokens_in"] - u["tokens_cached"] - u["tokens_cache_write"]
            micros = new * 1000000 + u["tokens_cached"] * 100000 + u["tokens_cache_write"] * 1250000 + u["tokens_out"] * 5000000
            self.assertEqual(u["cost_micros"], -(-micros // 1000000))
        shown = self.get(f"/v1/runs/{run}")["usage"]
        self.assertEqual((shown["modelCalls"], shown["costMicros"]), (2, broken["cost_micros"] + whole["cost_micros"]))
