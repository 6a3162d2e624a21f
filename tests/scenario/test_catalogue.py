# SPDX-License-Identifier: Apache-2.0
"""What tenants configure, by HTTP through the real processes: agents and their revisions, memory, workflows; and what can be seen of tool
executions and spawned sessions."""
import concurrent.futures
import json
import unittest
import urllib.parse
import uuid

from node import wait_for
from test_sessions import WithSessions

together = True  # the classes share a node: one process

SHOWN = {"id", "name", "revision", "maxRunning", "createdAt", "updatedAt", "updatedBy"}


class WithCatalogue(WithSessions):
    def setUp(self):
        super().setUp()
        cls = WithCatalogue
        if getattr(cls, "of", None) is not self.node:
            cls.of = self.node
            cls.foreign = self.token(4242, "run,read,write,admin")
            cls.reader = self.token(1, "read")

    def name(self):
        return "agent-" + uuid.uuid4().hex[:8]

    def create(self, want=201, token=None, **members):
        return self.call("POST", "/v1/agents", {"name": self.name(), **members}, want=want, token=token)

    def change(self, agent, method="PATCH", version=None, want=200, **members):
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return self.call(method, f"/v1/agents/{agent}", members, want=want, **headers)

    def refused(self, method, path, body, param, *words, want=400, **kw):
        answer = self.call(method, path, body, want=want, **kw)["error"]
        self.assertEqual(answer["param"], param, answer)
        for word in words:
            self.assertIn(word, answer["message"])
        return answer

    def audited(self, what, object):
        return self.node.rows(f"SELECT actor, detail FROM tb.audit_log WHERE action = '{what}' AND object = '{object}' ORDER BY at, audit_id")

    def pages(self, where, member, cursor="before", **query):
        """Every row of a list, a page of two at a time."""
        rows, place = [], {}
        while True:
            page = self.call("GET", f"{where}?{urllib.parse.urlencode({'limit': 2, **query, **place})}")
            self.assertLessEqual(len(page[member]), 2)
            rows += page[member]
            if "next" not in page:
                return rows
            place = {cursor: page["next"]}
            self.assertLess(len(rows), 1000)


