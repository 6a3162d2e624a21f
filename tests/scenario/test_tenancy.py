# SPDX-License-Identifier: Apache-2.0
"""Tenants, tokens, end users: who may do what, how often, what of it is whose, and who did it."""
import http.client
import json
import threading
import time
import unittest
import uuid

from invariants import violations
from node import Node, wait_for

NOBODY = str(uuid.UUID(int=7))


class Door(unittest.TestCase):
    """One node, one platform administrator."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node(migrated=True).start()
        cls.platform = cls.ctl("token", "create", "--platform", "--scopes", "admin").stdout.strip()

    @classmethod
    def tearDownClass(cls):
        cls.node.close()

    def tearDown(self):
        self.assertEqual(violations(self.node), {})

    @classmethod
    def ctl(cls, *args, status=0, **kw):
        p = cls.node.ctl(*args, **kw)
        if p.returncode != status:
            raise AssertionError(f"{args}: {p.returncode} {p.stdout} {p.stderr}")
        return p

    def ask(self, method, path, body=None, status=200, token=None, **kw):
        got, head, answer = self.node.request(method, path, body, token=token, **kw)
        self.assertEqual(got, status, f"{method} {path} {body}: {answer}")
        return head, answer

    def answer(self, *args, **kw):
        return self.ask(*args, **kw)[1]

    def mint(self, *scopes, token=None, **members):
        return self.answer("POST", "/v1/tokens", {"scopes": list(scopes) or ["run", "read"], **members}, 201, token=token)

    def refused(self, token, status=401, path="/v1/runs"):
        self.answer("GET", path, status=status, token=token)

    def audited(self, action, object, token=None):
        found = self.answer("GET", f"/v1/audit?action={action}&object={object}", token=token)["entries"]
        return [(e["actor"], e["detail"]) for e in found]

    def scheduled(self, token=None, **members):
        """A run that does not begin for an hour."""
        return self.answer("POST", "/v1/agents/main/runs", {"message": "later", "delayMs": 3600000, **members}, 202, token=token)["runId"]


class Tokens:
    def test_a_life(self):
        head, made = self.ask("POST", "/v1/tokens", {"scopes": ["run", "read"], "name": "web", "ttlSeconds": 3600,
                                                     "limits": {"requestsPerMinute": 100000, "tokensPerMinute": None}}, 201)
        secret, id = made.pop("token"), made["id"]
        self.assertEqual(secret.split(".")[:3], ["tb1", "1", id])
        self.assertEqual((made["name"], made["scopes"], made["state"], made["user"], made["version"], head["etag"]),
                         ("web", ["run", "read"], "active", None, 1, '"1"'))
        self.assertEqual(made["limits"], {"requestsPerMinute": 100000, "tokensPerMinute": None})
        self.assertNotIn(secret.split(".")[3], self.node.sql(f"SELECT k::text FROM tb.api_tokens k WHERE token_id = '{id}'"))
        head, _ = self.ask("GET", "/v1/runs", token=secret)
        self.assertEqual(head["x-ratelimit-limit-requests"], "100000")
        self.answer("GET", "/v1/tokens", status=403, token=secret)
        self.assertEqual(self.answer("GET", f"/v1/tokens/{id}")["id"], id)
        page = self.answer("GET", "/v1/tokens?limit=1")
        self.assertEqual([t["id"] for t in page["tokens"]], [id])
        rest = self.answer("GET", f"/v1/tokens?before={page['next']}")["tokens"]
        self.assertNotIn(id, [t["id"] for t in rest])
        self.assertNotIn("secret", json.dumps(page) + json.dumps(rest))

        self.answer("PATCH", f"/v1/tokens/{id}", {"name": "other"}, 412, headers={"If-Match": '"7"'})
        head, changed = self.ask("PATCH", f"/v1/tokens/{id}", {"name": None, "expiresAt": None, "limits": {"requestsPerMinute": None}},
                                 headers={"If-Match": '"1"'})
        self.assertEqual((changed["name"], changed["expiresAt"], changed["limits"]["requestsPerMinute"], head["etag"]), (None, None, None, '"2"'))

        rotated = self.answer("POST", f"/v1/tokens/{id}/rotate", {"graceSeconds": 600})
        self.assertIsNotNone(rotated["previousUntil"])
        for text in (secret, rotated["token"]):
            self.answer("GET", "/v1/runs", token=text)
        last = self.answer("POST", f"/v1/tokens/{id}/rotate", {})["token"]
        wait_for(lambda: self.node.get("/v1/runs", token=secret)[0] == 401, 5)
        self.refused(rotated["token"])
        self.answer("GET", "/v1/runs", token=last)

        self.assertEqual(self.answer("DELETE", f"/v1/tokens/{id}")["state"], "revoked")
        wait_for(lambda: self.node.get("/v1/runs", token=last)[0] == 401, 5)
        self.answer("PATCH", f"/v1/tokens/{id}", {"name": "x"}, 404)
        self.answer("POST", f"/v1/tokens/{id}/rotate", {}, 404)
        self.assertEqual(len(self.audited("token", id)), 5)
        self.assertEqual({a for a, _ in self.audited("token", id)}, {f"token:{self.node.token().split('.')[2]}"})

    def test_a_token_ends_by_itself(self):
        made = self.mint(ttlSeconds=1)
        self.answer("GET", "/v1/runs", token=made["token"])
        wait_for(lambda: self.node.get("/v1/runs", token=made["token"])[0] == 401, 5)
        self.assertEqual(self.answer("GET", f"/v1/tokens/{made['id']}")["state"], "expired")

    def test_streams_end_with_their_token(self):
        made = self.mint()
        run = self.scheduled()
        c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=20)
        c.request("GET", f"/v1/runs/{run}/events", headers={"Authorization": f"Bearer {made['token']}"})
        stream = c.getresponse()
        self.assertEqual(stream.status, 200)
        waiting = []
        waiter = threading.Thread(target=lambda: waiting.append(self.node.get(f"/v1/runs/{run}/wait?timeoutMs=20000", token=made["token"])))
        waiter.start()
        time.sleep(0)
        self.answer("DELETE", f"/v1/tokens/{made['id']}")
        began = time.monotonic()
        self.assertIn(b"retry:", stream.read())
        c.close()
        waiter.join()
        self.assertLess(time.monotonic() - began, 5)
        self.assertTrue(waiting[0][0] == 401 or waiting[0][2]["status"] == "timeout", waiting)
        self.answer("POST", f"/v1/runs/{run}/cancel", {})

    def test_what_a_body_may_say(self):
        for body, param in (
                ({}, "scopes"), ({"scopes": []}, "scopes"), ({"scopes": ["root"]}, "scopes"), ({"scopes": ["run", "run"]}, "scopes"),
                ({"scopes": "run"}, "scopes"), ({"scopes": ["run"], "name": ""}, "name"), ({"scopes": ["run"], "name": "x" * 64}, "name"),
                ({"scopes": ["run"], "ttlSeconds": 0}, "ttlSeconds"), ({"scopes": ["run"], "expiresAt": "soon"}, "expiresAt"),
                ({"scopes": ["run"], "expiresAt": "2020-01-01"}, "expiresAt"),
                ({"scopes": ["run"], "ttlSeconds": 9, "expiresAt": "2099-01-01"}, "ttlSeconds"),
                ({"scopes": ["run"], "limits": 5}, "limits"), ({"scopes": ["run"], "limits": {"requestsPerMinute": 0}}, "requestsPerMinute"),
                ({"scopes": ["run"], "limits": {"tokensPerMinute": "x"}}, "tokensPerMinute"), ({"scopes": ["run"], "limits": {"x": 1}}, "x"),
                ({"scopes": ["run"], "user": ""}, "user"), ({"scopes": ["admin"], "user": "u"}, "scopes"), ({"scopes": ["run"], "secret": "x"}, "secret")):
            error = self.answer("POST", "/v1/tokens", body, 400)["error"]
            self.assertEqual(error["param"], param, body)
        for query, param in (("limit=0", "limit"), ("before=x", "before"), ("state=odd", "state"), ("x=1", "x")):
            self.assertEqual(self.answer("GET", f"/v1/tokens?{query}", status=400)["error"]["param"], param)
        self.answer("GET", f"/v1/tokens/{NOBODY}", status=404)
        self.answer("GET", "/v1/tokens/x", status=404)
        self.answer("POST", f"/v1/tokens/{NOBODY}/rotate", {"graceSeconds": -1}, 400)

    def test_when_it_was_used_last(self):
        made = self.mint()
        for _ in range(20):
            self.answer("GET", "/v1/runs", token=made["token"])

        def used():
            return self.answer("GET", f"/v1/tokens/{made['id']}")["lastUsedAt"]
        first = wait_for(used, 10)
        version = self.node.sql(f"SELECT xmin FROM tb.api_tokens WHERE token_id = '{made['id']}'")
        self.answer("GET", "/v1/runs", token=made["token"])
        self.assertEqual(used(), first)
        self.assertEqual(self.node.sql(f"SELECT xmin FROM tb.api_tokens WHERE token_id = '{made['id']}'"), version)

    def test_an_edge_cannot_mint_by_itself(self):
        """What its role may call needs an administrator's secret."""
        id = self.node.token().split(".")[2]
        for call in (f"tb.token_mint('{id}', 'guess', gen_random_uuid(), '{{\"scopes\": [\"run\"]}}', sha256('x'), NULL, NULL)",
                     f"tb.tenant_new('{id}', 'guess', NULL, '{{\"name\": \"x\"}}', NULL, NULL, NULL)"):
            p = self.node.cluster.psql("-c", f"BEGIN; SET LOCAL ROLE tb_edge; SELECT set_config('app.tenant_id', '1', true); SELECT {call}", check=False)
            self.assertIn("admin token required", p.stderr)
        p = self.node.cluster.psql("-c", "SET ROLE tb_edge; INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes)"
                                   " VALUES (1, gen_random_uuid(), sha256('x'), '{admin}')", check=False)
        self.assertIn("permission denied", p.stderr)


