# SPDX-License-Identifier: Apache-2.0
"""The tool policy through the real processes: what is refused, when a change holds, who may change it, what is written down."""
import json
import time
import unicodedata
import unittest
import urllib.parse
import uuid

from node import wait_for
from test_queue_modes import WithQueue

together = True  # the classes share a node: one process

FINE, FAILED, USAGE, ABSENT = range(4)
STORE = '[tool memory_store {"text":"kept"}] '


class WithPolicy(WithQueue):
    workers = 2
    made = 0

    def path(self, agent, key=None):
        where = f"/v1/agents/{agent}"
        return (where if key is None else f"{where}/sessions/{urllib.parse.quote(key, safe='')}") + "/policy"

    def put(self, path, document, version=None, token=None, method="PUT"):
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return self.node.request(method, path, document, token=token, headers=headers)

    def set(self, agent, key=None, **document):
        status, head, answer = self.put(self.path(agent, key), document)
        self.assertEqual(status, 200, answer)
        self.assertEqual(head["etag"], f'"{answer["version"]}"')
        return answer["version"]

    def ceiling(self, **document):
        status, _, answer = self.put("/v1/policy/ceiling", document)
        self.assertEqual(status, 200, answer)

    def explain(self, agent, tool, **query):
        status, _, answer = self.node.get(f"{self.path(agent)}/explain?{urllib.parse.urlencode({'tool': tool, **query}, quote_via=urllib.parse.quote)}")
        self.assertEqual(status, 200, answer)
        self.assertEqual(len(answer["tools"]), 1)
        return answer["tools"][0]

    def agent(self, **config):
        """One that has something to read in its memory."""
        name = super().agent(**config)
        self.assertEqual(self.do(STORE, name)[0]["state"], "completed")
        return name

    def session(self):
        WithPolicy.made += 1
        return f"s{WithPolicy.made}"

    def do(self, message, agent, session=None):
        """The run's rows of tools, once it has ended well."""
        run = self.post(message, session or self.session(), agent=agent)
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        return self.executions(run)

    def executions(self, run):
        return self.node.rows("SELECT tool, state, output, error_class, policy_version FROM tb.tool_executions"
                              f" WHERE run_id = '{run}' ORDER BY step, call_no")

    def tools(self):
        status, _, answer = self.node.get("/v1/tools")
        self.assertEqual(status, 200)
        return answer["tools"]

    def token(self, tenant, scopes):
        id, secret = uuid.uuid4(), uuid.uuid4().hex
        self.node.sql(f"INSERT INTO tb.tenants (tenant_id, slug) VALUES ({tenant}, 'tenant{tenant}') ON CONFLICT DO NOTHING;"
                      "INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes)"
                      f" VALUES ({tenant}, '{id}', sha256('{secret}'), '{{{scopes}}}')")
        return f"tb1.{tenant}.{id}.{secret}"


