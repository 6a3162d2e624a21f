# SPDX-License-Identifier: Apache-2.0
"""Every route of edge/routes.tbl, asked with the ids of another tenant, and with those of another end user: 404, as of what is not there; and
no list shows any of them. A new route is covered by what its path has behind its words (OBJECTS); one that changes something says here with
what body it is asked (BODIES)."""
import json
import os
import re
import unittest
import uuid

from invariants import violations
from node import ROOT, Node, wait_for

# What stands for ':' behind a word of a path: a key of the objects that `Things` makes, or a text that is everybody's ("=text").
OBJECTS = {"agents": "agent", "runs": "run", "sessions": "session", "agents/sessions": "key", "steps": "=1", "snapshots": "=1", "providers": "=openai",
           "keys": "provider_key", "approvals": "approval", "tokens": "token", "tenants": "tenant", "revisions": "=1", "dead-letters": "run", "ui": "key",
           "responses": "response", "models": "agent", "deliveries": "delivery", "executions": "execution",
           "versions": "=1"}

LINE = '{"seq":1,"role":"user","step":0,"createdAt":"2026-01-01T00:00:00.000000Z","content":{"blocks":[{"type":"text","text":"x"}]}}'
AGUI = {"threadId": "t", "runId": "r", "state": {}, "messages": [{"id": "m", "role": "user", "content": "hi"}], "tools": [], "context": [], "forwardedProps": {}}
UI = {"id": "chat", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "hi"}]}], "trigger": "submit-message"}
# What a route that takes a body is asked with; {} for one that needs none.
BODIES = {
    "RUN_POST": {"message": "hi"}, "RUN_CANCEL": {}, "FILE_PUT": "text", "SKILL_FILE_PUT": "text",
    "POLICY_PUT": {"profile": "minimal"}, "SESSION_POLICY_PUT": {"denied": ["read"]}, "CEILING_PUT": {"denied": ["exec"]},
    "SESSION_OPEN": {"sessionKey": "new"}, "SESSION_PATCH": {"title": "x"}, "SESSION_KEY_PATCH": {"title": "x"},
    "SESSION_APPEND": {"message": "x"}, "SESSION_KEY_APPEND": {"message": "x"}, "SESSION_RESET": {}, "SESSION_KEY_RESET": {},
    "SESSION_COMPACT": {}, "SESSION_KEY_COMPACT": {}, "SESSION_FORK": {"sessionKey": "f1"}, "SESSION_KEY_FORK": {"sessionKey": "f2"},
    "SESSION_REGENERATE": {}, "SESSION_KEY_REGENERATE": {}, "SESSION_EDIT": {"message": "x"}, "SESSION_KEY_EDIT": {"message": "x"},
    "SESSION_ARCHIVE": {}, "SESSION_KEY_ARCHIVE": {}, "SESSION_SKILLS_ANEW": {}, "SESSION_KEY_SKILLS_ANEW": {},
    "SESSION_IMPORT": LINE, "SESSION_KEY_IMPORT": LINE, "SESSION_RESTORE": {}, "SESSION_KEY_RESTORE": {},
    "KEY_ADD": {"key": "sk-0123456789abcdef"}, "KEY_SET": {"key": "sk-0123456789abcdef"}, "KEY_CHANGE": {"disabled": True}, "KEY_TEST": {},
    "APPROVAL_DECIDE": {"decision": "deny"}, "BUDGETS_PUT": {"scope": "tenant", "period": "day", "calls": 1000000},
    "AGENT_BUDGET_PUT": {"period": "day", "calls": 1000000}, "PRICES_PUT": {"provider": "openai", "model": "m", "input": 1, "output": 1},
    "RUN_STREAM_TOKEN": {}, "SESSION_STREAM_TOKEN": {}, "SESSION_KEY_STREAM_TOKEN": {}, "TOKEN_ADD": {"scopes": ["read"]}, "TOKEN_CHANGE": {"name": "x"},
    "TOKEN_ROTATE": {}, "TENANT_ADD": {"name": "third"}, "TENANT_CHANGE": {"weight": 5}, "TENANT_TOKEN": {"scopes": ["read"]},
    "AGENT_CREATE": {"name": "fresh"}, "AGENT_PUT": {"name": "main"}, "AGENT_PATCH": {"maxRunning": 5}, "AGENT_CLONE": {"name": "copy"},
    "REVISION_RESTORE": {}, "RUN_RETRY": {}, "RUN_APPROVE": {"decision": "deny"}, "DEAD_REDRIVE": {}, "AGUI": AGUI, "AGENT_AGUI": AGUI, "UI": UI, "AGENT_UI": UI,
    "MCP": {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "run_get", "arguments": {"runId": "{run}"}}},
    "OPENAI_CHAT": {"model": "main", "messages": [{"role": "user", "content": "hi"}]}, "OPENAI_RESPONSES": {"model": "main", "input": "hi"},
    "OPENAI_RESPONSE_CANCEL": {}, "WEBHOOK_SECRET_MAKE": {}, "WEBHOOK_SECRET_ROTATE": {}, "DELIVERY_AGAIN": {},
    "MEMORY_PUT": "a note", "WORKFLOW_PUT": {"nodes": [], "edges": []},
    "EMBEDDINGS": {"model": "openai/text-embedding-3-small", "input": "hi"},
}

