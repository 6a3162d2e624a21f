# SPDX-License-Identifier: Apache-2.0
"""Clients that send without pause whatever happens, and remember what was accepted."""
import http.client
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scenario"))
from node import wait_for  # noqa: E402

AGAIN = (429, 500, 502, 503)


class Client(threading.Thread):
    """One lane. `send` runs until `stop`; what was accepted is in `accepted`: (run, number)."""

    mode = "followup"
    agent = "main"

    def __init__(self, node, lane, stop, seed=0):
        super().__init__(daemon=True)
        self.node, self.lane, self.stop = node, lane, stop
        self.random = random.Random(f"{seed} {lane}")
        self.accepted = []
        self.cancelled = set()
        self.error = None

    def run(self):
        try:
            number = 0
            while not self.stop.is_set():
                number += 1
                self.one(number)
        except Exception as e:  # noqa: BLE001 - the test reports it
            self.error = e

    def one(self, number):
        self.send(number, self.message(number))

    def message(self, number):
        if number % 4 == 0:
            return f'[pause 2][tool ledger_once {{"line":"{self.lane}-{number}"}}] {number}'
        if number % 4 == 1:
            return f'[tool ledger_keyed {{"line":"{self.lane}-{number}"}}][tool memory_store {{"path":"{self.lane}.md","text":"n{number}"}}] {number}'
        return f"[chunks 3] {number}"

    def ask(self, method, path, body=None, headers=None):
        """The first answer that is one; None when stopped meanwhile by `give_up`."""
        while True:
            try:
                status, _, answer = self.node.request(method, path, body, headers=headers, timeout=20)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if status not in AGAIN:
                return status, answer
            time.sleep(0.05)

    def send(self, number, message, **members):
        key = f"{self.lane}-{number}"  # so that a lost answer may be asked for again
        body = {"sessionKey": f"chaos-{self.lane}", "queueMode": self.mode, **members}
        if message:
            body["message"] = message
        status, answer = self.ask("POST", f"/v1/agents/{self.agent}/runs", body, {"Idempotency-Key": key})
        if status != 202:
            raise AssertionError(f"{status} {answer}")
        self.accepted.append((answer["runId"], number))
        return answer["runId"]


def wait_serving(node, kills, tend=lambda: None):
    """Until the node and all its children are ready again; tend() before each look."""
    def ready():
        tend()
        try:
            status = node.admin("status")
            return status["state"] == "serving" and all(c["state"] == "ready" for c in status["children"])
        except (OSError, ValueError):
            return False
    try:
        wait_for(ready, 60)
    except AssertionError:
        raise AssertionError(f"not serving again after {kills}: {node.tail(60)}") from None


class Steerer(Client):
    """A long run with tools, then messages into it."""

    mode = "steer"

    def message(self, number):
        if number % 5 == 1:
            return f'[pause 2][tool ledger_once {{"line":"{self.lane}-{number}"}}][tool memory_get {{}}] {number}'
        return f"[chunks 2] {number}"


class Collector(Client):
    mode = "collect"


class Interrupter(Client):
    mode = "interrupt"

    def one(self, number):
        self.send(number, self.message(number))
        self.stop.wait(self.random.uniform(0, 0.1))


class Canceller(Client):
    """Cancels every second run, whatever it is doing."""

    def one(self, number):
        run = self.send(number, self.message(number))
        if number % 2:
            return
        self.stop.wait(self.random.uniform(0, 0.03))
        self.cancelled.add(run)
        status, answer = self.ask("POST", f"/v1/runs/{run}/cancel")
        if status not in (200, 202, 409):
            raise AssertionError(f"cancel: {status} {answer}")


class Failer(Client):
    """A model that asks for more patience than a run has: retry_wait."""

    def message(self, number):
        return f"[status 503 1][retry-after 9] {self.lane}-{number}"

    def one(self, number):
        run = self.send(number, self.message(number))
        while not self.stop.is_set():  # one at a time: each takes nine seconds
            status, answer = self.ask("GET", f"/v1/runs/{run}/wait?timeoutMs=2000")
            if status != 200 or answer["status"] != "timeout":
                return


class Asker(Client):
    """A person who allows each call, or denies it."""

    agent = "asks"

    def message(self, number):
        return f'[tool ledger_once {{"line":"{self.lane}-{number}"}}] {number}'

    def one(self, number):
        run = self.send(number, self.message(number))
        while True:  # to its end, also after `stop`: nobody else answers
            status, answer = self.ask("GET", f"/v1/approvals?run={run}&state=pending")
            if status != 200:
                raise AssertionError(f"approvals: {status} {answer}")
            for approval in answer["approvals"]:
                self.decide(approval["id"])
            status, answer = self.ask("GET", f"/v1/runs/{run}/wait?timeoutMs=20")
            if status != 200 or answer["status"] != "timeout":
                return

    def decide(self, approval):
        body = {"decision": "approve"} if self.random.random() < 0.7 else {"decision": "deny", "message": "no"}
        status, answer = self.ask("POST", f"/v1/approvals/{approval}", body)
        if status not in (200, 404, 409):
            raise AssertionError(f"answer: {status} {answer}")


class Tooler(Client):
    """Has a tool of its own: each turn is two runs, the second of which brings the result."""

    tools = [{"name": "outside"}]

    def message(self, number):
        own = f'[tool ledger_once {{"line":"{self.lane}-{number}"}}]' if number % 2 else ""
        return f"[tool outside {{}}]{own} {number}"

    def one(self, number):
        run = self.send(number, self.message(number), clientTools=self.tools)
        while not self.stop.is_set():
            status, answer = self.ask("GET", f"/v1/runs/{run}/wait?timeoutMs=2000")
            if status == 200 and answer["status"] == "timeout":
                continue
            results = [{"toolCallId": c["id"], "content": f"{number}"} for c in answer.get("pendingToolCalls", [])]
            if results:
                self.send(f"{number}-results", None, toolResults=results, clientTools=self.tools)
            return


class Regenerator(Client):
    """Has every answer given again: a job that goes on as a turn."""

    def one(self, number):
        self.send(number, self.message(number))
        status, session = self.ask("POST", f"/v1/agents/{self.agent}/sessions", {"sessionKey": f"chaos-{self.lane}"})
        path = f"/v1/sessions/{session['sessionId']}/regenerate"
        status, answer = self.ask("POST", path, headers={"Idempotency-Key": f"{self.lane}-{number}-again"})
        if status != 202:
            raise AssertionError(f"{status} {answer}")
        self.accepted.append((answer["runId"], number))


def agent_that_asks(node):
    """Beside `main`, as it is; its policy asks for a tool with an effect outside."""
    node.sql("WITH a AS (INSERT INTO tb.agents (tenant_id, agent_id, name, revision, max_running) SELECT tenant_id, gen_random_uuid(), 'asks', 1, max_running"
             " FROM tb.agents WHERE name = 'main' RETURNING *), r AS (INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by)"
             " SELECT a.tenant_id, a.agent_id, 1, v.config, 'test' FROM a, tb.agents m JOIN tb.agent_revisions v USING (tenant_id, agent_id, revision)"
             " WHERE m.name = 'main') INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile, ask)"
             " SELECT tenant_id, agent_id, 'full', '{ledger_once}' FROM a")


def clients(node, stop, seed, each=1):
    kinds = [Client] * 4 + [Steerer, Steerer, Collector, Interrupter, Canceller, Canceller, Regenerator, Regenerator] + [Failer] * 4 + [Asker] * 2 + [Tooler] * 2
    return [kind(node, f"{kind.__name__}{i}", stop, seed) for i, kind in enumerate(kinds * each)]