class Refused(WithPolicy):
    # Arguments that would do: only the policy stands between.
    ARGUMENTS = {"memory_store": {"text": "x"}, "memory_get": {}, "read": {"path": "a"}, "write": {"path": "a", "content": "x"},
                 "edit": {"path": "a", "old_text": "x", "new_text": "y"}, "list_directory": {}, "bash": {"script": "echo ran >ran"},
                 "exec": {"argv": ["/bin/true"]}, "process": {"action": "list"}, "ledger_once": {"line": "x"}, "ledger_keyed": {"line": "x"},
                 "agent_create": {"name": "made", "config": {}}, "agent_update": {"agent": "main", "config": {"temperature": 1}},
                 "policy_set": {"agent": "main", "policy": {"profile": "full"}}}

    def test_every_tool_by_every_name(self):
        """Denied by each profile that lacks it, by name, by group, by `*`: under its name, another case, with blanks, prefixed, in
        letters that look the same."""
        agent = self.agent()
        names = [t["name"] for t in self.tools()]
        self.assertEqual(set(names), set(self.ARGUMENTS))
        for document in ({"profile": "full", "denied": ["*"]}, {"profile": "minimal"}, {"profile": "coding"}, {"profile": "messaging"},
                         {"profile": "full", "allowed": ["memory_get"]}, {"profile": "full", "denied": ["Group:FileSystem", "BASH"]}):
            version = self.set(agent, **document)
            asked = {n: self.explain(agent, n)["verdict"] for n in names}
            denied = [n for n in names if asked[n] == "deny"]
            self.assertTrue(denied, document)
            spelled = [s for n in denied for s in (n, n.upper(), f"{n}\v", f"\u00a0{n}", f"functions.{n}", f"mcp__{n}",
                                                  f"{n}\u200b", f"{n[:-1]}{chr(ord(n[-1]) + 0xfee0)}")]
            self.assert_none_ran(agent, document, spelled, len(denied), version)

    def assert_none_ran(self, agent, document, spelled, count, version):
        """In turns of ten calls, for there are no more in one."""
        rows = []
        for i in range(0, len(spelled), 10):
            rows += self.do("".join(f"[tool {s} {self.arguments(s)}]" for s in spelled[i:i + 10]) + "go", agent)
        self.assertEqual([r["tool"] for r in rows], spelled, document)
        self.assertEqual({r["state"] for r in rows}, {"error"}, document)
        # of what is no tool no policy was asked
        self.assertEqual({r["policy_version"] for r in rows if "is not allowed" in r["output"]["error"]}, {version}, document)
        self.assertEqual({r["policy_version"] for r in rows if "there is no tool" in r["output"]["error"]}, {0}, document)
        said = [r["output"]["error"] for r in rows]
        self.assertTrue(all("is not allowed" in s or "there is no tool" in s for s in said), said)
        self.assertEqual(sum("is not allowed" in s for s in said), count, said)

    def arguments(self, spelled):
        plain = unicodedata.normalize("NFKC", spelled).lower()
        name = next(n for n in sorted(self.ARGUMENTS, key=len, reverse=True) if n in plain)
        return json.dumps(self.ARGUMENTS[name])

    def test_the_refusal_says_which_word(self):
        agent = self.agent()
        self.set(agent, profile="full", denied=["group:memory"])
        row, = self.do(STORE, agent)
        self.assertIn("'memory_store' is not allowed: the agent's policy denies 'group:memory'", row["output"]["error"])
        self.assertEqual(row["error_class"], "tool_denied")
        why = self.explain(agent, "MEMORY_store")
        self.assertEqual((why["verdict"], why["layer"], why["rule"]), ("deny", "agent", "the agent's policy denies 'group:memory'"))

    def test_what_asks(self):
        agent = self.agent()
        self.set(agent, profile="full", ask=["bash"])
        self.assertEqual(self.explain(agent, "bash")["verdict"], "ask")
        self.assertEqual(self.explain(agent, "exec")["verdict"], "allow")

    def test_a_corrupt_row_refuses_everything(self):
        agent = self.agent()
        self.node.sql("UPDATE tb.agent_tool_policies SET denied = '{memory_st0re}', version = version + 1 WHERE agent_id ="
                      f" (SELECT agent_id FROM tb.agents WHERE name = '{agent}')")
        row, = self.do('[tool memory_get {}] go', agent)
        self.assertIn("there is no tool or group 'memory_st0re'", row["output"]["error"])
        status, _, answer = self.node.get(f"{self.path(agent)}/explain")
        self.assertIn("(agent) cannot be read: denied: there is no tool or group 'memory_st0re'", answer["problem"])
        self.assertEqual({t["verdict"] for t in answer["tools"]}, {"deny"})

    def test_no_row_is_minimal(self):
        agent = self.agent()
        self.node.sql(f"DELETE FROM tb.agent_tool_policies WHERE agent_id = (SELECT agent_id FROM tb.agents WHERE name = '{agent}')")
        self.assertEqual([r["state"] for r in self.do('[tool memory_get {}][tool memory_store {"text":"x"}] go', agent)],
                         ["completed", "error"])
        status, head, answer = self.node.get(self.path(agent))
        self.assertEqual((answer["policy"]["profile"], answer["version"], head["etag"]), ("minimal", 0, '"0"'))

    def test_calls_of_a_turn(self):
        agent = self.agent()
        self.set(agent, profile="full", maxToolCallsPerTurn=2)
        rows = self.do(STORE.strip() * 4 + " go", agent)
        self.assertEqual([r["state"] for r in rows], ["completed"] * 2 + ["error"] * 2)
        self.assertEqual({r["error_class"] for r in rows[2:]}, {"tool_excess"})

    def test_by_which_version(self):
        """A call was allowed, or refused: also where another layer or the number of calls refused it."""
        agent, key = self.agent(tools=["memory_store", "memory_get"]), self.session()
        for document, states in (({}, ["completed"] * 2), ({"denied": ["memory_store"]}, ["error"] * 2),
                                 ({"maxToolCallsPerTurn": 1}, ["completed", "error"])):
            version = self.set(agent, profile="full", **document)
            rows = self.do(STORE.strip() * 2 + " go", agent)
            self.assertEqual([(r["state"], r["policy_version"]) for r in rows], [(s, version) for s in states])
        self.set(agent, key, denied=["memory_get"])
        rows = self.do("[tool memory_get {}][tool bash {}][tool nothing {}] go", agent, key)
        self.assertEqual([(r["error_class"], r["policy_version"]) for r in rows],
                         [("tool_denied", version), ("tool_excess", version), ("tool_excess", version)])
        version = self.set(agent, profile="full")
        rows = self.do("[tool bash {}][tool nothing {}] go", agent)
        self.assertEqual([(r["error_class"], r["policy_version"]) for r in rows], [("tool_unknown", version), ("tool_unknown", 0)])


