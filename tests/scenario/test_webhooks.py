# SPDX-License-Identifier: Apache-2.0
"""Completion webhooks: one delivery of each run's end that is asked for, signed, tried again, and lost by no death."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import secrets
import threading
import time
import uuid

from node import wait_for
from test_operations import WithStrangers

together = True


class Receiver:
    """A server that keeps what it is sent; the first part of a path says what it answers."""

    def __init__(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver.lock:
                    receiver.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                    n = sum(1 for path, _, _ in receiver.got if path == self.path)
                word = self.path.split("/")[1]
                if word == "slow":
                    receiver.go.wait(60)
                status = {"gone": 410, "fail": 500, "later": 429, "moved": 302, "twice": 500 if n < 3 else 200}.get(word, 200)
                try:
                    self.send_response(status)
                    if word == "later":
                        self.send_header("Retry-After", "3000")
                    if word == "moved":
                        self.send_header("Location", "/ok/moved")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:  # who sent it has died
                    pass

            def log_message(self, *args):
                pass

        self.got, self.lock, self.go = [], threading.Lock(), threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def at(self, path):
        with self.lock:
            return [(h, b) for p, h, b in self.got if p == path]

    def close(self):
        self.go.set()
        self.server.shutdown()
        self.server.server_close()


def signatures(secret, headers, body):
    """The one that the secret makes, and all that came with it, without their version."""
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), text, hashlib.sha256).digest()
    came = [s.removeprefix("v1,") for s in headers["webhook-signature"].split(" ")]
    return base64.b64encode(mac).decode(), came


class WithReceiver(WithStrangers):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not hasattr(cls.node, "receiver"):
            cls.node.receiver = Receiver()
        cls.receiver = cls.node.receiver

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()

    def path(self, word):
        return f"/{word}/{uuid.uuid4()}"

    def told(self, message, path, session=None, agent="main", **webhook):
        return self.post(message, session or f"wh-{uuid.uuid4()}", agent=agent, webhook={"url": self.receiver.url(path), **webhook})

    def deliveries(self, run):
        status, _, page = self.node.get(f"/v1/webhooks/deliveries?run={run}")
        self.assertEqual(status, 200, page)
        return page["deliveries"]

    def delivery(self, run, state=None, seconds=20, **more):
        """The one delivery of that run, once it is in that state."""
        def found():
            rows = self.deliveries(run)
            return rows and (state is None or rows[0]["state"] == state) and all(rows[0].get(k) == v for k, v in more.items()) and rows
        rows = wait_for(found, seconds, 0.1)
        self.assertEqual(len(rows), 1)
        return rows[0]

    def due(self, run):
        """Its next try is now, and its target does not rest."""
        self.node.sql("DELETE FROM tb.webhook_targets")
        self.node.sql(f"UPDATE tb.deliveries SET next_at = now() WHERE run_id = '{run}'")

    def secret(self):
        if not hasattr(self.node, "secret"):
            status, _, made = self.node.post("/v1/webhooks/secret")
            self.assertEqual(status, 201, made)
            self.node.secret = made["secret"]
        return self.node.secret


class Deliveries(WithReceiver):
    env = {"TERABITS_WEBHOOK_PRIVATE": "1"}

    def setUp(self):
        self.secret()

    def test_signed(self):
        path, session = self.path("ok"), f"wh-{uuid.uuid4()}"
        run = self.told("hello", path, session, events=["completed"])
        d = self.delivery(run, "sent")
        (headers, body), = self.receiver.at(path)
        right, came = signatures(self.secret(), headers, body)
        self.assertEqual(came, [right])
        self.assertNotEqual(came, [signatures("whsec_" + base64.b64encode(b"x" * 24).decode(), headers, body)[0]])
        self.assertNotEqual(came, [signatures(self.secret(), {**headers, "webhook-timestamp": "1"}, body)[0]])
        self.assertNotEqual(came, [signatures(self.secret(), headers, body + b" ")[0]])
        self.assertLess(abs(int(headers["webhook-timestamp"]) - time.time()), 60)
        said = json.loads(body)
        self.assertEqual((said["type"], said["data"]["runId"], said["data"]["sessionKey"], said["data"]["agent"], said["data"]["result"]["text"]),
                         ("run.completed", run, session, "main", "echo: hello"))
        self.assertEqual((d["id"], d["attempts"], d["status"], d["event"]), (headers["webhook-id"], 1, 200, "run.completed"))
        self.assertEqual(self.node.get(f"/v1/webhooks/deliveries/{d['id']}")[2]["body"], said)
        self.refused(404, "GET", f"/v1/webhooks/deliveries/{d['id']}", token=self.node.stranger)
        self.refused(404, "POST", f"/v1/webhooks/deliveries/{d['id']}/redeliver", token=self.node.stranger)
        self.assertEqual(self.node.get("/v1/webhooks/deliveries", token=self.node.stranger)[2], {"deliveries": []})
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.run_webhooks"), "0")

    def test_of_an_agent_and_every_end(self):
        path = self.path("ok")
        agent = self.agent(webhook={"url": self.receiver.url(path), "events": ["failed", "cancelled", "timed_out"]})
        session = f"wh-{uuid.uuid4()}"
        fine = self.post("fine", session, agent=agent)
        self.node.wait(fine)
        failed = self.failed(agent=agent)
        slow = self.asked("[delay 20000] x", session, agent=agent)
        waits = self.post("waits", session, agent=agent)
        late = self.post("late", session, agent=agent, deadlineMs=1)
        self.ended(late)
        self.cancel(waits)
        self.cancel(slow)
        self.ended(slow)
        wait_for(lambda: len(self.receiver.at(path)) >= 4)
        got = {json.loads(b)["data"]["runId"]: json.loads(b)["type"] for _, b in self.receiver.at(path)}
        self.assertEqual(got, {failed: "run.failed", slow: "run.cancelled", waits: "run.cancelled", late: "run.timed_out"})
        self.assertEqual(self.deliveries(fine), [])

    def test_both_and_a_message_that_was_taken(self):
        of_agent, of_run = self.path("ok"), self.path("ok")
        agent = self.agent(webhook={"url": self.receiver.url(of_agent)})
        session = f"wh-{uuid.uuid4()}"
        first = self.asked("[delay 1500] one", session, agent=agent)
        second = self.post("two", session, "steer", agent=agent, webhook={"url": self.receiver.url(of_run)})
        self.assertEqual(self.node.wait(first)["status"], "ok")
        wait_for(lambda: self.receiver.at(of_run) and len(self.receiver.at(of_agent)) == 2)
        said = json.loads(self.receiver.at(of_run)[0][1])
        if said["type"] == "run.superseded":  # it came into the first one
            self.assertEqual(said["data"]["mergedInto"], first)
        self.assertEqual(said["data"]["runId"], second)
        self.assertEqual(len(self.deliveries(second)), 2)
        self.node.wait(second)
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.run_webhooks"), "0")

    def test_tried_again(self):
        path = self.path("twice")
        run = self.told("hello", path)
        for attempts in (1, 2):
            d = self.delivery(run, "pending", attempts=attempts, status=500)
            self.assertEqual(d["error"], "it answered 500")
            self.due(run)
        d = self.delivery(run, "sent", attempts=3)
        got = self.receiver.at(path)
        self.assertEqual(({h["webhook-id"] for h, _ in got}, len({b for _, b in got})), ({d["id"]}, 1))
        for headers, body in got:
            right, came = signatures(self.secret(), headers, body)
            self.assertEqual(came, [right])

    def test_what_ends_it(self):
        gone, fail, later, moved = (self.told("x", self.path(w)) for w in ("gone", "fail", "later", "moved"))
        self.assertEqual(self.delivery(gone, "failed")["attempts"], 1)
        self.assertIn("redirects", self.delivery(moved, "pending", status=302)["error"])
        self.delivery(later, "pending", status=429)
        self.assertGreater(float(self.node.sql("SELECT extract(epoch FROM next_at - now()) FROM tb.deliveries"
                                               f" WHERE run_id = '{later}'")), 2500)
        self.delivery(fail, "pending", status=500)
        rest = self.node.sql(f"SELECT count(*) FROM tb.webhook_targets WHERE target LIKE '%/fail/%'")
        self.assertEqual(rest, "1")
        self.node.sql(f"UPDATE tb.deliveries SET attempts = 11 WHERE run_id = '{fail}'")
        self.due(fail)
        d = self.delivery(fail, "failed")
        self.assertEqual((d["attempts"], d["status"]), (12, 500))
        status, _, answer = self.node.post(f"/v1/webhooks/deliveries/{d['id']}/redeliver")
        self.assertEqual((status, answer), (202, {"state": "pending"}))
        self.delivery(fail, "pending", attempts=1)
        self.assertEqual(self.node.sql(f"SELECT action FROM tb.audit_log WHERE object = 'delivery:{d['id']}'"), "webhook.redeliver")
        self.node.sql(f"UPDATE tb.deliveries SET next_at = now() - interval '25 hours' WHERE run_id = '{later}'")
        self.assertIn("24 hours", self.delivery(later, "failed")["error"])
        self.node.sql("UPDATE tb.deliveries SET state = 'failed', done_at = now() WHERE state = 'pending'")

    def test_a_worker_that_dies_amid_it_and_a_slow_target(self):
        self.receiver.go.clear()
        path = self.path("slow")
        runs = [self.told(f"x {i}", path) for i in range(4)]
        wait_for(lambda: len(self.receiver.at(path)) == 2)  # no more at a time
        beside = self.told("y", self.path("ok"))
        self.assertEqual(self.delivery(beside, "sent", seconds=6)["attempts"], 1)
        self.assertEqual(len(self.receiver.at(path)), 2)
        first = {h["webhook-id"] for h, _ in self.receiver.at(path)}
        self.node.kill("worker")
        wait_for(lambda: len(self.receiver.at(path)) == 4, 30)
        self.receiver.go.set()
        for run in runs:
            self.delivery(run, "sent", 30)
        again = [h["webhook-id"] for h, _ in self.receiver.at(path)]
        self.assertEqual(len(set(again)), 4)
        self.assertGreater(max(again.count(id) for id in first), 1)

    def test_a_node_that_dies_amid_it(self):
        """Its lease ends, and the next life sends it again: the same message, under the same id."""
        self.receiver.go.clear()
        path = self.path("slow")
        run = self.told("x", path)
        wait_for(lambda: len(self.receiver.at(path)) == 1)
        self.node.daemon.kill()
        self.node.daemon.wait()
        wait_for(lambda: not self.node.all_pids(), 20)
        self.assertEqual(self.node.sql(f"SELECT state FROM tb.deliveries WHERE run_id = '{run}'"), "pending")
        self.receiver.go.set()
        self.node.start_daemon()
        self.node.wait_ready()
        wait_for(lambda: len(self.receiver.at(path)) == 2, 60)
        d = self.delivery(run, "sent", 30)
        self.assertEqual(({h["webhook-id"] for h, _ in self.receiver.at(path)}, len({b for _, b in self.receiver.at(path)})), ({d["id"]}, 1))

    def test_another_master_key(self):
        path = os.path.join(self.node.state, "secrets", "provider_master")
        with open(path) as f:
            old = f.read()
        new = secrets.token_hex(32) + "\n"
        self.rewrite(path, new + old)
        p = self.node.ctl("provider-key", "reseal", "--json")
        count = int(self.node.sql("SELECT count(*) FROM tb.webhook_secrets"))
        self.assertEqual((p.returncode, json.loads(p.stdout)), (0, {"resealed": count, "failed": 0}), p.stderr)
        self.rewrite(path, new)
        self.node.stop()
        self.node.start_daemon()
        self.node.wait_ready()
        path = self.path("ok")
        self.delivery(self.told("hello", path), "sent")
        (headers, body), = self.receiver.at(path)
        right, came = signatures(self.secret(), headers, body)
        self.assertEqual(came, [right])

    @staticmethod
    def rewrite(path, text):
        with open(path, "w") as f:  # owner and rights stay
            f.write(text)

    def test_the_secret(self):
        token = self.node.stranger
        self.refused(404, "GET", "/v1/webhooks/secret", token=token)
        status, _, first = self.node.post("/v1/webhooks/secret", token=token)
        self.assertEqual((status, first["secret"][:6]), (201, "whsec_"))
        self.refused(409, "POST", "/v1/webhooks/secret", token=token)
        status, _, second = self.node.post("/v1/webhooks/secret/rotate", token=token)
        self.assertEqual(status, 201)
        shown = self.node.get("/v1/webhooks/secret", token=token)[2]
        self.assertEqual((shown["id"], shown["previous"]["id"]), (second["id"], first["id"]))
        self.assertNotIn("secret", shown)
        path = self.path("ok")
        tenant = self.node.sql("SELECT tenant_id FROM tb.tenants WHERE slug = 'stranger'")
        made = self.node.ctl("agent", "create", "main", "--tenant", "stranger")
        self.assertIn(made.returncode, (0, 1), made.stderr)
        status, _, placed = self.node.post("/v1/agents/main/runs", {"message": "hi", "webhook": {"url": self.receiver.url(path)}}, token=token)
        self.assertEqual(status, 202, placed)
        headers, body = wait_for(lambda: self.receiver.at(path))[0]
        both = [signatures(s["secret"], headers, body)[0] for s in (second, first)]
        self.assertEqual(signatures(second["secret"], headers, body)[1], both)
        self.assertEqual(self.node.sql(f"SELECT string_agg(action, ',' ORDER BY at) FROM tb.audit_log WHERE tenant_id = {tenant}"
                                       " AND action LIKE 'webhook_secret%'"), "webhook_secret.create,webhook_secret.rotate")
        sealed = self.node.sql(f"SELECT count(*) FROM tb.webhook_secrets WHERE position('{first['secret'][6:]}' IN encode(sealed, 'base64')) > 0")
        self.assertEqual(sealed, "0")

    def test_bad_ones(self):
        for webhook in (1, {}, {"url": "ftp://x.example"}, {"url": "https://a b"}, {"url": "https://x.example", "events": []},
                        {"url": "https://x.example", "events": ["ended"]}, {"url": "https://x.example", "secret": "x"},
                        {"url": "https://x.example/" + "a" * 2000}):
            error = self.refused(400, "POST", "/v1/agents/main/runs", {"message": "hi", "webhook": webhook})
            self.assertEqual(error["param"], "webhook")
        p = self.node.ctl("agent", "create", "hooked", "--tenant", "main", "--config", "-", input='{"webhook":{"url":"x"}}')
        self.assertNotEqual(p.returncode, 0)
        for query, param in (("?state=x", "state"), ("?run=x", "run"), ("?agent=main", "agent")):
            self.assertEqual(self.refused(400, "GET", "/v1/webhooks/deliveries" + query)["param"], param)


class Guarded(WithReceiver):
    """As a node is by default: nothing inside of its network is told."""

    def test_private_addresses(self):
        for url in (self.receiver.url("/ok"), "https://127.0.0.1/x", "https://10.0.0.8", "https://[::1]/", "https://metadata.internal/"):
            error = self.refused(400, "POST", "/v1/agents/main/runs", {"message": "hi", "webhook": {"url": url}})
            self.assertEqual(error["param"], "webhook.url")
        path = self.path("ok")
        clear = self.post("x", "wh-1", agent=self.agent(webhook={"url": self.receiver.url(path)}))
        inside = self.post("x", "wh-1", agent=self.agent(webhook={"url": self.receiver.url(path).replace("http:", "https:")}))
        for run in (clear, inside):
            self.assertIn("no secret", wait_for(lambda: self.delivery(run).get("error"), every=0.1))
        self.secret()
        for run in (clear, inside):
            self.due(run)
            wait_for(lambda: "no secret" not in self.delivery(run)["error"], every=0.1)
            self.assertEqual(self.delivery(run)["state"], "pending")
        self.assertEqual(self.receiver.got, [])