class Agents(WithCatalogue):
    seconds = 12

    def test_one_from_its_beginning_to_its_end(self):
        """And what is in force when: a run goes by the revision that stands when it begins."""
        made = self.create(systemPrompt="you are a heron", temperature=0.5, maxRunning=7, onFailure="continue")
        path = f"/v1/agents/{made['id']}"
        self.assertEqual(set(made), SHOWN | {"systemPrompt", "temperature", "onFailure"})
        self.assertEqual((made["revision"], made["maxRunning"], made["updatedBy"]), (1, 7, "token:" + self.node.token().split(".")[2]))
        status, head, seen = self.node.get(path)
        self.assertEqual((status, head["etag"], seen), (200, '"1"', made))
        self.assertEqual(self.call("GET", f"/v1/agents/{made['name']}"), made)
        self.assertEqual(self.call("GET", f"{path}/policy")["policy"]["profile"], "coding")
        run = self.post("hello", self.session(), agent=made["name"])
        self.assertEqual(self.node.wait(run)["status"], "ok")
        changed = self.change(made["id"], version=1, systemPrompt="you are a crane", temperature=None)
        self.assertEqual((changed["revision"], changed["systemPrompt"], changed.get("temperature")), (2, "you are a crane", None))
        again = self.post("hello", self.session(), agent=made["name"])
        self.assertEqual(self.node.wait(again)["status"], "ok")
        self.assertEqual([self.ended(r)["agent_revision"] for r in (run, again)], [1, 2])
        session = self.call("GET", f"/v1/sessions?agent={made['name']}")["sessions"][0]
        removed = self.call("DELETE", path, **{"If-Match": '"2"'})
        self.assertEqual(removed, {"deleted": True, "id": made["id"], "cancelling": 0})
        for method, body in (("GET", None), ("PATCH", {}), ("PUT", {}), ("DELETE", None)):
            self.call(method, path, body, want=404)
        self.call("POST", f"/v1/agents/{made['name']}/runs", {"message": "x"}, want=404)
        self.assertEqual(len(self.history(session)["messages"]), 2)  # what was said can be read
        self.assertEqual(self.call("GET", f"/v1/runs/{run}")["status"], "completed")
        reborn = self.call("POST", "/v1/agents", {"name": made["name"]}, want=201)
        self.assertNotEqual(reborn["id"], made["id"])
        self.assertEqual([r["detail"].get("changed") for r in self.audited("agent.change", made["id"])], [["systemPrompt", "temperature"]])
        for what in ("create", "delete"):
            self.assertEqual(len(self.audited(f"agent.{what}", made["id"])), 1, what)

    def test_what_is_no_agent(self):
        for body, param, *words in (({}, "name", "missing"), ({"name": ""}, "name", "1 to 63"), ({"name": "a/b"}, "name", "'/'"),
                                    ({"name": str(uuid.uuid4())}, "name", "id"), ({"name": " a"}, "name", "blank"), ({"name": 1}, "name"),
                                    ({"name": "x" * 64}, "name"), ({"name": "a\u0085"}, "name", "control"),
                                    ({"temperature": 3}, "temperature", "0 to 2"), ({"model": "gpt"}, "model", "provider/name"),
                                    ({"systemPrompt": 1}, "systemPrompt"), ({"tools": ["nothing"]}, "tools", "nothing"),
                                    ({"queueMode": "never"}, "queueMode", "steer"), ({"queueCap": 0}, "queueCap", "10000"),
                                    ({"onFailure": "stop"}, "onFailure"), ({"maxRunning": 0}, "maxRunning"), ({"maxRunning": 1.5}, "maxRunning"),
                                    ({"profile": "all"}, "profile"), ({"revision": 1}, "revision"), ({"id": "x"}, "id"), ({"mode": "builder"}, "mode"),
                                    ({"sytemPrompt": "x"}, "sytemPrompt", "no member"), ({"budgets": {"run": {"tokens": 0}}}, "budgets")):
            if "name" not in body and param != "name":
                body = {"name": self.name(), **body}
            self.refused("POST", "/v1/agents", body, param, *words)
        for text in ("", "[]", "{", '{"name":"a","name":"b"}', '{"name":"\\ud800"}', "nothing"):
            self.call("POST", "/v1/agents", text, want=400)
        made = self.create()
        for method in ("PUT", "PATCH"):
            self.refused(method, f"/v1/agents/{made['id']}", {"contextWindow": -1}, "contextWindow")
            self.refused(method, f"/v1/agents/{made['id']}", {"profile": "full"}, "profile", "no member")
            self.refused(method, f"/v1/agents/{made['id']}", {}, "If-Match", **{"If-Match": "x"})
        self.refused("GET", "/v1/agents?limit=0", None, "limit")
        self.refused("GET", "/v1/agents?before=x", None, "before")
        self.refused("GET", "/v1/agents?after=x", None, "after")
        self.refused("GET", f"/v1/agents/{made['id']}/revisions?limit=201", None, "limit", "1 to 200")
        self.refused("GET", f"/v1/agents/{made['id']}/revisions?before=0", None, "before")
        self.refused("POST", f"/v1/agents/{made['id']}/clone", {"model": "a/b", "name": "x"}, "model")
        self.refused("POST", f"/v1/agents/{made['id']}/clone", {}, "name", "missing")
        self.assertEqual(self.call("GET", f"/v1/agents/{made['id']}"), made)

    def test_names_are_one_agents(self):
        one, two = self.create(), self.create()
        self.refused("POST", "/v1/agents", {"name": one["name"]}, "name", want=409)
        self.refused("PATCH", f"/v1/agents/{two['id']}", {"name": one["name"]}, "name", want=409)
        self.refused("POST", f"/v1/agents/{two['id']}/clone", {"name": one["name"]}, "name", want=409)
        name = self.name()
        renamed = self.change(one["id"], name=name, version=1)
        self.assertEqual((renamed["name"], renamed["revision"]), (name, 2))
        self.call("GET", f"/v1/agents/{one['name']}", want=404)
        self.assertEqual(self.call("GET", f"/v1/agents/{name}"), renamed)
        self.assertEqual(self.change(two["id"], name=one["name"])["name"], one["name"])
        # of many at once that want a name one gets it
        name = self.name()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.node.request("POST", "/v1/agents", {"name": name})[0], range(8)))
        self.assertEqual(sorted(answers), [201] + [409] * 7)
        # a name that was looked for in vain is found as soon as it is there
        name = self.name()
        self.call("POST", f"/v1/agents/{name}/runs", {"message": "x"}, want=404)
        self.call("POST", "/v1/agents", {"name": name}, want=201)
        self.call("POST", f"/v1/agents/{name}/runs", {"message": "x"}, want=202)

    def test_put_has_all_of_it_and_patch_a_part(self):
        made = self.create(systemPrompt="x", model="a/b", maxRunning=3)
        put = self.change(made["id"], "PUT", temperature=1)
        self.assertEqual((put["revision"], put["name"], put["maxRunning"], put["temperature"]), (2, made["name"], 3, 1))
        self.assertFalse({"systemPrompt", "model"} & set(put))
        again = self.call("PUT", f"/v1/agents/{made['id']}", put)  # what GET shows, back again: nothing to change
        self.assertEqual(again, put)
        self.assertEqual(self.change(made["id"], temperature=1), put)
        self.assertEqual(self.change(made["id"]), put)
        patched = self.change(made["id"], maxRunning=9, stop=["end"])
        self.assertEqual((patched["revision"], patched["maxRunning"], patched["stop"], patched["temperature"]), (3, 9, ["end"], 1))
        stale = self.change(made["id"], version=2, want=412, temperature=0)
        self.assertIn("stands at version 3, not 2", stale["error"]["message"])
        self.assertEqual(self.call("DELETE", f"/v1/agents/{made['id']}", want=412, **{"If-Match": '"1"'})["error"]["param"], "If-Match")
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: self.node.request("PATCH", f"/v1/agents/{made['id']}", {"maxTokens": n + 1},
                                                                headers={"If-Match": '"3"'})[0], range(6)))
        self.assertEqual(sorted(answers), [200] + [412] * 5)

    def test_revisions(self):
        made = self.create(systemPrompt="one", model="a/b")
        path = f"/v1/agents/{made['id']}/revisions"
        for text in ("two", "three", "four", "five"):
            self.change(made["id"], systemPrompt=text)
        rows = self.pages(path, "revisions")
        self.assertEqual([r["revision"] for r in rows], [5, 4, 3, 2, 1])
        self.assertEqual({r["model"] for r in rows}, {"a/b"})
        second = self.call("GET", f"{path}/2")
        self.assertEqual((second["systemPrompt"], second["current"], second["revision"]), ("two", False, 2))
        self.assertTrue(self.call("GET", f"{path}/5")["current"])
        self.call("POST", f"{path}/2/restore", want=412, **{"If-Match": '"4"'})
        status, head, restored = self.node.post(f"{path}/2/restore", headers={"If-Match": '"5"'})
        self.assertEqual((status, head["etag"], restored["revision"], restored["systemPrompt"]), (200, '"6"', 6, "two"))
        self.assertEqual(self.call("POST", f"{path}/6/restore")["revision"], 6)  # it stands already
        self.assertEqual(self.call("GET", f"{path}/5")["systemPrompt"], "five")
        for revision in ("0", "7", "x", "-1", "99999999999"):
            self.call("GET", f"{path}/{revision}", want=404)
            self.call("POST", f"{path}/{revision}/restore", want=404)
        self.assertEqual([r["detail"]["revision"] for r in self.audited("agent.restore", made["id"])], [6])

    def test_a_copy(self):
        made = self.create(systemPrompt="one", maxRunning=4, profile="full")
        self.call("PUT", f"/v1/agents/{made['id']}/policy", {"profile": "full", "denied": ["bash"]})
        self.change(made["id"], systemPrompt="two")
        copy = self.call("POST", f"/v1/agents/{made['id']}/clone", {"name": self.name()}, want=201)
        self.assertEqual((copy["revision"], copy["systemPrompt"], copy["maxRunning"]), (1, "two", 4))
        self.assertEqual(self.call("GET", f"/v1/agents/{copy['id']}/policy")["policy"]["denied"], ["bash"])
        first = self.call("POST", f"/v1/agents/{made['name']}/clone", {"name": self.name(), "revision": 1}, want=201)
        self.assertEqual(first["systemPrompt"], "one")
        self.call("POST", f"/v1/agents/{made['name']}/clone", {"name": self.name(), "revision": 9}, want=404)
        self.assertEqual(self.audited("agent.clone", first["id"])[0]["detail"]["fromRevision"], 1)

    def test_the_list(self):
        made = [self.create(model="a/b")["id"] for _ in range(5)]
        self.call("DELETE", f"/v1/agents/{made[2]}")
        rows = self.pages("/v1/agents", "agents")
        self.assertEqual([r["id"] for r in rows if r["id"] in made], [made[i] for i in (4, 3, 1, 0)])
        self.assertEqual(len({r["id"] for r in rows}), len(rows))
        self.assertEqual(rows, self.call("GET", "/v1/agents?limit=200")["agents"])
        self.assertNotIn("systemPrompt", rows[0])

    def test_a_deletion_ends_what_runs_and_waits(self):
        made = self.create()
        key = self.session()
        with self.node.model_stopped():
            running = self.asked_with(made, "[delay 60000] long", key)
            waiting = self.post("later", key, agent=made["name"])
            self.assertEqual(self.call("DELETE", f"/v1/agents/{made['name']}")["cancelling"], 2)
        for run in (running, waiting):
            self.assertEqual(self.ended(run)["result"], "cancelled")

    def test_a_long_queue(self):
        """The door goes by every queueCap that it takes."""
        made, key = self.create(queueCap=5000, queueMode="followup"), self.session()
        with self.node.model_stopped():
            for _ in range(24):  # 20 is the cap of who says nothing
                self.post("x", key, agent=made["name"])
            self.assertEqual(self.call("DELETE", f"/v1/agents/{made['id']}")["cancelling"], 24)

    def asked_with(self, agent, message, key):
        run = self.post(message, key, agent=agent["name"])
        wait_for(lambda: self.state(run) == "running")
        return run

    def test_modes_of_runs(self):
        for mode in ("runtime", "builder"):  # of the latter: test_builder.py
            self.call("POST", "/v1/agents/main/runs", {"message": "x", "sessionKey": self.session(), "mode": mode}, want=202)
        self.refused("POST", "/v1/agents/main/runs", {"message": "x", "mode": 1}, "mode")

    def test_another_tenant_and_other_scopes(self):
        made = self.create()
        self.change(made["id"], temperature=1)
        paths = [("GET", "", None), ("PUT", "", {}), ("PATCH", "", {"temperature": 0}), ("DELETE", "", None), ("POST", "/clone", {"name": self.name()}),
                 ("GET", "/revisions", None), ("GET", "/revisions/1", None), ("POST", "/revisions/1/restore", None)]
        for word in (made["id"], made["name"]):
            for method, rest, body in paths:
                self.call(method, f"/v1/agents/{word}{rest}", body, want=404, token=self.foreign)
        self.assertEqual(self.call("GET", "/v1/agents", token=self.foreign)["agents"], [])
        self.create(token=self.foreign, name=made["name"])  # the name is free there
        for method, rest, body in paths:
            self.call(method, f"/v1/agents/{made['id']}{rest}", body, want=200 if method == "GET" else 403, token=self.reader)
        self.create(want=403, token=self.reader)
        self.assertEqual(self.call("GET", f"/v1/agents/{made['id']}")["revision"], 2)

    def test_the_command_line_is_of_one_mind(self):
        name = self.name()
        p = self.node.ctl("agent", "create", "a/b", "--tenant", "default")
        self.assertEqual(p.returncode, 2)
        self.assertIn("must not hold a '/'", p.stderr)
        self.assertEqual(self.node.ctl("agent", "create", name, "--tenant", "default", "--queue-cap", "5").returncode, 0)
        seen = self.call("GET", f"/v1/agents/{name}")
        self.assertEqual((seen["queueCap"], seen["revision"], seen["maxRunning"]), (5, 1, 1000))
        self.assertEqual(self.node.ctl("agent", "create", name, "--tenant", "default", "--queue-cap", "6", "--replace").returncode, 0)
        self.assertEqual(self.change(name, version=2, queueDrop="old")["queueCap"], 6)


