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

    def pages(self, path, member, cursor="before", **query):
        """Every row of a list, a page of two at a time."""
        rows, place = [], {}
        while True:
            page = self.call("GET", f"{path}?{urllib.parse.urlencode({'limit': 2, **query, **place})}")
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

    def asked_with(self, agent, message, key):
        run = self.post(message, key, agent=agent["name"])
        wait_for(lambda: self.state(run) == "running")
        return run

    def test_modes_of_runs(self):
        """Every run is one of mode runtime; nothing pretends to be another."""
        self.call("POST", "/v1/agents/main/runs", {"message": "x", "sessionKey": self.session(), "mode": "runtime"}, want=202)
        self.refused("POST", "/v1/agents/main/runs", {"message": "x", "mode": "builder"}, "mode", "no builder tools")
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
