# SPDX-License-Identifier: Apache-2.0
"""Builder mode: a conversation that makes and changes agents, by the door's own checks; who may have one, and what a death amid it leaves."""
import json
import unittest
import uuid

from node import wait_for
from test_instants import DIE, Instants
from test_journal_sql import Session

KEYS = ("run", "read", "write")


class Builder(Instants):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.call_of("PATCH", "/v1/agents/main", {"tools": None})
        cls.call_of("PUT", "/v1/agents/main/policy", {"profile": "full"})

    @classmethod
    def call_of(cls, method, path, body=None, want=200, token=None, **kw):
        status, _, answer = cls.node.request(method, path, body, token=token, **kw)
        if status != want:
            raise AssertionError(f"{method} {path}: {status} {answer}")
        return answer

    def mint(self, *scopes):
        return self.call_of("POST", "/v1/tokens", {"scopes": list(scopes)}, want=201)["token"]

    def say(self, message, session, mode="builder", want=202, token=None, agent="main", **members):
        body = {"message": message, "sessionKey": session, **({"mode": mode} if mode else {}), **members}
        return self.call_of("POST", f"/v1/agents/{agent}/runs", body, want=want, token=token)

    def results(self, run):
        end = self.node.wait(run)
        self.assertEqual(end["status"], "ok", (end, self.node.tail()))
        return self.node.rows(f"SELECT tool, state, output, error_class FROM tb.tool_executions WHERE run_id = '{run}' ORDER BY step, call_no")

    def made(self, tool, arguments, session, mode="builder", **kw):
        run = self.say(f"[tool {tool} {json.dumps(arguments)}] please", session, mode=mode, **kw)["runId"]
        (row,) = self.results(run)
        self.assertEqual(row["tool"], tool)
        return run, row

    def test_a_conversation_builds_an_agent(self):
        run, row = self.made("agent_create", {"name": "clerk", "config": {"systemPrompt": "You count.", "temperature": 0.5}}, "build")
        self.assertEqual((row["state"], row["output"]["revision"], row["output"]["agent"]["name"]), ("completed", 1, "clerk"), row)
        agent = self.call_of("GET", "/v1/agents/clerk")  # at once
        self.assertEqual((agent["systemPrompt"], agent["revision"], agent["updatedBy"]), ("You count.", 1, f"run:{run}"))
        self.assertEqual(self.call_of("GET", "/v1/agents/clerk/policy")["policy"]["profile"], "coding")
        changed, row = self.made("agent_update", {"agent": "clerk", "revision": 1, "name": "teller",
                                                  "config": {"temperature": None, "systemPrompt": "You tell."}}, "build")
        self.assertEqual((row["state"], row["output"]["revision"]), ("completed", 2), row)
        agent = self.call_of("GET", "/v1/agents/teller")
        self.assertEqual((agent["systemPrompt"], agent["revision"], "temperature" in agent), ("You tell.", 2, False))
        self.call_of("GET", "/v1/agents/clerk", want=404)
        set_by, row = self.made("policy_set", {"agent": "teller", "policy": {"profile": "minimal", "denied": ["memory_get"]}}, "build")
        self.assertEqual(row["state"], "completed", row)
        policy = self.call_of("GET", "/v1/agents/teller/policy")
        self.assertEqual((policy["policy"]["profile"], policy["policy"]["denied"], policy["version"]), ("minimal", ["memory_get"], row["output"]["version"]))
        audit = self.node.rows("SELECT actor, action FROM tb.audit_log WHERE actor LIKE 'run:%' ORDER BY at")
        self.assertEqual([(a["actor"], a["action"]) for a in audit[-3:]],
                         [(f"run:{run}", "agent.create"), (f"run:{changed}", "agent.change"), (f"run:{set_by}", "policy.agent")])
        end = self.node.wait(self.say("hello", "with it", mode="runtime", agent="teller")["runId"])
        self.assertEqual(end["status"], "ok")

    def test_what_is_wrong_is_said_and_nothing_is_made(self):
        before = self.node.sql("SELECT count(*) FROM tb.agent_revisions")
        for tool, arguments, words in (
                ("agent_create", {"name": "a/b", "config": {}}, ("name",)),
                ("agent_create", {"name": "main", "config": {}}, ("another agent has that name",)),
                ("agent_create", {"name": "x1", "config": {"temperature": 9}}, ("temperature",)),
                ("agent_create", {"name": "x1", "config": {"shoes": 2}}, ("shoes",)),
                ("agent_create", {"name": "x1", "config": {}, "shoes": 2}, ("shoes",)),
                ("agent_update", {"agent": "nobody", "config": {}}, ("no such agent",)),
                ("agent_update", {"agent": "main", "config": {}, "revision": 4711}, ("version", "stands now")),
                ("policy_set", {"agent": "main", "policy": {"profile": "all"}}, ("profile",)),
                ("policy_set", {"agent": "nobody", "policy": {}}, ("no such agent",))):
            with self.subTest(tool, arguments=arguments):
                _, row = self.made(tool, arguments, "wrong")
                self.assertEqual(row["state"], "error", row)
                for word in words:
                    self.assertIn(word, row["output"]["error"])
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.agent_revisions"), before)

    def test_only_in_builder_mode(self):
        for mode in (None, "runtime"):
            _, row = self.made("agent_create", {"name": "sneaky", "config": {}}, "runtime", mode=mode)
            self.assertIn("mode builder", row["output"]["error"])
            self.assertEqual(row["error_class"], "tool_denied")
        self.call_of("GET", "/v1/agents/sneaky", want=404)
        error = self.say("hello", "neither", mode="wild", want=400)["error"]
        self.assertEqual(error["param"], "mode")
        self.assertEqual(self.say("x", "steered", queueMode="steer", want=400)["error"]["param"], "queueMode")

    def test_who_may(self):
        for scopes in (("run",), ("run", "read")):
            error = self.say("hello", "weak", want=403, token=self.mint(*scopes))["error"]
            self.assertEqual(error["param"], "mode")
            self.assertIn("write", error["message"])
        self.node.wait(self.say("hello", "weak", token=self.mint(*KEYS))["runId"])
        self.node.wait(self.say("hello", "weak", mode="runtime", token=self.mint("run"))["runId"])

    def policy(self, **document):
        self.addCleanup(self.call_of, "PUT", "/v1/agents/main/policy", {"profile": "full"})
        self.call_of("PUT", "/v1/agents/main/policy", document)

    def denied(self, name, error="tool_denied"):
        _, row = self.made("agent_create", {"name": name, "config": {}}, "denied")
        self.assertEqual(row["error_class"], error, row)
        self.call_of("GET", f"/v1/agents/{name}", want=404)

    def test_the_policy_counts(self):
        self.policy(profile="full", denied=["group:builder"])
        self.denied("denied")

    def test_a_list_counts(self):
        """What is allowed by name beyond a profile, and nothing else."""
        self.policy(profile="minimal", allowed=["agent_update"])
        self.denied("unlisted")
        self.made("agent_update", {"agent": "main", "config": {}}, "denied")
        verdicts = {t["name"]: t for t in self.call_of("GET", "/v1/agents/main/policy/explain")["tools"]}
        self.assertEqual([(verdicts[n]["verdict"], verdicts[n]["mode"]) for n in ("agent_create", "agent_update")], [("deny", "builder"), ("allow", "builder")])
        self.assertNotIn("mode", verdicts["memory_get"])
        self.policy(profile="full")
        revision = self.call_of("PATCH", "/v1/agents/main", {"tools": ["agent_update"]})["revision"]
        self.addCleanup(self.call_of, "PATCH", "/v1/agents/main", {"tools": None})
        self.denied("unlisted", "tool_unknown")
        self.assertEqual(self.call_of("GET", "/v1/agents/main")["revision"], revision)

    def test_the_ceiling_counts(self):
        self.addCleanup(self.call_of, "PUT", "/v1/policy/ceiling", {})
        self.call_of("PUT", "/v1/policy/ceiling", {"denied": ["agent_create"]})
        self.denied("capped")

    def test_a_person_is_asked(self):
        self.policy(profile="full", ask=["group:builder"])
        for decision, state in (("deny", "error"), ("approve", "completed")):
            run = self.say(f'[tool agent_create {{"name": "asked", "config": {{}}}}] please', f"asked {decision}")["runId"]
            (asked,) = wait_for(lambda: self.call_of("GET", f"/v1/approvals?run={run}&state=pending")["approvals"])
            self.assertEqual(self.call_of("GET", f"/v1/runs/{run}")["mode"], "builder")
            self.call_of("GET", "/v1/agents/asked", want=404)
            self.call_of("POST", f"/v1/approvals/{asked['id']}", {"decision": decision})
            (row,) = self.results(run)
            self.assertEqual(row["state"], state, row)
        self.call_of("GET", "/v1/agents/asked")

    def test_who_may_not_write_answers_nothing_that_it_asks(self):
        """Neither grants a call of it, nor has words in its ear."""
        self.policy(profile="full", ask=["group:builder"])
        weak = self.mint("run", "read")
        run = self.say('[tool agent_create {"name": "granted", "config": {}}] please', "granted")["runId"]
        (asked,) = wait_for(lambda: self.call_of("GET", f"/v1/approvals?run={run}&state=pending")["approvals"])
        for path in (f"/v1/approvals/{asked['id']}", f"/v1/runs/{run}/approve"):
            for body in ({"decision": "approve"}, {"decision": "deny", "message": "make another one"}):
                self.assertIn("write", self.call_of("POST", path, body, want=403, token=weak)["error"]["message"])
        self.call_of("POST", f"/v1/approvals/{asked['id']}", {"decision": "approve"})
        self.assertEqual(self.results(run)[0]["state"], "completed")

    def test_a_user_in_another_ones_session(self):
        """The message stands where that user reads nothing; the run is the user's, and of builder mode."""
        self.node.wait(self.say("hello", "shared", mode=None)["runId"])
        run = self.say("[delay 60000] hello", "shared", user="ann")["runId"]
        wait_for(lambda: self.node.sql(f"SELECT state FROM tb.agent_run_queue WHERE run_id = '{run}'") == "running")
        ann = self.call_of("POST", "/v1/tokens", {"scopes": ["run", "read"], "user": "ann"}, want=201)["token"]
        self.call_of("POST", f"/v1/runs/{run}/cancel", want=202, token=ann)
        wait_for(lambda: self.call_of("GET", f"/v1/runs/{run}", token=ann)["status"] == "cancelled")
        self.call_of("POST", f"/v1/runs/{run}/retry", want=403, token=ann)

    def test_no_agent_of_another_tenant(self):
        id = str(uuid.uuid4())
        self.node.sql("INSERT INTO tb.tenants (tenant_id, slug) VALUES (77, 'neighbours');"
                      f"INSERT INTO tb.agents (tenant_id, agent_id, name, revision) VALUES (77, '{id}', 'theirs', 1);"
                      "INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by) SELECT 77, agent_id, 1, '{}', 'test'"
                      " FROM tb.agents WHERE tenant_id = 77")
        for word in (id, "theirs"):
            for tool, more in (("agent_update", {"config": {"systemPrompt": "mine"}}), ("policy_set", {"policy": {"profile": "full"}})):
                _, row = self.made(tool, {"agent": word, **more}, "neighbours")
                self.assertIn("no such agent", row["output"]["error"])
        self.assertEqual(self.node.sql("SELECT revision FROM tb.agents WHERE tenant_id = 77"), "1")

    def test_an_end_user_whose_token_may_write(self):
        """Who may change agents by HTTP may have them changed; nobody's rights grow."""
        token = self.call_of("POST", "/v1/tokens", {"scopes": ["run", "read", "write"], "user": "ann"}, want=201)["token"]
        self.call_of("POST", "/v1/agents", {"name": "by-http"}, want=201, token=token)
        self.made("agent_create", {"name": "by-builder", "config": {}}, "ann", token=token)
        weak = self.call_of("POST", "/v1/tokens", {"scopes": ["run", "read"], "user": "bob"}, want=201)["token"]
        self.say("hello", "bob", want=403, token=weak)

    def test_a_run_tells_its_mode_and_is_retried_by_who_may(self):
        run, _ = self.made("agent_update", {"agent": "main", "config": {}}, "told")
        self.assertEqual(self.call_of("GET", f"/v1/runs/{run}")["mode"], "builder")
        plain = self.node.wait(self.say("hello", "told", mode=None)["runId"])["runId"]
        self.assertNotIn("mode", self.call_of("GET", f"/v1/runs/{plain}"))
        waiting = self.say("hello", "later", delayMs=3600000)["runId"]
        self.assertEqual(self.call_of("GET", f"/v1/runs/{waiting}")["mode"], "builder")
        running = self.say("[delay 60000] hello", "later too")["runId"]
        wait_for(lambda: self.node.sql(f"SELECT state FROM tb.agent_run_queue WHERE run_id = '{running}'") == "running")
        weak = self.mint("run", "read")
        for cancelled, want in ((waiting, 200), (running, 202)):
            self.call_of("POST", f"/v1/runs/{cancelled}/cancel", want=want)
            wait_for(lambda: self.call_of("GET", f"/v1/runs/{cancelled}")["status"] == "cancelled")
            self.assertEqual(self.call_of("GET", f"/v1/runs/{cancelled}")["mode"], "builder")
            self.assertIn("write", self.call_of("POST", f"/v1/runs/{cancelled}/retry", want=403, token=weak)["error"]["message"])
        again = self.call_of("POST", f"/v1/runs/{waiting}/retry", want=202)["runId"]
        self.assertEqual(self.node.wait(again)["status"], "ok")
        self.assertEqual(self.call_of("GET", f"/v1/runs/{again}")["mode"], "builder")

    def test_nobody_comes_in_from_the_side(self):
        """Who may not write steers into the run, or has its message answered again: no agent is changed."""
        weak = self.mint("run", "read")
        run = self.say('[tool memory_get {}][delay 3000] wait', "side")["runId"]
        wait_for(lambda: self.node.sql(f"SELECT state FROM tb.agent_run_queue WHERE run_id = '{run}'") == "running")
        other = self.say('[tool agent_create {"name":"stolen","config":{}}] x', "side", mode=None, token=weak, queueMode="steer")["runId"]
        for r in (run, other):
            self.node.wait(r)
        self.call_of("GET", "/v1/agents/stolen", want=404)
        self.made("agent_create", {"name": "again", "config": {}}, "again")
        self.call_of("DELETE", "/v1/agents/again")
        session = self.call_of("POST", "/v1/agents/main/sessions", {"sessionKey": "again"})["sessionId"]
        run = self.call_of("POST", f"/v1/sessions/{session}/regenerate", want=202, token=weak)["runId"]
        (row,) = self.results(run)
        self.assertEqual(row["error_class"], "tool_denied")
        self.call_of("GET", "/v1/agents/again", want=404)

    def test_the_database_looks_again(self):
        """A worker with the run's own capability makes no agent in a run of runtime mode; in one of builder mode it does."""
        for mode, answer in (("runtime", None), ("builder", "done")):
            run = self.say("[delay 3000] wait", f"looks {mode}", mode=mode)["runId"]
            wait_for(lambda: self.node.sql(f"SELECT state FROM tb.agent_run_queue WHERE run_id = '{run}'") == "running")
            fence = self.node.sql(f"SELECT fence FROM tb.agent_run_queue WHERE run_id = '{run}'")
            # another capability for the run, of which the text is known, as long as this transaction lives
            sql = ("BEGIN; UPDATE tb.worker_caps c SET cap_sha256 = sha256('known') FROM tb.agent_run_queue q"
                   f" WHERE q.cap_sha256 = c.cap_sha256 AND q.run_id = '{run}';"
                   f" UPDATE tb.agent_run_queue SET cap_sha256 = sha256('known') WHERE run_id = '{run}';"
                   f" SELECT outcome FROM tb.builder_agent('known', '{run}', {fence}, 'k', 'main', NULL, '{{\"temperature\": 1}}', NULL, NULL, NULL); ROLLBACK")
            if answer:
                self.assertEqual(self.node.cluster.psql("-c", sql).stdout.strip(), answer)
            else:
                with self.assertRaisesRegex(AssertionError, "not a live run in builder mode"):
                    self.node.cluster.psql("-c", sql)
            self.node.wait(run)

    def test_another_transaction_has_the_agent(self):
        """It is waited for, on a connection of which nobody else's reads have need; the call's time bounds that."""
        self.call_of("POST", "/v1/agents", {"name": "held"}, want=201)
        holder = Session(self.node.cluster, f"host={self.node.cluster.socket} dbname=terabits user=postgres")
        self.addCleanup(holder.close)
        update = f'[tool agent_update {json.dumps({"agent": "held", "config": {"systemPrompt": "new"}})}] please'
        hold = lambda: holder.ask("BEGIN; SELECT FROM tb.agents WHERE name = 'held' FOR UPDATE;")
        hold()
        run = self.say(update, "held")["runId"]
        wait_for(lambda: self.node.sql(f"SELECT state FROM tb.tool_executions WHERE run_id = '{run}'") == "running")
        self.node.wait(self.say("hello", "beside it", mode=None)["runId"])
        holder.ask("COMMIT;")
        (row,) = self.results(run)
        self.assertEqual((row["state"], row["output"]["revision"]), ("completed", 2), row)
        hold()
        (row,) = self.results(self.say(update.replace("new", "newer"), "held")["runId"])
        holder.ask("ROLLBACK;")
        self.assertEqual(row["state"], "error")
        self.assertIn("another transaction", row["output"]["error"])
        self.assertEqual(self.call_of("GET", "/v1/agents/held")["revision"], 2)

    def test_a_worker_dies_before_it_says_what_it_did(self):
        point = "worker.tool.done"
        for tool, arguments in (("agent_create", {"name": "once", "config": {"systemPrompt": "1"}}),
                                ("agent_update", {"agent": "once", "config": {"systemPrompt": "2"}}),
                                ("policy_set", {"agent": "once", "policy": {"profile": "minimal"}})):
            with self.subTest(tool):
                hits = self.faults.hits(point)
                self.faults.arm(point, DIE)
                run = self.say(f"[tool {tool} {json.dumps(arguments)}] please", "dies")["runId"]
                wait_for(lambda: self.faults.hits(point) > hits)
                (row,) = self.results(run)
                self.assertEqual(row["state"], "completed", row)
                self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.audit_log WHERE actor = 'run:{run}'"), "1")
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.agent_revisions r JOIN tb.agents a USING (tenant_id, agent_id) WHERE a.name = 'once'"), "2")


if __name__ == "__main__":
    unittest.main()