class Executions(WithCatalogue):
    seconds = 8

    def list(self, want=200, token=None, **query):
        return self.call("GET", f"/v1/tools/executions?{urllib.parse.urlencode(query)}", want=want, token=token)

    def test_what_a_tool_was_called_with_and_gave(self):
        agent, key = self.agent(), self.session()
        run = self.post('[tool memory_store {"text":"the heron","path":"a.md"}][tool memory_get {"path":"none.md"}] go', key, agent=agent)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        rows = self.list(run=run)["executions"]
        self.assertEqual([(r["tool"], r["state"], r["id"]) for r in rows],
                         [("memory_get", "error", f"{run}:{rows[0]['step']}:1"), ("memory_store", "completed", f"{run}:{rows[1]['step']}:0")])
        self.assertFalse({"input", "output"} & set(rows[0]))
        one = self.call("GET", f"/v1/tools/executions/{rows[1]['id']}")
        self.assertEqual(one["input"], {"text": "the heron", "path": "a.md"})
        self.assertEqual(one["output"], {"path": "a.md", "version": 1, "created": True})
        self.assertEqual((one["runId"], one["effect"], one["attempt"], one["truncated"]), (run, "keyed", 1, False))
        self.assertGreaterEqual(one["finishedAt"], one["startedAt"])
        self.assertIn("durationMs", one)
        failed = self.call("GET", f"/v1/tools/executions/{rows[0]['id']}")
        self.assertIn("there is no document", failed["output"]["error"])
        self.assertEqual(failed["errorClass"], "tool_failed")
        session = self.call("GET", self.by_key(key, agent=agent))["sessionId"]
        for query in ({"session": session}, {"agent": agent}, {"agent": one["agentId"]}, {"session": session, "agent": agent, "run": run}):
            self.assertEqual([r for r in self.list(**query)["executions"] if r["runId"] == run], rows, query)
        self.assertEqual(self.list(run=run, tool="memory_get")["executions"], rows[:1])
        self.assertEqual(self.list(session=session, state="completed")["executions"], rows[1:])
        self.assertEqual(self.list(run=run, agent="main")["executions"], [])
        for id in (rows[0]["id"] + "0", str(uuid.uuid4()), f"{run}:0", f"{uuid.uuid4()}:0:0", f"{run}:1:99999"):
            self.call("GET", f"/v1/tools/executions/{id}", want=404)
        self.call("GET", f"/v1/tools/executions/{one['id']}", want=404, token=self.foreign)
        for query in ({"run": run}, {"session": session}, {}):
            self.assertEqual(self.list(token=self.foreign, **query)["executions"], [])
        self.list(token=self.foreign, want=404, agent=agent)
        self.list(token=self.token(1, "run,write"), want=403)

    def test_what_is_no_query(self):
        for query, param in (({"run": "x"}, "run"), ({"session": "x"}, "session"), ({"agent": ""}, "agent"), ({"state": "done"}, "state"),
                             ({"tool": ""}, "tool"), ({"before": uuid.uuid4()}, "before"), ({"limit": 0}, "limit"), ({"steps": 1}, "steps")):
            self.refused("GET", f"/v1/tools/executions?{urllib.parse.urlencode(query)}", None, param)

    def test_pages(self):
        """Of all, of a session and of a run; also where few rows of a long list fit."""
        agent, key = self.agent(), self.session()
        runs = [self.post("".join('[tool memory_get {"path":"MEMORY.md"}]' for _ in range(3)) + "go", key, agent=agent) for _ in range(3)]
        for run in runs:
            self.assertEqual(self.node.wait(run)["status"], "ok")
        session = self.call("GET", self.by_key(key, agent=agent))["sessionId"]
        whole = self.list(session=session, limit=200)["executions"]
        self.assertEqual([r["id"].split(":")[0] for r in whole], [r for r in reversed(runs) for _ in range(3)])
        self.assertEqual(self.pages("/v1/tools/executions", "executions", session=session), whole)
        self.assertEqual(self.pages("/v1/tools/executions", "executions", run=runs[1]), whole[3:6])
        self.assertEqual([r for r in self.pages("/v1/tools/executions", "executions", tool="memory_get") if r["sessionId"] == session], whole)
        self.node.sql("INSERT INTO tb.tool_executions (tenant_id, run_id, step, call_no, call_id, session_id, tool, effect, idem_key, state, input, fence)"
                      f" SELECT 1, ('ffffffff-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 1, 0, 'c', '{uuid.uuid4()}', 'many', 'pure', 'k',"
                      " 'completed', '{}', 1 FROM generate_series(1, 2500) n")
        try:
            page = self.list(tool="memory_get", limit=200)
            self.assertEqual(page["executions"], [])  # two thousand rows were looked at
            page = self.list(tool="memory_get", limit=200, before=page["next"])
            self.assertEqual([r for r in page["executions"] if r["sessionId"] == session], whole)
        finally:
            self.node.sql("DELETE FROM tb.tool_executions WHERE tool = 'many'")

    def test_a_session_of_more_runs_than_a_page_looks_at(self):
        session, agent = uuid.uuid4(), self.node.sql("SELECT agent_id FROM tb.agents WHERE name = 'main' AND tenant_id = 1")
        ids = [f"0192f3a0-0000-7000-8000-{n:012d}" for n in range(2500)]
        self.node.sql(f"INSERT INTO tb.agent_sessions (tenant_id, session_id, agent_id, session_key, slot) VALUES (1, '{session}', '{agent}', '{session}', 1)")
        self.node.sql("INSERT INTO tb.agent_runs (tenant_id, run_id, session_id, agent_id, kind, mode, lane_seq, lane_pos, result, enqueued_at, finished_at)"
                      f" SELECT 1, ('0192f3a0-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '{session}', '{agent}', 'turn', 'followup', n + 1, n + 1,"
                      " 'completed', now(), now() FROM generate_series(0, 2499) n")
        try:
            self.node.sql("INSERT INTO tb.tool_executions (tenant_id, run_id, step, call_no, call_id, session_id, tool, effect, idem_key, state, input,"
                          f" fence) SELECT 1, run_id, 1, 0, 'c', '{session}', 'few', 'pure', 'k', 'completed', '{{}}', 1 FROM tb.agent_runs"
                          f" WHERE run_id IN ('{ids[0]}', '{ids[7]}')")
            first = self.list(session=session)
            self.assertEqual(first["executions"], [])
            rest = self.list(session=session, before=first["next"])
            self.assertEqual([r["runId"] for r in rest["executions"]], [ids[7], ids[0]])
            self.assertNotIn("next", rest)
        finally:
            for table in ("tool_executions", "agent_runs", "agent_sessions"):
                self.node.sql(f"DELETE FROM tb.{table} WHERE session_id = '{session}'")


