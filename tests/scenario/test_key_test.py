# SPDX-License-Identifier: Apache-2.0
"""The test call of a provider key: what it proves, whom it asks, what it never says, and that a question outside of any lane disturbs none."""
import base64
import http.server
import json
import secrets
import threading
import time
import unittest
import urllib.parse

from invariants import violations
from node import Node, wait_for

MODELS = {"data": [{"id": f"m{i}"} for i in range(7)], "models": [{"name": f"m{i}"} for i in range(5)]}


class Handler(http.server.BaseHTTPRequestHandler):
    """A provider that knows some keys; `says` is how it refuses, {key} is the key it was shown."""
    protocol_version = "HTTP/1.1"

    def key(self):
        bearer = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        return bearer or self.headers["x-api-key"] or self.headers["x-goog-api-key"] or ""

    def reply(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def serve(self, answer):
        s, key = self.server, self.key()
        s.asked.append((self.command, self.path, key))
        if key in s.stalls:
            s.stalled.set()
            s.go_on.wait(30)
        if key in s.known:
            answer()
        else:
            self.reply(401, s.says.replace("{key}", key))

    def do_GET(self):
        self.serve(lambda: self.reply(200, self.server.shows))

    def do_POST(self):
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        chunk = {"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "length"}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 16}}
        text = "".join(f"data: {json.dumps(c)}\n\n" for c in (chunk, usage)) + "data: [DONE]\n\n"
        self.serve(lambda: self.reply(200, text, "text/event-stream"))

    def log_message(self, *args):
        pass


class Provider(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.bodies, self.known, self.stalls = [], [], set(), set()
        self.stalled, self.go_on = threading.Event(), threading.Event()
        self.shows = json.dumps(MODELS)
        self.says = json.dumps({"error": {"message": "Incorrect API key provided: {key}", "code": "invalid_api_key"}})
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *args):
        """Who asked did not wait."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class KeyTests(unittest.TestCase):
    workers = 1

    @classmethod
    def setUpClass(cls):
        cls.provider = Provider()
        url = cls.provider.url
        cls.node = Node(workers=cls.workers, model={"OPENAI_BASE_URL": url + "/v1", "OPENAI_API_KEY": "sk-node-0123456789-settings",
                                                    "ANTHROPIC_BASE_URL": url, "GEMINI_BASE_URL": url}).start()
        cls.ctl("tenant", "create", "two")
        cls.two = cls.ctl("token", "create", "--tenant", "two", "--scopes", "admin").stdout.strip()

    @classmethod
    def tearDownClass(cls):
        cls.provider.go_on.set()
        cls.node.close()
        cls.provider.shutdown()
        cls.provider.server_close()

    def tearDown(self):
        self.provider.go_on.set()
        self.provider.stalls.clear()
        self.assertEqual(violations(self.node), {})

    @classmethod
    def ctl(cls, *args, status=0, **kw):
        p = cls.node.ctl(*args, **kw)
        if p.returncode != status:
            raise AssertionError(f"{args}: {p.returncode} {p.stdout} {p.stderr}")
        return p

    def tenant(self):
        """A new one's token: how often one may test is counted by tenant."""
        slug = "t" + secrets.token_hex(4)
        self.ctl("tenant", "create", slug)
        return self.ctl("token", "create", "--tenant", slug, "--scopes", "admin").stdout.strip()

    def new(self, token, known=True, provider="openai"):
        secret = f"sk-{secrets.token_hex(16)}"
        if known:
            self.provider.known.add(secret)
        status, _, k = self.node.post(f"/v1/providers/{provider}/keys", {"key": secret}, token=token)
        self.assertEqual(status, 201, k)
        return k["id"], secret

    def ask(self, k, token=None, body=None, status=200, provider="openai"):
        got, _, answer = self.node.post(f"/v1/providers/{provider}/keys/{k}/test", body, token=token)
        self.assertEqual(got, status, answer)
        return answer

    def test_what_it_proves(self):
        token = self.tenant()
        k, secret = self.new(token)
        answer = self.ask(k, token)
        self.assertLess(answer.pop("latencyMs"), 10000)
        self.assertEqual(answer, {"ok": True, "key": k, "provider": "openai", "status": 200, "models": 7})
        self.assertEqual(self.provider.asked[-1], ("GET", "/v1/models", secret))
        detail = self.node.sql(f"SELECT actor LIKE 'token:%' FROM tb.audit_log WHERE action = 'provider_key.test' AND object = '{k}'")
        self.assertEqual(detail, "t")
        k, secret = self.new(token, provider="anthropic")
        self.assertEqual(self.ask(k, token, provider="anthropic")["models"], 7)
        self.assertEqual(self.provider.asked[-1], ("GET", "/v1/models?limit=1000", secret))
        k, secret = self.new(token, provider="gemini")
        self.assertEqual(self.ask(k, token, provider="gemini")["models"], 5)
        self.assertEqual(self.provider.asked[-1], ("GET", "/v1beta/models?pageSize=1000", secret))
        self.provider.shows = "<html>hello</html>"
        answer = self.ask(k, token, provider="gemini")
        self.provider.shows = json.dumps(MODELS)
        self.assertEqual((answer["ok"], answer["status"], answer["error"]["code"]), (False, 200, "model_broken_stream"))
        self.assertIn("base URL", answer["error"]["message"])

    def test_a_model_is_asked(self):
        token = self.tenant()
        k, secret = self.new(token)
        for name in ("gpt-x", "openai/gpt-x"):
            answer = self.ask(k, token, {"model": name})
            answer.pop("latencyMs")
            self.assertEqual(answer, {"ok": True, "key": k, "provider": "openai", "status": 200, "model": "gpt-x", "tokensIn": 12, "tokensOut": 16})
            self.assertEqual(self.provider.asked[-1], ("POST", "/v1/chat/completions", secret))
            self.assertEqual((self.provider.bodies[-1]["model"], self.provider.bodies[-1]["max_completion_tokens"]), ("gpt-x", 16))
        for body, param in (({"model": ""}, "model"), ({"model": 7}, "model"), ({"modell": "x"}, "modell"), ([], None)):
            answer = self.ask(k, token, body, 400)
            self.assertEqual(answer["error"].get("param"), param, body)
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.usage_ledger WHERE model = 'gpt-x'"), "0")

    def test_a_refused_key_is_never_shown(self):
        """Not as it is, not in another form, and not half of it."""
        token = self.tenant()
        k, secret = self.new(token, known=False)
        forms = {"{key}": secret, "{b64}": base64.b64encode(b"user:" + secret.encode()).decode(), "{url}": urllib.parse.quote(secret + "/=", safe=""),
                 "{long}": "x" * 190 + secret}
        says = self.provider.says
        for form, text in forms.items():
            self.provider.says = json.dumps({"error": {"message": f"Incorrect API key provided: {text}", "code": "invalid_api_key"}})
            for body in (None, {"model": "m"}):
                answer = self.ask(k, token, body)
                self.assertEqual((answer["ok"], answer["status"], answer["error"]["code"]), (False, 401, "model_auth"), form)
                told = json.dumps(answer)
                self.assertIn("[redacted]", told)
                for part in (secret, secret[:12], base64.b64encode(secret.encode()).decode()[4:20]):
                    self.assertNotIn(part, told)
        self.provider.says = says
        self.assertNotIn(secret, self.node.log())
        # A refusal leaves no cooldown: some keys may ask models, and not list them.
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.provider_cooldowns WHERE key_id = '{k}'"), "0")

    def test_a_success_ends_the_cooldown(self):
        token = self.tenant()
        k, _ = self.new(token)
        self.node.sql(f"INSERT INTO tb.provider_cooldowns SELECT tenant_id, 'openai', m, key_id, now() + interval '1 hour', r, 1 FROM tb.provider_keys,"
                      f" (VALUES ('', 'model_billing'), ('m', 'model_rate_limit'), ('n', 'model_rate_limit')) v(m, r) WHERE key_id = '{k}'")
        left = f"SELECT string_agg(model, ',' ORDER BY model) FROM tb.provider_cooldowns WHERE key_id = '{k}'"
        self.assertTrue(self.ask(k, token)["ok"])
        self.assertEqual(self.node.sql(left), ",m,n")  # the list says nothing of payment
        self.node.sql(f"UPDATE tb.provider_cooldowns SET reason = 'model_auth' WHERE model = '' AND key_id = '{k}'")
        self.assertTrue(self.ask(k, token)["ok"])
        self.assertEqual(self.node.sql(left), "m,n")
        self.assertTrue(self.ask(k, token, {"model": "m"})["ok"])
        self.assertEqual(self.node.sql(left), "n")

    def test_whose_it_is(self):
        k, _ = self.new(None)
        self.ask(k, self.two, status=404)
        self.ask(k, provider="gemini", status=404)
        self.ask("no-uuid", status=404)
        reader = self.ctl("token", "create", "--tenant", "default", "--scopes", "run,read,write").stdout.strip()
        self.ask(k, reader, status=403)
        # The platform's is the operator's to test; a capability for one key opens no other.
        secret = f"sk-{secrets.token_hex(16)}"
        self.provider.known.add(secret)
        p = json.loads(self.ctl("provider-key", "set", "openai", "--platform", "--json", input=secret).stdout)["id"]
        self.ask(p, status=404)
        answer = json.loads(self.ctl("provider-key", "test", p, "--json").stdout)
        self.assertEqual((answer["ok"], answer["models"], self.provider.asked[-1][2]), (True, 7, secret))
        self.ctl("provider-key", "disable", p)
        said = self.ctl("provider-key", "test", p, "--model", "gpt-x").stdout
        self.assertIn("gpt-x", said)
        self.provider.known.discard(secret)
        said = self.ctl("provider-key", "test", p, status=1).stdout
        self.assertIn("model_auth", said)
        self.assertNotIn(secret, said)
        self.ctl("provider-key", "test", "0192f3a0-0000-7000-8000-0000000000a1", status=3)
        self.ctl("provider-key", "delete", p, "--yes")
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.inquiries"), "0")
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.audit_log WHERE tenant_id = 0 AND action = 'provider_key.test' AND object = '{p}'"), "3")

    def test_how_often(self):
        token = self.tenant()
        k, secret = self.new(token)
        for _ in range(10):
            self.assertTrue(self.ask(k, token)["ok"])
        got, head, answer = self.node.post(f"/v1/providers/openai/keys/{k}/test", token=token)
        self.assertEqual((got, answer["error"]["code"]), (429, "tenant_full"))
        self.assertGreater(int(head["retry-after"]), 20)
        other = self.tenant()
        self.assertTrue(self.ask(self.new(other)[0], other)["ok"])

    def test_a_provider_that_says_nothing(self):
        """One at a time, with an end; runs go on meanwhile, and a worker that dies of something is no riddle."""
        token, other = self.tenant(), self.tenant()
        (k, secret), (o, another) = self.new(token), self.new(other)
        self.provider.stalls |= {secret, another}
        self.provider.go_on.clear()
        self.provider.stalled.clear()
        answers = {}

        def ask(name, key, by):
            began = time.monotonic()
            answers[name] = (*self.node.post(f"/v1/providers/openai/keys/{key}/test", token=by), time.monotonic() - began)

        threads = [threading.Thread(target=ask, args=("slow", k, token))]
        threads[0].start()
        self.assertTrue(self.provider.stalled.wait(10))
        self.assertEqual(self.ask(k, token, status=429)["error"]["message"], "a key of this tenant is being tested: one at a time")
        self.provider.known.add("sk-node-0123456789-settings")
        for _ in range(5):
            self.assertEqual(self.node.wait(self.node.enqueue("hello"))["status"], "ok")
        threads[0].join()
        status, _, answer, took = answers["slow"]
        self.assertEqual((status, answer["ok"], answer["error"]["code"]), (200, False, "model_timeout"))
        self.assertGreater(took, 9)
        self.provider.stalled.clear()
        threads.append(threading.Thread(target=ask, args=("killed", o, other)))
        threads[1].start()
        self.assertTrue(self.provider.stalled.wait(10))
        self.node.kill("worker")
        threads[1].join()
        status, head, answer, took = answers["killed"]
        self.assertEqual((status, answer["error"]["code"]), (503, "peer_gone"))
        self.assertIn("worker", answer["error"]["message"])
        self.assertLess(took, 8)
        self.provider.go_on.set()
        self.assertEqual(self.node.wait(self.node.enqueue("hello"))["status"], "ok")
        self.provider.stalls.clear()
        wait_for(lambda: self.node.post(f"/v1/providers/openai/keys/{o}/test", token=other)[0] == 200)


if __name__ == "__main__":
    unittest.main()