class Limits(Door):
    """How often: one node whose tokens and tenants have limits."""

    def drained(self, tenant, subject, most):
        """Takes all there is for a minute, as an edge of another node would."""
        self.node.sql(f"SELECT granted FROM tb.rate_take('{{{tenant}}}', '{{{subject}}}', '{{{most}}}', '{{{most}}}')")

    def test_requests_of_a_token(self):
        token = self.mint(limits={"requestsPerMinute": 3})
        left = []
        for _ in range(3):
            head, _ = self.ask("GET", "/v1/runs", token=token["token"])
            left.append((head["x-ratelimit-limit-requests"], head["x-ratelimit-remaining-requests"]))
        self.assertEqual(left, [("3", "2"), ("3", "1"), ("3", "0")])
        head, answer = self.ask("GET", "/v1/runs", status=429, token=token["token"])
        self.assertEqual((answer["error"]["code"], head["x-ratelimit-remaining-requests"]), ("rate_limited", "0"))
        self.assertIn(int(head["retry-after"]), range(15, 21))
        self.assertRegex(head["x-ratelimit-reset-requests"], r"^(1m0|5\d)s$")
        self.answer("GET", "/v1/runs")  # others go on
        self.answer("PATCH", f"/v1/tokens/{token['id']}", {"limits": {"requestsPerMinute": None}})
        wait_for(lambda: self.node.get("/v1/runs", token=token["token"])[0] == 200, 5)

    def test_all_edges_share_them(self):
        token = self.mint(limits={"requestsPerMinute": 60})
        self.drained(1, token["id"], 60)
        head, _ = self.ask("GET", "/v1/runs", status=429, token=token["token"])
        self.assertEqual(head["retry-after"], "1")
        wait_for(lambda: self.node.get("/v1/runs", token=token["token"])[0] == 200, 5, 0.2)

    def test_a_fast_token_costs_no_statement_a_request(self):
        token = self.mint(limits={"requestsPerMinute": 600000})
        taken = "SELECT level FROM tb.rate_buckets WHERE subject = '%s'" % token["id"]
        for _ in range(200):
            self.answer("GET", "/v1/tenant", token=token["token"])
        level = float(self.node.sql(taken))
        self.assertGreater(level, 597000)  # two leases of a second each, or three
        self.assertLess(level, 600000)

    def test_requests_of_a_tenant(self):
        self.ctl("tenant", "onboard", "small", "--agent", "main")
        one, two = (self.ctl("token", "create", "--tenant", "small", "--scopes", "read").stdout.strip() for _ in range(2))
        self.answer("PATCH", "/v1/tenants/small", {"limits": {"requestsPerMinute": 2}}, token=self.platform)
        wait_for(lambda: self.node.get("/v1/tenant", token=one)[1].get("x-ratelimit-limit-requests"), 5)
        answers = [self.node.get("/v1/tenant", token=t) for t in (two, one, two)]
        self.assertEqual(answers[-1][0], 429)
        self.assertIn("tenant", answers[-1][2]["error"]["message"])

    def used(self, run, tokens):
        self.node.sql("INSERT INTO tb.usage_ledger (tenant_id, run_id, step, call_no, agent_id, session_id, provider, model, tokens_in, tokens_out)"
                      f" SELECT tenant_id, run_id, 99, 1, agent_id, session_id, 'openai', 'm', {tokens}, 0 FROM tb.agent_run_queue WHERE run_id = '{run}'")

    def test_model_tokens_of_a_token(self):
        token, other = self.mint(limits={"tokensPerMinute": 1000}), self.mint()
        run = self.scheduled(token["token"], sessionKey="tpm")
        wait_for(lambda: self.node.sql(f"SELECT count(*) FROM tb.token_runs WHERE run_id = '{run}'") == "1", 5)
        self.used(run, 900)
        more = self.scheduled(token["token"], sessionKey="tpm")
        self.used(more, 200)

        def refused():
            got = self.node.post("/v1/agents/main/runs", {"message": "x", "delayMs": 3600000, "sessionKey": "tpm"}, token=token["token"])
            return got if got[0] == 429 else None
        _, head, answer = wait_for(refused, 5, 0.2)
        self.assertEqual((head["x-ratelimit-limit-tokens"], head["x-ratelimit-remaining-tokens"]), ("1000", "0"))
        self.assertIn(int(head["retry-after"]), range(40, 61))
        self.assertIn("1100", answer["error"]["message"])
        self.answer("GET", "/v1/runs", token=token["token"])  # it may read
        self.scheduled(other["token"], sessionKey="tpm")

    def test_model_tokens_of_a_tenant(self):
        made = self.answer("POST", "/v1/tenants", {"name": "thirsty", "limits": {"tokensPerMinute": 10}, "agent": {"name": "main"}, "token": {}}, 201,
                           token=self.platform)
        token = made["token"]["token"]
        self.used(self.scheduled(token), 10)
        wait_for(lambda: self.node.post("/v1/agents/main/runs", {"message": "x", "delayMs": 3600000}, token=token)[0] == 429, 5, 0.2)
        status, _, answer = self.node.post("/v1/embeddings", {"model": "openai/small", "input": "x"}, token=token)
        self.assertEqual((status, answer["error"]["code"]), (429, "rate_limited"))

    def test_z_who_guesses(self):
        """Last: then this address waits."""
        good = self.mint()
        self.answer("GET", "/v1/runs", token=good["token"])
        bad = good["token"][:-4] + "AAAA"
        for _ in range(40):
            status, head, _ = self.node.get("/v1/runs", token=bad)
            if status == 429:
                break
            self.assertEqual(status, 401)
        self.assertEqual(status, 429)
        self.assertIn(int(head["retry-after"]), range(1, 6))
        self.answer("GET", "/v1/runs", token=good["token"])  # who is known goes on
        unknown = self.node.get("/v1/runs", token=f"tb1.1.{NOBODY}.{'x' * 43}")
        self.assertEqual(unknown[0], 429)