class Memory(WithCatalogue):
    seconds = 10

    def setUp(self):
        super().setUp()
        self.made = self.create()
        self.base = f"/v1/agents/{self.made['id']}/memory"

    def at(self, path, kind="content", **query):
        return f"{self.base}/{kind}?{urllib.parse.urlencode({'path': path, **query}, quote_via=urllib.parse.quote)}"

    def put(self, path, text, version=None, want=200, **query):
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        status, head, answer = self.node.request("PUT", self.at(path, **query), text.encode() if isinstance(text, str) else text, headers=headers)
        self.assertEqual(status, want, answer)
        if want == 200:
            self.assertEqual(head["etag"], f'"{answer["version"]}"')
        return answer

    def read(self, path, **query):
        status, head, text = self.node.get(self.at(path, **query))
        self.assertEqual((status, head["content-type"], head["x-content-type-options"]), (200, "text/markdown; charset=utf-8", "nosniff"), text)
        return head["etag"], text

    def search(self, q, **query):
        answer = self.call("GET", f"{self.base}/search?{urllib.parse.urlencode({'q': q, **query}, quote_via=urllib.parse.quote)}")
        self.assertEqual(answer["legs"], ["text"])
        return answer["results"]

    def chunks(self, path):
        return self.node.rows("SELECT chunk_no, from_line, to_line, c.body FROM tb.memory_chunks c JOIN tb.agent_memory_entries e"
                              f" USING (tenant_id, agent_id, memory_id) WHERE e.agent_id = '{self.made['id']}' AND e.path = '{path}' ORDER BY chunk_no")

    def test_a_document_from_its_beginning_to_its_end(self):
        text = "# Birds\nThe heron — Ünïcode \U0001f426\n"
        made = self.put("notes/birds.md", text, 0, tags="birds,water")
        self.assertEqual((made["created"], made["version"], made["bytes"], made["tags"]), (True, 1, len(text.encode()), ["birds", "water"]))
        self.assertEqual(self.read("notes/birds.md"), ('"1"', text))
        self.assertEqual(self.put("notes/birds.md", text)["version"], 1)  # nothing to change
        changed = self.put("notes/birds.md", "the crane", 1)
        self.assertEqual((changed["version"], changed["created"], changed["tags"]), (2, False, ["birds", "water"]))
        self.assertIn("stands at version 2", self.put("notes/birds.md", "x", 1, want=412)["error"]["message"])
        self.put("notes/birds.md", "x", 0, want=412)
        self.assertEqual(self.read("notes/birds.md", version=1), ('"1"', text))
        self.assertEqual(self.put("notes/birds.md", "the crane", tags="")["tags"], [])
        self.call("DELETE", self.at("notes/birds.md"), want=412, **{"If-Match": '"2"'})
        self.assertEqual(self.call("DELETE", self.at("notes/birds.md"), **{"If-Match": '"3"'}), {"deleted": True})
        self.assertEqual(self.refused("GET", self.at("notes/birds.md"), None, "path", want=404)["code"], "not_found")
        self.call("DELETE", self.at("notes/birds.md"), want=404)
        self.assertEqual(self.search("crane"), [])
        self.assertEqual(self.call("GET", self.base)["documents"], [])
        self.assertEqual(self.read("notes/birds.md", version=1)[1], text)  # what was written is kept
        history = self.call("GET", self.at("notes/birds.md", "history"))
        self.assertIn("deletedAt", history)
        again = self.put("notes/birds.md", "the egret", 0)
        self.assertEqual((again["version"], again["created"]), (4, True))
        history = self.call("GET", self.at("notes/birds.md", "history"))
        self.assertNotIn("deletedAt", history)
        token = "token:" + self.node.token().split(".")[2]
        self.assertEqual([(v["version"], v["bytes"], v["by"]) for v in history["versions"]],
                         [(4, 9, token), (3, 9, token), (2, 9, token), (1, len(text.encode()), token)])
        self.assertEqual([(r["actor"], r["detail"]["version"]) for r in self.audited("memory.put", self.made["id"])],
                         [(token, v) for v in (1, 2, 3, 4)])
        self.assertEqual(len(self.audited("memory.delete", self.made["id"])), 1)

    def test_the_agent_and_people_write_the_same_documents(self):
        name = self.made["name"]
        self.put("MEMORY.md", "from a person\n")
        run = self.post('[tool memory_store {"text":"from the heron","tags":["b"]}][tool memory_get {}] go', self.session(), agent=name)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.read("MEMORY.md"), ('"2"', "from a person\nfrom the heron"))
        self.assertEqual([r["path"] for r in self.search("heron")], ["MEMORY.md"])
        history = self.call("GET", self.at("MEMORY.md", "history"))["versions"]
        self.assertEqual(history[0]["by"], run)
        self.assertEqual(self.call("GET", self.base)["documents"][0]["tags"], ["b"])
        self.put("MEMORY.md", "all new: the kingfisher")
        self.assertEqual(self.search("heron"), [])
        run = self.post("who", self.session(), agent=name)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertIn("kingfisher", json.dumps(self.call("GET", f"/v1/runs/{run}/steps/1/request")["body"]))
        # deleted by a person, written again by the agent
        self.call("DELETE", self.at("MEMORY.md"))
        run = self.post('[tool memory_store {"text":"anew"}] go', self.session(), agent=name)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.read("MEMORY.md"), ('"4"', "anew"))
        self.assertEqual(self.executions(run)[0]["output"]["version"], 4)

    def test_pieces(self):
        """They cover the text in order, none is long, and what is not changed is not written anew."""
        lines = [f"line {n} of the log" if n % 50 else f"## part {n}" for n in range(1, 400)]
        self.put("log.md", "\n".join(lines))
        before = self.chunks("log.md")
        self.assertGreater(len(before), 4)
        self.assertEqual([c["chunk_no"] for c in before], list(range(1, len(before) + 1)))
        covered = 0
        for c in before:
            self.assertLessEqual(len(c["body"]), 1600)
            self.assertLessEqual(c["from_line"], covered + 1)
            self.assertGreater(c["to_line"], covered)
            self.assertEqual(c["body"], "\n".join(lines[c["from_line"] - 1:c["to_line"]]))
            covered = c["to_line"]
        self.assertEqual(covered, len(lines))
        self.assertTrue(any(c["body"].startswith("## part") for c in before))
        at = "SELECT min(xmin::text::bigint) FROM tb.memory_chunks WHERE agent_id = '%s' AND chunk_no = 1" % self.made["id"]
        first = self.node.sql(at)
        self.put("log.md", "\n".join(lines + ["the heron at the end"]))
        self.assertEqual(self.node.sql(at), first)
        self.assertEqual([r["toLine"] for r in self.search("heron")], [400])
        self.put("log.md", "short")
        self.assertEqual([c["body"] for c in self.chunks("log.md")], ["short"])
        for text in ("", "\n" * 5000, " "):
            self.put("log.md", text)
            self.assertEqual(self.chunks("log.md"), [])
        self.put("log.md", "x" * 5000 + "\n" + "y" * 100 + "\n")
        self.assertEqual([(c["from_line"], c["to_line"]) for c in self.chunks("log.md")], [(1, 1)] * 4 + [(2, 3)])

    def test_search(self):
        self.put("a.md", "The grey heron stands in the reeds")
        self.put("b.md", "A heron, a heron, a heron")
        self.put("c.md", "Nothing of birds: \"quoted words\" only")
        self.assertEqual({r["path"] for r in self.search("HERON")}, {"a.md", "b.md"})
        self.assertEqual([r["path"] for r in self.search("heron reeds")], ["a.md"])
        self.assertEqual([r["path"] for r in self.search("heron -reeds")], ["b.md"])
        self.assertEqual({r["path"] for r in self.search("reeds or quoted")}, {"a.md", "c.md"})
        self.assertEqual([r["path"] for r in self.search('"quoted words"')], ["c.md"])
        self.assertEqual(self.search('"words quoted"'), [])
        self.assertEqual(len(self.search("heron", limit=1)), 1)
        row = self.search("reeds")[0]
        self.assertEqual((row["text"], row["fromLine"], row["toLine"], row["version"]), ("The grey heron stands in the reeds", 1, 1, 1))
        self.assertGreater(row["score"], 0)
        other = self.create()
        self.assertEqual(self.call("GET", f"/v1/agents/{other['id']}/memory/search?q=heron")["results"], [])
        for query, param in (("", "q"), ("q=", "q"), ("q=%20", "q"), ("q=...", "q"), ("q=a&limit=51", "limit"), ("q=a&path=b", "path"), ("q=%00", "q"),
                             ("q=" + "x" * 1001, "q")):
            self.refused("GET", f"{self.base}/search?{query}", None, param)

    def test_pages(self):
        paths = ["MEMORY.md", "a.md", "notes/1.md", "notes/10.md", "notes/2.md", "notes/ü.md", "notes2/a.md"]
        for path in reversed(paths):
            self.put(path, "x")
        self.put("notes/3.md", "x")
        self.call("DELETE", self.at("notes/3.md"))
        self.assertEqual([d["path"] for d in self.pages(self.base, "documents", "after")], paths)
        self.assertEqual([d["path"] for d in self.pages(self.base, "documents", "after", prefix="notes/")], paths[2:6])
        self.assertEqual(self.pages(self.base, "documents", "after", prefix="zzz"), [])
        for n in range(4):
            self.put("a.md", f"text {n}")
        self.assertEqual([v["version"] for v in self.pages(self.at("a.md", "history").split("?")[0], "versions", path="a.md")], [5, 4, 3, 2, 1])

    def test_what_is_no_document(self):
        for path in ("", "/a", "../a", "a/../b", "a//b", "a/", "a\\b", "a\nb", "x" * 201, "."):
            for method, kind in (("GET", "content"), ("PUT", "content"), ("DELETE", "content"), ("GET", "history")):
                self.refused(method, self.at(path, kind), "x" if method == "PUT" else None, "path")
        self.refused("GET", f"{self.base}/content", None, "path", "is needed")
        for text in (b"\xff", b"a\0b"):
            self.assertEqual(self.put("a.md", text, want=400)["error"]["param"], "body")
        self.put("big.md", "x" * (1 << 20))
        self.put("big.md", "x" * ((1 << 20) + 1), want=413)
        for tags in ("a,,b", ",", "x" * 64, ",".join(str(n) for n in range(21)), "a\n"):
            self.assertEqual(self.put("a.md", "x", want=400, tags=tags)["error"]["param"], "tags")
        for query, param in (({"version": 0}, "version"), ({"version": "x"}, "version"), ({"tags": "a"}, "tags")):
            self.refused("GET", self.at("a.md", **query), None, param)
        self.refused("GET", f"{self.base}?prefix=%0a", None, "prefix")
        self.refused("GET", f"{self.base}?before=x", None, "before", "no parameter")
        self.refused("PUT", self.at("a.md"), "x", "If-Match", **{"If-Match": "1"})
        self.call("GET", self.at("none.md"), want=404)
        self.call("GET", self.at("none.md", "history"), want=404)
        self.put("a.md", "x")
        self.refused("GET", self.at("a.md", version=2), None, "version", want=404)

    def test_another_tenant_and_other_scopes(self):
        self.put("a.md", "the heron")
        calls = [("GET", self.base, None), ("GET", self.at("a.md"), None), ("PUT", self.at("a.md"), "x"), ("DELETE", self.at("a.md"), None),
                 ("GET", self.at("a.md", "history"), None), ("GET", f"{self.base}/search?q=heron", None)]
        for method, path, body in calls:
            self.call(method, path, body, want=404, token=self.foreign)
            self.call(method, path, body, want=200 if method == "GET" else 403, token=self.reader)
        self.assertEqual(self.read("a.md"), ('"1"', "the heron"))

    def test_writers_at_once_are_one_after_the_other(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: self.node.request("PUT", self.at("a.md"), f"text {n}", headers={"If-Match": '"0"'})[0], range(8)))
            self.assertEqual(sorted(answers), [200] + [412] * 7)
            list(pool.map(lambda n: self.put("a.md", f"again {n}"), range(8)))
        self.assertEqual(self.read("a.md")[0], '"9"')
        self.assertEqual(len(self.chunks("a.md")), 1)

    def test_the_command_line(self):
        ctl = lambda *args, **kw: self.node.ctl(*args, "--agent", self.made["name"], **kw)
        put = ctl("memory", "put", "notes/a.md", "-", "--tags", "x,y", input="the heron\n")
        self.assertEqual((put.returncode, put.stderr), (0, ""))
        self.assertEqual(ctl("memory", "get", "notes/a.md").stdout, "the heron\n")
        listed = json.loads(ctl("memory", "list", "--prefix", "notes/", "--json").stdout)["documents"]
        self.assertEqual([(d["path"], d["tags"]) for d in listed], [("notes/a.md", ["x", "y"])])
        self.assertIn("notes/a.md", self.node.ctl("memory", "search", "--agent", self.made["name"], "heron").stdout)
        absent = ctl("memory", "get", "none.md")
        self.assertEqual(absent.returncode, 3)
        self.assertIn("no such document", absent.stderr)
        self.change(self.made["id"], temperature=1)
        revisions = self.node.ctl("agent", "revisions", self.made["name"], "--json")
        self.assertEqual([r["revision"] for r in json.loads(revisions.stdout)["revisions"]], [2, 1])