class Layers(WithPolicy):
    def tearDown(self):
        self.node.sql("DELETE FROM tb.tool_ceilings")
        super().tearDown()

    def test_the_ceiling_binds_every_agent(self):
        one, two = self.agent(), self.agent()
        self.ceiling(denied=["memory_store"], maxToolCallsPerTurn=1)
        for agent in (one, two):
            self.set(agent, profile="full", allowed=["memory_store", "memory_get"])
            rows = self.do(STORE + "go", agent)
            self.assertIn("the tenant's ceiling denies 'memory_store'", rows[0]["output"]["error"])
            rows = self.do('[tool memory_get {}][tool memory_get {}] go', agent)
            self.assertEqual([r["state"] for r in rows], ["completed", "error"])
        self.assertEqual(self.explain(one, "memory_store")["layer"], "ceiling")
        status, _, answer = self.node.get("/v1/policy/ceiling")
        self.assertEqual((answer["policy"], answer["version"]),
                         ({"allowed": ["*"], "denied": ["memory_store"], "maxToolCallsPerTurn": 1}, 1))

    def test_a_session_narrows_and_does_not_widen(self):
        agent, key = self.agent(), "päth/../%2F ?#"
        self.set(agent, profile="full", denied=["bash"])
        self.set(agent, key, denied=["memory_store"])  # it has not begun yet
        self.assertIn("the session's policy denies", self.do(STORE + "1", agent, key)[0]["output"]["error"])
        self.assertEqual(self.do(STORE + "2", agent)[0]["state"], "completed")  # another session
        self.set(agent, key, allowed=["*"])
        self.assertEqual(self.explain(agent, "bash", session=key)["layer"], "agent")
        self.assertEqual(self.explain(agent, "memory_store", session=key)["verdict"], "allow")
        status, _, answer = self.node.get(self.path(agent, key))
        self.assertEqual((answer["policy"], answer["parent"], answer["version"]), ({"allowed": ["*"]}, None, 2))
        status, _, answer = self.put(self.path(agent, key), None, version=1, method="DELETE")
        self.assertEqual((status, answer["error"]["param"]), (412, "If-Match"))
        status, _, answer = self.put(self.path(agent, key), None, version=2, method="DELETE")
        self.assertEqual((status, answer["policy"], answer["version"]), (200, {}, 3))

    def test_what_a_session_has_of_its_parent_stays(self):
        agent, key = self.agent(), "child"
        self.set(agent, key)
        self.node.sql("UPDATE tb.agent_sessions SET policy = '{\"parent\":{\"denied\":[\"memory_store\"]}}' WHERE session_key = 'child'")
        self.set(agent, key, allowed=["*"])
        self.assertEqual(self.explain(agent, "memory_store", session=key)["layer"], "parent")
        self.put(self.path(agent, key), None, method="DELETE")
        self.assertIn("the policy of the session's parent denies", self.do(STORE + "go", agent, key)[0]["output"]["error"])
        status, _, answer = self.put(self.path(agent, key), {"parent": {}})
        self.assertEqual((status, answer["error"]["param"]), (400, "parent"))