class Streams:
    """Tokens for EventSource."""

    def open(self, run, token, **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=20)
        self.addCleanup(c.close)
        c.request("GET", f"/v1/runs/{run}/events?token={token}", headers=headers)
        return c.getresponse()

    def test_a_run(self):
        run = self.node.enqueue("hi", "s1")
        self.node.wait(run)
        api = self.mint("run", "read")
        made = self.answer("POST", f"/v1/runs/{run}/stream-token", {}, 201, token=api["token"])
        token = made["token"]
        self.assertEqual(made["runId"], run)
        answer = self.open(run, token)
        self.assertEqual(answer.status, 200)
        self.assertIn(b"event: lifecycle", answer.read())
        other = self.node.enqueue("hi", "s1")
        self.assertEqual(self.open(other, token).status, 403)
        for path in (f"/v1/runs/{run}", f"/v1/runs/{run}/wait", "/v1/runs"):
            self.assertIn(self.node.get(f"{path}?token={token}", token="")[0], (400, 401), path)
        self.assertEqual(self.node.get(f"/v1/runs/{run}", token=token)[0], 401)  # nor as a bearer token
        both = self.node.get(f"/v1/runs/{run}/events?token={token}")
        self.assertEqual((both[0], both[2]["error"]["param"]), (400, "token"))
        for bad in (token[:-1] + ("A" if token[-1] != "A" else "B"), token.replace(run, other), "ts1.x", token.rsplit(".", 2)[0] + ".9999999999." + token[-43:]):
            self.assertEqual(self.open(run, bad).status, 401, bad)
        self.answer("POST", f"/v1/runs/{NOBODY}/stream-token", {}, 404)
        self.assertEqual(self.answer("POST", f"/v1/runs/{run}/stream-token", {"ttlSeconds": 901}, 400)["error"]["param"], "ttlSeconds")
        self.answer("DELETE", f"/v1/tokens/{api['id']}")
        wait_for(lambda: self.open(run, token).status == 401, 5)
        self.assertNotIn(token[-43:], self.node.log())

    def test_its_time_to_connect(self):
        run = self.scheduled(sessionKey="s2")
        token = self.answer("POST", f"/v1/runs/{run}/stream-token", {"ttlSeconds": 1}, 201)["token"]
        wait_for(lambda: self.open(run, token).status == 401, 5, 0.3)
        # who comes back, as an EventSource does by itself, is let in; once the run is over, it is told to stay away
        run = self.node.enqueue("hi", "s5")
        self.node.wait(run)
        token = self.answer("POST", f"/v1/runs/{run}/stream-token", {"ttlSeconds": 1}, 201)["token"]
        wait_for(lambda: self.open(run, token).status == 401, 5, 0.3)
        last = self.node.events(run)[-1][0]
        again = self.open(run, token, **{"Last-Event-ID": "1"})
        self.assertEqual((again.status, f"id: {last}\n".encode() in again.read()), (200, True))
        over = self.open(run, token, **{"Last-Event-ID": last})
        self.assertEqual((over.status, over.read()), (204, b""))

    def test_a_session(self):
        run, foreign = self.node.enqueue("hi", "s3"), self.node.enqueue("hi", "s4")
        self.node.wait(run), self.node.wait(foreign)
        session = self.answer("GET", f"/v1/runs/{run}")["sessionId"]
        token = self.answer("POST", f"/v1/sessions/{session}/stream-token", {}, 201)["token"]
        self.assertEqual(self.open(run, token).status, 200)
        self.assertEqual(self.open(foreign, token).status, 404)
        by_key = self.answer("POST", "/v1/agents/main/sessions/s3/stream-token", {}, 201)
        self.assertEqual(by_key["sessionId"], session)