class Workflows(WithCatalogue):
    seconds = 3
    DOC = {"nodes": [{"id": "a", "type": "trigger", "position": {"x": 0, "y": 1.5}, "data": {"label": "begin"}},
                     {"id": "b", "position": {"x": 1, "y": 2}}], "edges": [{"id": "e", "source": "a", "target": "b", "sourceHandle": None}],
           "viewport": {"x": 0, "y": 0, "zoom": 1}}

    def test_versions(self):
        made = self.create()
        path = f"/v1/agents/{made['id']}/workflow"
        status, head, empty = self.node.get(path)
        self.assertEqual((status, head["etag"], empty["version"], empty["workflow"]), (200, '"0"', 0, {"nodes": [], "edges": []}))
        status, head, first = self.node.request("PUT", path, self.DOC, headers={"If-Match": '"0"'})
        self.assertEqual((status, head["etag"], first["version"], first["workflow"]), (200, '"1"', 1, self.DOC))
        self.assertEqual(self.call("GET", path), first)
        self.assertEqual(self.call("PUT", path, self.DOC), first)
        for n in range(2, 6):
            doc = {"nodes": self.DOC["nodes"][:1], "edges": [], "viewport": {"x": n, "y": 0, "zoom": 1}}
            self.assertEqual(self.call("PUT", path, doc, **{"If-Match": f'"{n - 1}"'})["version"], n)
        self.assertIn("version 5, not 1", self.call("PUT", path, self.DOC, want=412, **{"If-Match": '"1"'})["error"]["message"])
        self.assertEqual([v["version"] for v in self.pages(f"{path}/versions", "versions")], [5, 4, 3, 2, 1])
        old = self.call("GET", f"{path}/versions/1")
        self.assertEqual((old["workflow"], old["current"]), (self.DOC, False))
        for version in ("0", "6", "x"):
            self.call("GET", f"{path}/versions/{version}", want=404)
        self.assertEqual([r["detail"]["version"] for r in self.audited("workflow.put", made["id"])], [1, 2, 3, 4, 5])
        copy = self.call("POST", f"/v1/agents/{made['id']}/clone", {"name": self.name()}, want=201)
        self.assertEqual(self.call("GET", f"/v1/agents/{copy['id']}/workflow")["workflow"]["viewport"]["x"], 5)
        for method, rest, body in (("GET", "", None), ("PUT", "", self.DOC), ("GET", "/versions", None), ("GET", "/versions/1", None)):
            self.call(method, path + rest, body, want=404, token=self.foreign)
            self.call(method, path + rest, body, want=200 if method == "GET" else 403, token=self.reader)

    def test_what_is_none(self):
        made = self.create()
        path = f"/v1/agents/{made['id']}/workflow"
        node, edge = self.DOC["nodes"][1], self.DOC["edges"][0]
        for doc, param in (({"nodes": []}, "edges"), ({"nodes": {}, "edges": []}, "nodes"), ({"nodes": [], "edges": [], "name": "x"}, "name"),
                           ({"nodes": [node, node], "edges": []}, "nodes[1].id"), ({"nodes": [{**node, "colour": 1}], "edges": []}, "nodes[0].colour"),
                           ({"nodes": [{"id": "a"}], "edges": []}, "nodes[0].position"), ({"nodes": [node], "edges": [edge]}, "edges[0].source"),
                           ({"nodes": [node], "edges": [{**edge, "source": "b"}]}, "edges[0].target"),
                           ({"nodes": [], "edges": [], "viewport": 1}, "viewport")):
            self.refused("PUT", path, doc, param)
        self.refused("PUT", path, [], None)
        self.refused("GET", f"{path}/versions?limit=0", None, "limit")
        self.assertEqual(self.call("GET", path)["version"], 0)