class Live(WithPolicy):
    """A change meets a run that is under way: it stands before its second call while the first waits for a table."""

    def tearDown(self):
        self.node.sql("DELETE FROM tb.tool_ceilings")
        super().tearDown()

    def held_run(self, agent, message):
        held = self.hold_memory()
        run = self.post(message, self.session(), agent=agent)
        wait_for(lambda: self.calls(run)[:1] == [("memory_store", "running")])
        return held, run

    def test_a_denial_holds_at_once(self):
        agent = self.agent()
        first = self.set(agent, profile="full")
        held, run = self.held_run(agent, STORE.strip() + STORE.strip() + "[tool memory_get {}] go")
        self.set(agent, profile="full", denied=["memory_store"])
        held.release()
        self.assertEqual(self.node.wait(run)["status"], "ok")
        rows = self.executions(run)
        self.assertEqual([(r["state"], r["policy_version"]) for r in rows],
                         [("completed", first), ("error", first + 1), ("completed", first + 1)])
        self.assertIn("the agent's policy denies 'memory_store'", rows[1]["output"]["error"])

    def test_the_ceiling_and_the_session_are_as_live(self):
        for layer in ("ceiling", "session"):
            agent = self.agent()
            held, run = self.held_run(agent, STORE.strip() * 2 + f" {layer}")
            if layer == "ceiling":
                self.ceiling(denied=["memory_store"])
            else:
                key = self.node.sql("SELECT s.session_key FROM tb.agent_sessions s JOIN tb.agent_run_queue q USING (tenant_id,"
                                    f" session_id) WHERE q.run_id = '{run}'")
                self.set(agent, key, denied=["memory_store"])
            held.release()
            self.assertEqual(self.node.wait(run)["status"], "ok")
            self.assertEqual([r["state"] for r in self.executions(run)], ["completed", "error"], layer)
            self.node.sql("DELETE FROM tb.tool_ceilings")

    def test_a_widening_waits_for_the_next_run(self):
        agent, key = self.agent(), self.session()
        first = self.set(agent, profile="full", denied=["memory_get"])
        held = self.hold_memory()
        run = self.post(STORE.strip() + "[tool memory_get {}] go", key, agent=agent)
        wait_for(lambda: self.calls(run)[:1] == [("memory_store", "running")])
        self.set(agent, profile="full")
        held.release()
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual([(r["state"], r["policy_version"]) for r in self.executions(run)], [("completed", first), ("error", first)])
        self.assertEqual([r["state"] for r in self.do("[tool memory_get {}] next", agent, key)], ["completed"])

    def offered(self):
        """To the model, with the last question."""
        return {t["function"]["name"] for t in self.node.fake_get("/last")["tools"]}

    def test_a_run_begins_with_the_policy_that_stands(self):
        """Nothing is missed of what was changed before it, in either direction, however short ago the session's last run was: neither in
        what its model is offered nor in its calls, of which none is even begun."""
        agent, key = self.agent(), self.session()
        layers = {"agent": lambda **d: self.set(agent, profile="full", **d), "session": lambda **d: self.set(agent, key, **d),
                  "ceiling": self.ceiling}
        for layer, change in layers.items():
            change()
            self.do(f"{layer}: all", agent, key)
            self.assertIn("memory_get", self.offered(), layer)
            change(denied=["memory_get"])
            self.do(f"{layer}: fewer", agent, key)
            self.assertNotIn("memory_get", self.offered(), layer)
            change()
            self.assertEqual(self.do("[tool memory_get {}] allowed", agent, key)[0]["state"], "completed", layer)
            change(denied=["memory_get"])
            run = self.post("[tool memory_get {}] denied", key, agent=agent)
            self.assertEqual(self.node.wait(run)["status"], "ok")
            row, = self.executions(run)
            self.assertEqual((row["state"], row["error_class"]), ("error", "tool_denied"), layer)
            self.assertEqual(self.node.sql("SELECT count(*) FROM tb.run_events WHERE body->'metadata' ? 'durationMs'"
                                           f" AND run_id = '{run}'"), "0", layer)
            change()

    def test_a_run_that_waited_begins_with_what_stands_when_its_turn_comes(self):
        agent, key = self.agent(), self.session()
        self.set(agent, profile="full")
        first = self.asked("[delay 300] first", key, agent=agent)  # its last commit has no calls, and tells it nothing
        with self.node.model_stopped():
            second = self.post("[tool memory_get {}] second", key, agent=agent)
            version = self.set(agent, profile="full", denied=["memory_get"])
        self.assertEqual([self.node.wait(r)["status"] for r in (first, second)], ["ok"] * 2)
        self.assertNotIn("memory_get", self.offered())
        self.assertEqual([(r["state"], r["policy_version"]) for r in self.executions(second)], [("error", version)])

    def break_policies(self):
        """The database refuses to read any agent's."""
        name = "tb.policy_document(tb.agent_tool_policies)"
        mend = self.node.sql(f"SELECT pg_get_functiondef('{name}'::regprocedure)")
        self.addCleanup(self.node.sql, mend)
        self.node.sql("CREATE OR REPLACE FUNCTION tb.policy_document(p tb.agent_tool_policies) RETURNS jsonb LANGUAGE sql STABLE AS"
                      " $$ SELECT to_jsonb(1 / (p.version - p.version)) $$")
        return mend

    def test_a_policy_that_cannot_be_read_ends_the_run(self):
        """Soon, with a reason, and its calls get their results: whether it was to begin or stood between two calls."""
        agent, key = self.agent(), self.session()
        self.set(agent, profile="full")
        held, running = self.held_run(agent, STORE.strip() * 2 + " go")
        self.do("hello", agent, key)  # the lane is known, so that the policy is all that is read
        self.set(agent, profile="full", denied=["memory_store"])
        mend = self.break_policies()
        began = time.monotonic()
        fresh = self.post("hello again", key, agent=agent)
        held.release()
        for run in (fresh, running):
            row = self.ended(run)
            self.assertEqual((row["result"], row["error_code"]), ("failed", "internal"))
            self.assertIn("the tool policy cannot be read (the database says 22012", row["error"])
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual([r["state"] for r in self.executions(running)], ["completed", "error"])
        self.assertEqual(self.roles(running), ["user", "assistant", "tool", "tool"])
        self.node.sql(mend)
        self.assertEqual(self.do(STORE, agent)[0]["error_class"], "tool_denied")

    def test_what_was_denied_meanwhile_is_not_offered_again(self):
        """Neither after calls, nor where a message came behind an answer without any."""
        agent, key = self.agent(), self.session()
        self.set(agent, profile="full")
        held, run = self.held_run(agent, STORE + "go")
        self.set(agent, profile="full", denied=["memory_get"])
        held.release()
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertNotIn("memory_get", self.offered())
        self.set(agent, profile="full")
        run = self.asked("[delay 300] first", key, agent=agent)
        with self.node.model_stopped():
            self.set(agent, profile="full", denied=["memory_get"])
            steer = self.post("second", key, "steer", agent=agent)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assert_taken(steer, run)
        self.assertNotIn("memory_get", self.offered())