class Platform:
    """Tenants by the platform's administrator."""

    def test_tenants(self):
        _, made = self.ask("POST", "/v1/tenants", {"name": "acme", "weight": 50, "retentionDays": 7, "limits": {"requestsPerMinute": 6000},
                                                   "agent": {"name": "helper", "profile": "minimal", "systemPrompt": "Help."},
                                                   "token": {"name": "first"}}, 201, token=self.platform)
        tenant, token = made["tenant"], made["token"]["token"]
        self.assertEqual((tenant["name"], tenant["weight"], tenant["retentionDays"], made["token"]["scopes"]),
                         ("acme", 50, 7, ["run", "read", "write", "admin"]))
        self.assertTrue(token.startswith(f"tb1.{tenant['id']}."))
        run = self.answer("POST", "/v1/agents/helper/runs", {"message": "hi"}, 202, token=token)["runId"]
        self.assertEqual(self.answer("GET", f"/v1/runs/{run}/wait", token=token)["status"], "ok")
        self.assertEqual(self.answer("GET", "/v1/tenant", token=token)["id"], tenant["id"])
        self.assertEqual(self.answer("POST", "/v1/tenants", {"name": "acme"}, 409, token=self.platform)["error"]["param"], "name")
        for body, param in (({}, "name"), ({"name": "Acme"}, "name"), ({"name": "42"}, "name"), ({"name": "x", "weight": 0}, "weight"),
                            ({"name": "x", "agent": {}}, "agent.name"), ({"name": "x", "agent": {"name": "a", "odd": 1}}, "agent.odd"),
                            ({"name": "x", "token": {"scopes": ["root"]}}, "scopes")):
            self.assertEqual(self.answer("POST", "/v1/tenants", body, 400, token=self.platform)["error"]["param"], param, body)
        self.assertIn("acme", [t["name"] for t in self.answer("GET", "/v1/tenants", token=self.platform)["tenants"]])
        self.assertEqual(self.answer("GET", f"/v1/tenants/{tenant['id']}", token=self.platform)["name"], "acme")
        second = self.answer("POST", "/v1/tenants/acme/tokens", {"scopes": ["read"]}, 201, token=self.platform)
        self.answer("GET", "/v1/runs", token=second["token"])

        head, _ = self.ask("GET", "/v1/tenants/acme", token=self.platform)
        self.answer("PATCH", "/v1/tenants/acme", {"status": "suspended"}, 412, token=self.platform, headers={"If-Match": '"9"'})
        self.answer("PATCH", "/v1/tenants/acme", {"status": "suspended"}, token=self.platform, headers={"If-Match": head["etag"]})
        wait_for(lambda: self.node.get("/v1/runs", token=token)[0] == 403, 5)
        self.answer("PATCH", "/v1/tenants/acme", {"status": "active"}, token=self.platform)
        wait_for(lambda: self.node.get("/v1/runs", token=token)[0] == 200, 5)
        self.assertEqual(self.answer("DELETE", "/v1/tenants/acme", token=self.platform)["status"], "deleting")
        wait_for(lambda: self.node.get("/v1/runs", token=token)[0] in (401, 403), 5)
        self.answer("PATCH", "/v1/tenants/acme", {"status": "active"}, 404, token=self.platform)
        actions = [a["action"] for a in self.answer("GET", "/v1/audit?action=tenant", token=self.platform)["entries"]]
        for action in ("tenant.create", "tenant.token", "tenant.suspend", "tenant.resume", "tenant.delete"):
            self.assertIn(action, actions)
        self.ctl("tenant", "purge", "acme", "--yes")
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.agent_runs WHERE tenant_id = {tenant['id']}"), "0")
        self.answer("GET", "/v1/tenants/acme", status=404, token=self.platform)

    def test_nobody_else(self):
        for method, path, body in (("GET", "/v1/tenants", None), ("POST", "/v1/tenants", {"name": "x"}), ("GET", "/v1/tenants/1", None),
                                   ("PATCH", "/v1/tenants/1", {"weight": 1}), ("DELETE", "/v1/tenants/1", None), ("POST", "/v1/tenants/1/tokens", {})):
            self.assertIn("nothing at this path", self.answer(method, path, body, 404)["error"]["message"])
        self.answer("GET", "/v1/runs", status=403, token=self.platform)
        self.assertEqual(self.answer("POST", "/v1/tokens", {"scopes": ["run"]}, 400, token=self.platform)["error"]["param"], "scopes")
        own = self.answer("POST", "/v1/tokens", {"scopes": ["admin"], "name": "second"}, 201, token=self.platform)
        self.assertTrue(own["token"].startswith("tb1.0."))
        self.answer("GET", "/v1/tenants", token=own["token"])

    def test_onboarding(self):
        p = self.ctl("tenant", "onboard", "fresh", "--agent", "bot", "--model", "offline/offline")
        lines = [line.strip() for line in p.stdout.splitlines() if line.strip().startswith("curl ")]
        self.assertEqual(len(lines), 3, p.stdout)
        token = lines[0].split("Bearer ")[1].split("'")[0]
        run = self.answer("POST", "/v1/agents/bot/runs", {"message": "hello"}, 202, token=token)["runId"]
        self.assertEqual(self.answer("GET", f"/v1/runs/{run}/wait", token=token)["status"], "ok")
        self.assertIn("already", self.ctl("tenant", "onboard", "fresh", status=1).stderr)
        made = json.loads(self.ctl("tenant", "onboard", "json", "--json").stdout)
        self.answer("GET", "/v1/tenant", token=made["token"]["token"])

    def test_the_log(self):
        self.answer("PUT", "/v1/skills/files/content?path=s/SKILL.md", "---\nname: s\ndescription: d\n---\n", 201)
        self.answer("DELETE", "/v1/skills/files?path=s&recursive=true")
        entries = self.answer("GET", "/v1/audit?action=skill")["entries"]
        self.assertEqual([(e["action"], e["object"]) for e in entries], [("skill.remove", "s"), ("skill.write", "s/SKILL.md")])
        ids, before = [], ""
        for _ in range(100):
            page = self.answer("GET", f"/v1/audit?limit=1{before}")
            ids += [e["id"] for e in page["entries"]]
            if "next" not in page:
                break
            before = f"&before={page['next']}"
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(len(ids), int(self.node.sql("SELECT count(*) FROM tb.audit_log WHERE tenant_id = 1")))
        self.assertEqual(self.answer("GET", "/v1/audit?since=2099-01-01")["entries"], [])
        self.assertEqual(self.answer("GET", "/v1/audit?actor=nobody")["entries"], [])
        for query, param in (("since=x", "since"), ("before=x", "before"), ("limit=201", "limit")):
            self.assertEqual(self.answer("GET", f"/v1/audit?{query}", status=400)["error"]["param"], param)
        reader = self.mint("read")["token"]
        self.answer("GET", "/v1/audit", status=403, token=reader)


class Administration(Tokens, Streams, Platform, Door):
    """All of them on one node."""


if __name__ == "__main__":
    unittest.main()