class Spawns(WithCatalogue):
    seconds = 3

    def session_row(self, tenant=1):
        id = uuid.uuid4()
        agent = self.node.sql(f"SELECT agent_id FROM tb.agents WHERE tenant_id = {tenant} AND deleted_at IS NULL LIMIT 1")
        self.node.sql(f"INSERT INTO tb.agent_sessions (tenant_id, session_id, agent_id, session_key, slot) VALUES ({tenant}, '{id}', '{agent}', 'spawned:{id}', 1)")
        self.node.sql(f"INSERT INTO tb.lanes (tenant_id, session_id) VALUES ({tenant}, '{id}')")
        self.sessions.append(str(id))
        return str(id)

    def spawn(self, parent, depth, call=0, result="null"):
        child, self.count = self.session_row(), self.count + 1
        self.node.sql("INSERT INTO tb.subagent_spawns (tenant_id, parent_run_id, step, call_no, parent_session_id, child_session_id, child_run_id, depth,"
                      f" result) VALUES (1, '0192f3a0-0000-7000-8000-{self.count:012d}', 1, {call}, '{parent}', '{child}', '{uuid.uuid4()}', {depth},"
                      f" nullif('{result}'::jsonb, 'null'))")
        return child

    def setUp(self):
        super().setUp()
        self.sessions, self.count = [], 0
        self.root = self.session_row()

    def tearDown(self):
        for table, column in (("subagent_spawns", "parent_session_id"), ("lanes", "session_id"), ("agent_sessions", "session_id")):
            self.node.sql(f"DELETE FROM tb.{table} WHERE {column}::text = ANY ('{{{','.join(self.sessions)}}}')")
        super().tearDown()

    def tree(self, spawns):
        return [(s["childSessionId"], self.tree(s["children"])) for s in spawns]

    def test_a_tree(self):
        path = f"/v1/sessions/{self.root}/spawns"
        self.assertEqual(self.call("GET", path), {"spawns": []})
        a = self.spawn(self.root, 1, result='{"text": "done"}')
        b = self.spawn(self.root, 1, result=json.dumps({"text": "x" * 5000}))
        below = self.spawn(a, 2)
        answer = self.call("GET", path)
        self.assertEqual(self.tree(answer["spawns"]), [(b, []), (a, [(below, [])])])
        self.assertEqual(answer["spawns"][1]["result"], {"text": "done"})
        self.assertTrue(answer["spawns"][0]["result"]["truncated"])
        self.assertEqual(answer["spawns"][1]["childSessionKey"], f"spawned:{a}")
        agent = self.call("GET", f"/v1/sessions/{self.root}")["agent"]
        self.assertEqual(self.call("GET", self.by_key(f"spawned:{self.root}", "/spawns", agent)), answer)
        for foreign in (path, self.by_key(f"spawned:{self.root}", "/spawns", agent)):
            self.call("GET", foreign, want=404, token=self.foreign)
        self.call("GET", f"/v1/sessions/{uuid.uuid4()}/spawns", want=404)
        self.refused("GET", f"{path}?limit=201", None, "limit")
        self.refused("GET", f"{path}?before={uuid.uuid4()}", None, "before")

    def test_pages_and_bounds(self):
        at = self.root
        for depth in range(1, 8):  # deeper than is shown
            at = self.spawn(at, depth)
        levels, spawns = 0, self.call("GET", f"/v1/sessions/{self.root}/spawns")["spawns"]
        while spawns:
            levels, last, spawns = levels + 1, spawns[0], spawns[0]["children"]
        self.assertEqual((levels, last["more"]), (5, True))
        self.assertEqual(len(self.call("GET", f"/v1/sessions/{last['childSessionId']}/spawns")["spawns"]), 1)
        for call in range(4):
            self.spawn(self.root, 1, call)
        path = f"/v1/sessions/{self.root}/spawns"
        self.assertEqual([s["id"] for s in self.pages(path, "spawns")], [s["id"] for s in self.call("GET", path)["spawns"]])
        child = self.call("GET", f"{path}?limit=1")["spawns"][0]["childSessionId"]
        for call in range(3):
            self.spawn(child, 2, call)
        cut = self.call("GET", f"{path}?limit=1")["spawns"][0]
        self.assertEqual((len(cut["children"]), cut["more"], cut["next"]), (1, True, cut["children"][0]["id"]))
        rest = self.call("GET", f"/v1/sessions/{child}/spawns?before={cut['next']}")["spawns"]
        self.assertEqual(len(rest), 2)
