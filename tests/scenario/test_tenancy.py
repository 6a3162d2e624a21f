# SPDX-License-Identifier: Apache-2.0
"""Tenants, tokens, end users: who may do what, how often, what of it is whose, and who did it."""
import http.client
import json
import os
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


class Tokens(Door):
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


if __name__ == "__main__":
    unittest.main()