# What belongs into a query, for a route that needs one, or that has a filter by id.
QUERIES = {
    "FILES_REMOVE": "path=a.txt", "FILE_GET": "path=a.txt", "FILE_PUT": "path=a.txt", "SKILL_FILES_REMOVE": "path=s/SKILL.md",
    "SKILL_FILE_GET": "path=s/SKILL.md", "SKILL_FILE_PUT": "path=s/SKILL.md", "SESSION_SEARCH": "q=secret", "SESSION_KEY_SEARCH": "q=secret",
    "MEMORY_GET": "path=a.md", "MEMORY_PUT": "path=a.md", "MEMORY_DELETE": "path=a.md", "MEMORY_HISTORY": "path=a.md", "MEMORY_SEARCH": "q=x",
    "AGENT_SEARCH": "q=secret", "RUN_LIST": "session={session}", "APPROVAL_LIST": "run={run}", "RUN_WAIT": "timeoutMs=0",
}

# Their ':' is a word of everybody's: what they show is held to, not their status.
SHARED = {"KEY_LIST", "KEY_ADD", "KEY_SET", "UI_RESUME"}
# Where the one whose objects they are is answered 404, too: there is no such step, snapshot, file or question here.
MISSING_ANYWAY = {"STEP_REQUEST", "SNAPSHOT_GET", "SNAPSHOT_KEY_GET", "FILE_GET", "FILES_REMOVE", "SKILL_FILE_GET", "SKILL_FILES_REMOVE",
                  "DEAD_GET", "DEAD_REDRIVE", "MEMORY_GET", "MEMORY_HISTORY", "MEMORY_DELETE", "WORKFLOW_GET", "WORKFLOW_VERSION", "DEAD_DISCARD", "RUN_RETRY", "RUN_APPROVE",
                  "TENANT_LIST", "TENANT_ADD", "TENANT_GET", "TENANT_CHANGE", "TENANT_REMOVE", "TENANT_TOKEN"}
# What stands behind these words is an end user's own; an agent, and what belongs to it, is everybody's of the tenant.
HIS = ("runs", "sessions", "approvals", "responses", "dead-letters", "executions", "deliveries")
ADD = "add to tests/scenario/test_separation.py, "


def routes():
    """[(name, method, pattern, scopes)] of edge/routes.tbl; one for each method."""
    with open(os.path.join(ROOT, "edge", "routes.tbl")) as f:
        found = re.findall(r'^ROUTE\((\w+), ([\w |]+), "([^"]+)", ([\w |]+), \w+\)', f.read(), re.M)
    return [(name, method.removeprefix("METHOD_"), pattern, set(re.findall(r"SCOPE_(\w+)", scopes)))
            for name, methods, pattern, scopes in found for method in methods.split(" | ")]


def kinds_of(pattern):
    """What each ':' of a pattern is; KeyError names the word that OBJECTS lacks."""
    words = pattern.split("/")
    out = []
    for i, word in enumerate(words):
        if word == ":":
            key = "agents/sessions" if words[i - 1] == "sessions" and "agents" in words[:i - 1] else words[i - 1]
            out.append(OBJECTS[key])
    return out


def path_of(name, pattern, things):
    kinds = iter(kinds_of(pattern))
    words = []
    for word in pattern.split("/"):
        kind = next(kinds) if word == ":" else None
        words.append(word if kind is None else kind[1:] if kind.startswith("=") else things[kind])
    query = QUERIES.get(name, "").format(**things)
    return "/".join(words) + ("?" + query if query else "")