class Calls(WithPolicy):
    def tearDown(self):
        self.node.sql("DELETE FROM tb.tool_ceilings")
        super().tearDown()

    def audited(self, what):
        return self.node.rows("SELECT actor, object, detail, at > now() - interval '1 minute' AS fresh FROM tb.audit_log"
                              f" WHERE action = 'policy.{what}' ORDER BY at, audit_id")

    def test_versions(self):
        agent = self.agent()
        self.assertEqual(self.put(self.path(agent), {"profile": "coding"}, 1)[0], 200)
        status, _, answer = self.put(self.path(agent), {"profile": "full"}, 1)
        self.assertEqual((status, answer["error"]["code"]), (412, "precondition_failed"))
        self.assertIn("stands at version 2, not 1", answer["error"]["message"])
        status, head, answer = self.node.get(self.path(agent))
        self.assertEqual((head["etag"], answer["policy"]["profile"]), ('"2"', "coding"))
        id = self.node.sql(f"SELECT agent_id FROM tb.agents WHERE name = '{agent}'")
        self.assertEqual(self.node.get(self.path(id))[2], answer)

    def test_every_change_is_written_down(self):
        agent, key = self.agent(), self.session()
        id = self.node.sql(f"SELECT agent_id FROM tb.agents WHERE name = '{agent}'")
        token = "token:" + self.node.token().split(".")[2]
        self.set(agent, profile="coding", denied=["Write"])
        self.set(agent, key, denied=["read"])
        self.put(self.path(agent, key), None, method="DELETE")
        self.ceiling(denied=["bash"])
        self.put(self.path(agent), {"profile": "full"}, 1)  # stale: not done
        row, = [r for r in self.audited("agent") if r["object"] == id]
        self.assertEqual((row["actor"], row["fresh"]), (token, True))
        self.assertEqual(row["detail"]["before"]["profile"], "full")
        self.assertEqual(row["detail"]["after"], {"profile": "coding", "allowed": [], "denied": ["write"], "ask": [],
                                                  "maxToolCallsPerTurn": 10})
        rows = [r for r in self.audited("session") if r["detail"]["sessionKey"] == key]
        self.assertEqual([(r["detail"]["before"], r["detail"]["after"]) for r in rows],
                         [(None, {"denied": ["read"]}), ({"denied": ["read"]}, None)])
        rows = self.audited("ceiling")
        self.assertEqual((rows[-1]["actor"], rows[-1]["object"], rows[-1]["detail"]["after"]["denied"]), (token, "1", ["bash"]))

    def test_changes_at_once_are_one_after_the_other(self):
        """Of many that expect the same version one is done, and each `before` is the `after` of the change before it."""
        from concurrent.futures import ThreadPoolExecutor
        agent = self.agent()
        id = self.node.sql(f"SELECT agent_id FROM tb.agents WHERE name = '{agent}'")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: self.put(self.path(agent), {"profile": "full", "maxToolCallsPerTurn": n}, 1)[0], range(8)))
            self.assertEqual(sorted(answers), [200] + [412] * 7)
            list(pool.map(lambda n: self.put(self.path(agent), {"profile": "full", "maxToolCallsPerTurn": n}), range(8)))
            ceilings = list(pool.map(lambda n: self.put("/v1/policy/ceiling", {"maxToolCallsPerTurn": n}, 0)[0], range(8)))
        self.assertEqual(sorted(ceilings), [200] + [412] * 7)
        details = sorted((r["detail"] for r in self.audited("agent") if r["object"] == id), key=lambda d: d["version"])
        self.assertEqual([d["version"] for d in details], list(range(2, 11)))
        for earlier, later in zip(details, details[1:]):
            self.assertEqual(later["before"], earlier["after"])

    def test_tenants(self):
        """Nobody sees or changes another tenant's, whatever the scopes."""
        mine = self.agent()
        id = self.node.sql(f"SELECT agent_id FROM tb.agents WHERE name = '{mine}'")
        self.set(mine, profile="full", denied=["bash"])
        self.set(mine, "s", denied=["exec"])
        self.ceiling(denied=["exec"])
        theirs = self.token(2, "run,read,write,admin")
        for agent in (mine, id):
            for method, path, body in (("GET", self.path(agent), None), ("PUT", self.path(agent), {"profile": "full"}),
                                       ("GET", self.path(agent, "s"), None), ("PUT", self.path(agent, "s"), {}),
                                       ("DELETE", self.path(agent, "s"), None), ("GET", self.path(agent) + "/explain", None)):
                self.assertEqual(self.put(path, body, token=theirs, method=method)[0], 404, (method, path))
        self.assertEqual(self.node.get("/v1/policy/ceiling", token=theirs)[2]["version"], 0)
        self.assertEqual(self.put("/v1/policy/ceiling", {}, token=theirs)[0], 200)
        self.assertEqual(self.node.get("/v1/policy/ceiling")[2]["policy"]["denied"], ["exec"])
        self.assertEqual(self.node.get(self.path(mine))[2]["policy"]["denied"], ["bash"])
        self.assertEqual(self.node.rows(f"SELECT DISTINCT tenant_id FROM tb.audit_log WHERE object = '{id}'"), [{"tenant_id": 1}])

    def test_scopes(self):
        agent = self.agent()
        calls = {"read": [("GET", self.path(agent)), ("GET", "/v1/tools"), ("GET", "/v1/policy/ceiling")],
                 "write": [("PUT", self.path(agent)), ("PUT", self.path(agent, "x"))], "admin": [("PUT", "/v1/policy/ceiling")]}
        for scope in ("run", "read", "write"):
            token = self.token(1, scope)
            for needed, paths in calls.items():
                for method, path in paths:
                    status = self.put(path, {} if method == "PUT" else None, token=token, method=method)[0]
                    may = scope == needed or (scope, needed) == ("run", "read")
                    self.assertEqual(status, 200 if may else 403, (scope, method, path))

    def test_tools(self):
        tools = {t["name"]: t for t in self.tools()}
        self.assertEqual((tools["bash"]["category"], tools["bash"]["effect"], tools["bash"]["place"]), ("runtime", "once", "jail"))
        self.assertEqual((tools["bash"]["deadlineMs"], tools["bash"]["outputMaxBytes"]), (610000, 262144))
        self.assertEqual(tools["read"]["schema"]["required"], ["path"])