class Things(unittest.TestCase):
    def make(self, node, token, key, user=None):
        """One of everything, of whose the token is; their ids by kind."""
        status, _, run = node.post("/v1/agents/main/runs", {"message": "a secret word", "sessionKey": key, **({"user": user} if user else {})}, token=token)
        self.assertEqual(status, 202, run)
        wait_for(lambda: node.get(f"/v1/runs/{run['runId']}/wait?timeoutMs=1000", token=token)[2]["status"] == "ok", 30)
        status, _, live = node.post("/v1/agents/main/runs", {"message": "later", "sessionKey": key, "delayMs": 3600000,
                                                             **({"user": user} if user else {})}, token=token)
        self.assertEqual(status, 202, live)
        row = node.rows(f"SELECT session_id, agent_id FROM tb.agent_runs WHERE run_id = '{run['runId']}'")[0]
        approval = str(uuid.uuid4())
        node.sql("INSERT INTO tb.approvals (tenant_id, approval_id, run_id, session_id, step, call_no, tool, input, state)"
                 f" SELECT tenant_id, '{approval}', run_id, session_id, 1, 1, 'read', '{{}}', 'once' FROM tb.agent_runs WHERE run_id = '{run['runId']}'")
        delivery = str(uuid.uuid4())
        node.sql("INSERT INTO tb.deliveries (tenant_id, delivery_id, run_id, channel, target, event, body, state)"
                 f" SELECT tenant_id, '{delivery}', run_id, 'webhook', 'https://example.invalid/', 'run.completed', '{{}}', 'failed' FROM tb.agent_runs"
                 f" WHERE run_id = '{run['runId']}'")
        node.sql("INSERT INTO tb.tool_executions (tenant_id, run_id, step, call_no, call_id, session_id, tool, effect, idem_key, state, input, fence)"
                 " SELECT tenant_id, run_id, 1, 1, 'c', session_id, 'read', 'pure', 'k', 'completed', '{}', 1 FROM tb.agent_runs"
                 f" WHERE run_id = '{run['runId']}'")
        return {"execution": run["runId"] + ":1:1", "delivery": delivery, "agent": row["agent_id"], "session": row["session_id"], "key": key, "run": run["runId"], "live": live["runId"], "approval": approval,
                "response": "resp_" + run["runId"]}

    def describe(self):
        """Fails for a route that nothing here covers, and says what to add."""
        for name, method, pattern, scopes in routes():
            try:
                kinds_of(pattern)
            except KeyError as e:
                self.fail(f"{name}: {ADD}OBJECTS, what of another tenant stands for ':' behind {e} (and make one in Things.make)")
            if scopes and method in ("POST", "PUT", "PATCH") and name not in BODIES:
                self.fail(f"{name}: {ADD}BODIES, a body that it takes")

    def body_of(self, name, method, things):
        body = BODIES.get(name) if method in ("POST", "PUT", "PATCH") else None
        if name == "MCP":
            body = json.loads(json.dumps(body).replace("{run}", things["run"]))
        return body

    def ids(self, things):
        return [v for k, v in things.items() if k not in ("agent", "tenant", "key", "provider_key", "token", "response")] + [things["key"]]

    def hold(self, node, name, method, pattern, things, token, has_id):
        """(status, answer) of another's question; what it may not show is held to here."""
        body = self.body_of(name, method, things)
        status, _, answer = node.request(method, path_of(name, pattern, things), body, token=token, timeout=20)
        asked = path_of(name, pattern, things)
        said = json.dumps(answer) if not isinstance(answer, str) else answer
        if has_id:
            self.assertEqual(status, 404, f"{name}: {method} {asked} with another's token: {said[:300]}")
        else:
            for thing in self.ids(things):
                self.assertNotIn(thing, said, f"{name}: {method} {asked} shows another's")
        return status