class Ctl(WithPolicy):
    """terabitsctl policy, as the database's owner."""
    seconds = 40
    alone = True  # one tenant, and a ceiling that nobody has set

    def tearDown(self):
        self.node.sql("DELETE FROM tb.tool_ceilings")
        super().tearDown()

    def fine(self, *args):
        p = self.node.ctl("policy", *args)
        self.assertEqual(p.returncode, FINE, p.stderr + p.stdout)
        return p.stdout

    def asks(self, *args):
        return json.loads(self.fine(*args, "--json"))

    def refused(self, status, says, *args):
        p = self.node.ctl("policy", *args)
        self.assertEqual(p.returncode, status, p.stderr + p.stdout)
        self.assertIn(says, p.stderr)

    def test_get_set(self):
        agent = self.agent()
        self.assertEqual(self.asks("get", agent)["policy"]["profile"], "full")
        said = self.fine("set", agent, "--deny", "BASH, group:Web", "--ask", "exec", "--max-calls", "3")
        self.assertIn(f"the policy of agent '{agent}' of tenant 'default' stands at version 2", said)
        got = self.asks("get", agent)
        self.assertEqual((got["policy"], got["version"]), ({"profile": "full", "allowed": [], "denied": ["bash", "group:web"],
                                                            "ask": ["exec"], "maxToolCallsPerTurn": 3}, 2))
        self.asks("set", agent, "--allow", "read,bash", "--ask", "")  # the rest stays
        got = self.asks("get", agent)["policy"]
        self.assertEqual((got["allowed"], got["denied"], got["ask"]), (["read", "bash"], ["bash", "group:web"], []))
        self.assertEqual(self.asks("set", agent, "--allow", "")["policy"]["allowed"], [])
        self.assertRegex(self.fine("get", agent), r"denied +\[\"bash\",\"group:web\"\]")
        id = self.node.sql(f"SELECT agent_id FROM tb.agents WHERE name = '{agent}'")
        self.assertEqual(self.asks("get", id.upper())["version"], 4)
        rows = self.node.rows(f"SELECT actor, detail FROM tb.audit_log WHERE action = 'policy.agent' AND object = '{id}' ORDER BY at")
        self.assertEqual([(r["actor"][:4], r["detail"]["version"]) for r in rows], [("uid:", 2), ("uid:", 3), ("uid:", 4)])
        self.assertEqual(self.node.get(self.path(agent))[2]["version"], 4)  # the same rows

    def test_what_is_refused(self):
        agent = self.agent()
        self.refused(USAGE, "denied: there is no tool or group 'bahs'", "set", agent, "--deny", "bash,bahs")
        self.refused(USAGE, "there is no tool or group ''", "set", agent, "--deny", "bash,")
        self.refused(USAGE, "--profile must be one of", "set", agent, "--profile", "root")
        self.refused(USAGE, "say what to change", "set", agent)
        self.refused(ABSENT, "there is no agent 'nobody'", "get", "nobody")
        self.refused(ABSENT, "has no session 'none'", "get", agent, "--session", "none")
        self.refused(ABSENT, "there is no tool or group 'rm'", "explain", agent, "rm")
        self.refused(USAGE, "--session", "clear", agent)
        self.assertEqual(self.asks("get", agent)["version"], 1)

    def test_sessions(self):
        agent, key = self.agent(), self.session()
        self.do("hello", agent, key)
        self.refused(USAGE, "there is no such member", "set", agent, "--session", key, "--profile", "full")
        self.assertIn("that session", self.fine("set", agent, "--session", key, "--deny", "memory_store"))
        self.assertEqual(self.asks("get", agent, "--session", key)["policy"], {"denied": ["memory_store"]})
        id = self.node.sql(f"SELECT session_id FROM tb.agent_sessions WHERE session_key = '{key}' AND agent_id ="
                           f" (SELECT agent_id FROM tb.agents WHERE name = '{agent}')")
        why, = self.asks("explain", agent, "memory_store", "--session", id)["tools"]
        self.assertEqual((why["verdict"], why["layer"]), ("deny", "session"))
        self.assertEqual(wait_for(lambda: self.do(STORE + "go", agent, key))[0]["state"], "error")
        self.fine("clear", agent, "--session", key)
        self.assertEqual(self.asks("explain", agent, "memory_store", "--session", key)["tools"][0]["verdict"], "allow")

    def test_explain(self):
        agent = self.agent(tools=["memory_store", "memory_get", "bash"])
        self.fine("set", agent, "--deny", "bash")
        text = self.fine("explain", agent)
        self.assertRegex(text, r"bash +deny +agent +the agent's policy denies 'bash'")
        self.assertRegex(text, r"exec +deny +revision +the agent's revision does not list it")
        self.assertRegex(text, r"memory_get +allow +agent +the profile 'full' of the agent's policy has it")
        self.assertEqual([t["name"] for t in self.asks("explain", agent, "group:runtime")["tools"]], ["bash", "exec", "process"])
        self.assertEqual(self.asks("explain", agent)["tools"], self.node.get(self.path(agent) + "/explain")[2]["tools"])

    def test_ceiling(self):
        self.assertEqual(self.asks("ceiling")["version"], 0)
        self.assertEqual(self.asks("ceiling", "--deny", "bash", "--max-calls", "5")["version"], 1)
        got = self.asks("ceiling", "--tenant", "default")
        self.assertEqual(got["policy"], {"allowed": ["*"], "denied": ["bash"], "maxToolCallsPerTurn": 5})
        self.assertEqual(self.asks("explain", "main", "bash", "--tenant", "1")["tools"][0]["layer"], "ceiling")
        self.assertRegex(self.fine("ceiling"), r"calls a turn +5")

    def test_a_new_agent(self):
        name = f"new-{uuid.uuid4().hex[:8]}"
        for words, profile in (((), "coding"), (("--profile", "full"), "full")):
            made = self.node.ctl("agent", "create", name + profile, "--tenant", "default", *words)
            self.assertEqual(made.returncode, FINE, made.stderr)
            self.assertEqual(self.asks("get", name + profile)["policy"]["profile"], profile)
        again = self.node.ctl("agent", "create", name + "full", "--tenant", "default", "--replace", "--profile", "minimal")
        self.assertEqual(again.returncode, USAGE)
        self.assertIn("policy set", again.stderr)


if __name__ == "__main__":
    unittest.main()