class Tenants(Things):
    """Two tenants, both with all scopes."""

    def test_every_route(self):
        self.describe()
        node = Node(migrated=True).start()
        try:
            two = self.two(node)
            one = self.make(node, None, "of-one")
            one["tenant"] = "1"
            one["token"] = node.token().split(".")[2]
            status, _, key = node.post("/v1/providers/openai/keys", {"key": "sk-of-one-0123456789", "label": "of-one"})
            self.assertEqual(status, 201, key)
            one["provider_key"] = key["id"]
            for name, method, pattern, scopes in routes():
                if scopes:
                    self.hold(node, name, method, pattern, one, two, ":" in pattern and name not in SHARED)
            live = dict(one, run=one["live"])
            for name, method, pattern, scopes in routes():
                if "/runs/:" in pattern:
                    self.hold(node, name, method, pattern, live, two, True)
            self.owner_is_answered(node, one)
            self.assertEqual(violations(node), {})
        finally:
            node.close()

    def two(self, node):
        for args in ("tenant create two", "agent create main --tenant two"):
            self.assertEqual(node.ctl(*args.split()).returncode, 0)
        return node.ctl("token", "create", "--tenant", "two", "--scopes", "run,read,write,admin").stdout.strip()

    def owner_is_answered(self, node, one):
        """The same questions by whom it belongs to: not 404, so that a path which is nowhere proves nothing. What takes a thing away comes last."""
        last = sorted((r for r in routes() if r[1] == "DELETE"), key=lambda r: ("responses" not in r[2], -r[2].count("/")))
        for name, method, pattern, scopes in [r for r in routes() if r not in last] + last:
            if not scopes or ":" not in pattern or name in MISSING_ANYWAY or name in ("TOKEN_REVOKE", "TOKEN_ROTATE", "RUN_EVENTS"):
                continue
            status, _, answer = node.request(method, path_of(name, pattern, one), self.body_of(name, method, one), timeout=20)
            gone = name in ("SESSION_DELETE", "KEY_TEST", "KEY_REMOVE")  # by another name it went before
            self.assertTrue(status != 404 or gone, f"{name}: {method} {path_of(name, pattern, one)} of one's own: {status} {answer}")
            self.assertNotIn(status, (400, 405), f"{name}: {answer}: {ADD}BODIES or QUERIES, what it takes")


class Users(Things):
    """Two end users of one tenant, who both may do what their tokens may, and no more of each other's than of another tenant's."""

    def test_every_route(self):
        self.describe()
        node = Node(migrated=True).start()
        try:
            tokens = {}
            for user in ("ann", "bob"):
                status, _, made = node.post("/v1/tokens", {"scopes": ["run", "read", "write"], "user": user})
                self.assertEqual(status, 201, made)
                tokens[user] = made["token"]
            bob = self.make(node, tokens["bob"], "of-bob")
            self.make(node, tokens["ann"], "of-ann")
            bob["tenant"] = "1"
            bob["token"] = node.token().split(".")[2]
            bob["provider_key"] = str(uuid.uuid4())
            for things in (bob, dict(bob, run=bob["live"])):
                for name, method, pattern, scopes in routes():
                    if not scopes - {"PLATFORM"} or scopes == {"ADMIN"} or "ADMIN" in scopes:
                        continue
                    is_his = any(f"/{word}/:" in pattern for word in HIS)
                    if method == "GET" or is_his:
                        self.hold(node, name, method, pattern, things, tokens["ann"], is_his)
            self.her_own(node, tokens)
            self.assertEqual(violations(node), {})
        finally:
            node.close()

    def her_own(self, node, tokens):
        runs = node.get("/v1/runs", token=tokens["ann"])[2]["runs"]
        self.assertEqual({r["sessionKey"] for r in runs}, {"of-ann"})
        self.assertEqual(len(runs), 2)
        self.assertEqual([s["user"] for s in node.get("/v1/sessions", token=tokens["ann"])[2]["sessions"]], ["ann"])
        self.assertEqual(len(node.get("/v1/agents/main/messages/search?q=secret", token=tokens["ann"])[2]["found"]), 1)
        self.assertEqual({r["sessionKey"] for r in node.get("/v1/runs")[2]["runs"]}, {"of-ann", "of-bob"})
        self.assertEqual(len(node.get("/v1/approvals", token=tokens["ann"])[2]["approvals"]), 1)
        for body, status in (({"message": "x", "sessionKey": "of-bob"}, 404), ({"message": "x", "sessionKey": "n", "user": "bob"}, 400),
                             ({"message": "x", "sessionKey": "n", "user": "ann"}, 202)):
            got = node.post("/v1/agents/main/runs", body, token=tokens["ann"])
            self.assertEqual(got[0], status, got)
        self.assertEqual(node.post("/v1/agents/main/sessions", {"sessionKey": "of-bob"}, token=tokens["ann"])[0], 404)
        got = node.get("/v1/runs", token=None, headers={"X-Terabits-User": "ann"})
        self.assertEqual((got[0], got[2]["error"]["param"]), (403, "X-Terabits-User"))


if __name__ == "__main__":
    unittest.main()
