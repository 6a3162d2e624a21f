# SPDX-License-Identifier: Apache-2.0
"""Keys of model providers: whose is used, when a change counts, who sees what, and that no key stands anywhere in plain text."""
import glob
import http.server
import json
import os
import re
import secrets
import signal
import subprocess
import threading
import unittest

from invariants import violations
from node import Node, free_port, own, wait_for

NODE_KEY = "sk-node-0123456789-settings"


ANTHROPIC = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in (
    {"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"}))


class Model(http.server.ThreadingHTTPServer):
    """Answers every question with "hi", and remembers by which key it was asked."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys, self.heads, self.refused = [], [], set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heads.append({k.lower(): v for k, v in self.headers.items()})
        key = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        self.server.keys.append(key)
        if key in self.server.refused:
            body, status, kind = json.dumps({"error": {"message": f"Incorrect API key provided: {key}", "code": "invalid_api_key"}}), 401, "json"
        elif self.path == "/v1/messages":
            body, status, kind = ANTHROPIC, 200, "event-stream"
        else:
            chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]})
            body, status, kind = f"data: {chunk}\n\ndata: [DONE]\n\n", 200, "event-stream"
        self.send_response(status)
        self.send_header("Content-Type", f"{'text' if status == 200 else 'application'}/{kind}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


def key(name):
    """A new one, of which nothing stands anywhere yet."""
    return f"sk-{name}-{secrets.token_hex(12)}"


class ProviderKeys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = Model()
        cls.node = Node(model={"OPENAI_BASE_URL": cls.model.url, "OPENAI_API_KEY": NODE_KEY,
                               "ANTHROPIC_BASE_URL": cls.model.url.removesuffix("/v1")}).start()
        cls.secrets = [NODE_KEY]
        for args in ("tenant create two", "agent create main --tenant two", "agent create claude --tenant two --model anthropic/claude-x"):
            cls.ctl(*args.split())
        cls.two = cls.ctl("token", "create", "--tenant", "two", "--scopes", "admin").stdout.strip()

    @classmethod
    def tearDownClass(cls):
        cls.node.close()
        cls.model.shutdown()
        cls.model.server_close()

    def tearDown(self):
        for k in self.rows():
            self.ctl("provider-key", "delete", k["id"], "--yes")
        self.model.refused.clear()
        self.assertEqual(violations(self.node), {})

    @classmethod
    def ctl(cls, *args, status=0, **kw):
        p = cls.node.ctl(*args, **kw)
        if p.returncode != status:
            raise AssertionError(f"{args}: {p.returncode} {p.stdout} {p.stderr}")
        return p

    def rows(self, *args):
        return json.loads(self.ctl("provider-key", "list", "--json", *args).stdout)["keys"]

    def new(self, name):
        k = key(name)
        self.secrets.append(k)
        return k

    def set_by_ctl(self, secret, *args):
        return json.loads(self.ctl("provider-key", "set", "openai", "--json", *args, input=secret + "\n").stdout)

    def post(self, body, token=None, status=201, provider="openai"):
        got, _, answer = self.node.post(f"/v1/providers/{provider}/keys", body, token=token)
        self.assertEqual(got, status, answer)
        return answer

    def change(self, k, body, status=200, token=None, method="PATCH", **kw):
        got, head, answer = self.node.request(method, f"/v1/providers/openai/keys/{k}", body, token=token, **kw)
        self.assertEqual(got, status, answer)
        return answer

    def asked_by(self, token=None, agent="main"):
        """The key that a run's model is asked by; a run that does not complete says why."""
        self.model.keys.clear()
        status, _, run = self.node.post(f"/v1/agents/{agent}/runs", {"message": "hello", "sessionKey": secrets.token_hex(6)}, token=token)
        self.assertEqual(status, 202, run)
        _, _, answer = self.node.get(f"/v1/runs/{run['runId']}/wait?timeoutMs=30000", token=token)
        if answer["status"] != "ok":
            return answer.get("errorMessage") or json.dumps(answer)
        self.assertEqual(len(self.model.keys), 1)
        return self.model.keys[0]

    def test_whose_key_is_used(self):
        self.assertEqual(self.asked_by(), NODE_KEY)
        platform = self.new("platform")
        p = self.set_by_ctl(platform, "--platform")
        self.assertEqual(self.asked_by(), platform)
        self.assertEqual(self.asked_by(self.two), platform)
        own = self.new("own")
        k = self.post({"key": own, "label": "mine"})
        self.assertEqual((k["hint"], k["label"], k["disabled"], k["revision"], k["baseUrl"]), (own[-4:], "mine", False, 1, None))
        self.assertEqual(self.asked_by(), own)
        self.assertEqual(self.asked_by(self.two), platform)
        self.assertTrue(self.change(k["id"], {"disabled": True})["disabled"])
        self.assertEqual(self.asked_by(), platform)
        self.change(k["id"], {"disabled": False})
        self.assertEqual(self.asked_by(), own)
        self.change(k["id"], None, method="DELETE")
        self.assertEqual(self.asked_by(), platform)
        self.ctl("provider-key", "disable", p["id"])
        self.assertEqual(self.asked_by(), NODE_KEY)
        self.ctl("provider-key", "enable", p["id"])
        self.assertEqual(self.asked_by(self.two), platform)

    def test_another_secret_counts_for_the_next_run(self):
        k = self.post({"key": self.new("first")})
        for n in range(3):
            secret = self.new(f"next{n}")
            changed = self.change(k["id"], {"key": secret})
            self.assertEqual((changed["id"], changed["revision"], changed["hint"]), (k["id"], n + 2, secret[-4:]))
            self.assertEqual(self.asked_by(), secret)
        secret = self.new("ctl")
        self.ctl("provider-key", "rotate", k["id"], input=secret)
        self.assertEqual(self.asked_by(), secret)

    def test_the_way_it_is_sent(self):
        """In the provider's own way or as a bearer token, and by which version of the API."""
        secret = self.new("way")
        k = self.post({"key": secret, "version": "2099-01-02"}, token=self.two, provider="anthropic")
        for change, way, value, version in (({}, "x-api-key", secret, "2099-01-02"),
                                            ({"auth": "bearer", "version": None}, "authorization", f"Bearer {secret}", "2023-06-01")):
            if change:
                status, _, answer = self.node.request("PATCH", f"/v1/providers/anthropic/keys/{k['id']}", {"key": secret, **change}, token=self.two)
                self.assertEqual(status, 200, answer)
            self.asked_by(self.two, "claude")
            head = self.model.heads[-1]
            self.assertEqual((head.get(way), head["anthropic-version"]), (value, version))
            self.assertEqual([n for n, v in head.items() if secret in v], [way])

    def test_put_keeps_one_key_a_label(self):
        first, second = self.new("a"), self.new("b")
        path = "/v1/providers/openai/keys"
        status, _, a = self.node.request("PUT", path, {"key": first})
        self.assertEqual((status, a["label"]), (201, "default"))
        status, head, b = self.node.request("PUT", path, {"key": second})
        self.assertEqual((status, b["id"], b["revision"], head["etag"]), (200, a["id"], 2, '"2"'))
        self.assertEqual(self.asked_by(), second)
        self.post({"key": second, "label": "default"}, status=409)
        self.change(a["id"], {"label": "x"}, 412, headers={"If-Match": '"1"'})
        self.assertEqual(self.change(a["id"], {"label": None}, headers={"If-Match": '"2"'})["label"], None)

    def test_several_keys_of_one_provider(self):
        """By priority; one that the provider refuses is left out until it cooled down, or is another."""
        bad, good = self.new("bad"), self.new("good")
        k = self.post({"key": bad, "priority": -5})
        self.post({"key": good})
        self.assertEqual(self.asked_by(), bad)
        self.node.sql(f"INSERT INTO tb.provider_cooldowns VALUES (1, 'openai', '', '{k['id']}', now() + interval '1 hour', 'model_auth', 1)")
        wait_for(lambda: self.asked_by() == good)
        self.change(k["id"], {"key": bad})
        self.assertEqual(self.asked_by(), bad)

    def test_another_tenant_never_sees_it(self):
        k = self.post({"key": self.new("hidden")})
        path = f"/v1/providers/openai/keys/{k['id']}"
        self.assertEqual(self.node.get(path)[0], 200)
        for method, body in (("GET", None), ("PATCH", {"label": "x"}), ("PATCH", {"key": "sk-of-somebody-else"}), ("DELETE", None)):
            self.assertEqual(self.node.request(method, path, body, token=self.two)[0], 404, method)
        self.assertEqual(self.node.get("/v1/providers/openai/keys", token=self.two)[2], {"keys": []})
        self.assertEqual(self.asked_by(self.two), NODE_KEY)
        self.assertEqual(self.node.request("GET", path.replace("openai", "gemini"))[0], 404)
        self.assertEqual([r["id"] for r in self.node.get("/v1/providers/openai/keys")[2]["keys"]], [k["id"]])

    def test_it_is_kept(self):
        secret = self.new("kept")
        self.post({"key": secret})
        self.node.kill("worker")
        wait_for(lambda: self.node.get("/readyz")[0] == 200)
        self.assertEqual(self.asked_by(), secret)
        self.node.stop(signal.SIGKILL)
        self.node.start_daemon()
        self.node.wait_ready()
        self.assertEqual(self.asked_by(), secret)

    def test_a_row_of_another_opens_for_nobody(self):
        """Copied to another tenant, or sent to another address: neither that key is used, nor somebody else's instead."""
        own = self.post({"key": self.new("victim")})
        eve = self.post({"key": self.new("eve")}, token=self.two)
        self.node.sql(f"UPDATE tb.provider_keys e SET sealed = o.sealed, revision = 2 FROM tb.provider_keys o"
                      f" WHERE o.key_id = '{own['id']}' AND e.key_id = '{eve['id']}'")
        wait_for(lambda: "cannot be opened" in self.asked_by(self.two))
        self.assertEqual(self.model.keys, [])
        self.node.sql(f"UPDATE tb.provider_keys SET base_url = 'https://evil.example/v1', revision = 2 WHERE key_id = '{own['id']}'")
        wait_for(lambda: "cannot be opened" in self.asked_by())
        self.assertEqual(self.model.keys, [])

    def test_master_keys(self):
        secret = self.new("sealed")
        k = self.post({"key": secret})
        path = os.path.join(self.node.state, "secrets", "provider_master")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path) as f:
            old = f.read()
        self.assertTrue(re.fullmatch("[0-9a-f]{64}\n", old))
        new = secrets.token_hex(32) + "\n"
        self.rewrite(path, new)
        self.assertEqual(json.loads(self.ctl("provider-key", "reseal", "--json", status=1).stdout), {"resealed": 0, "failed": 1})
        self.rewrite(path, new + old)
        self.assertEqual(json.loads(self.ctl("provider-key", "reseal", "--json").stdout), {"resealed": 1, "failed": 0})
        self.assertNotEqual(self.rows()[0]["masterKey"], k["masterKey"])
        wait_for(lambda: "cannot be opened" in self.asked_by())  # the node knows the old one alone
        self.rewrite(path, new)
        self.node.stop()
        self.node.start_daemon()
        self.node.wait_ready()
        self.assertEqual(self.asked_by(), secret)

    def test_a_file_that_is_no_master_key(self):
        path = os.path.join(self.node.dir, "no-master-key")
        for text, mode, says in (("no key\n", 0o600, "line 1 is no master key"), ("00" * 32, 0o644, "open to everybody"), (None, 0, "cannot be read")):
            if text:
                with open(path, "w") as f:
                    f.write(text)
                os.chmod(path, mode)
                own(path)
            env = {**self.node.program_env(), "TERABITS_MASTER_KEY_FILE": path, "TERABITS_LISTEN": f"127.0.0.1:{free_port()}"}
            p = subprocess.run(self.node.command("terabitsd"), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, cwd="/")
            self.assertNotEqual(p.returncode, 0)
            self.assertIn(says, p.stdout)
            if os.path.exists(path):
                os.unlink(path)

    def rewrite(self, path, text):
        with open(path, "w") as f:  # owner and rights stay
            f.write(text)

    def test_what_is_refused(self):
        k = self.post({"key": self.new("there")})["id"]
        secret = self.new("refused")
        for body, param in (({}, "key"), ({"key": ""}, "key"), ({"key": 7}, "key"), ({"key": "a b"}, "key"), ({"key": "a\r\nX: y"}, "key"),
                            ({"key": "x" * 1001}, "key"), ({"key": secret, "label": ""}, "label"), ({"key": secret, "label": "a\nb"}, "label"),
                            ({"key": secret, "auth": "basic"}, "auth"), ({"key": secret, "version": "a b"}, "version"),
                            ({"key": secret, "priority": 101}, "priority"), ({"key": secret, "priority": 1.5}, "priority"),
                            ({"key": secret, "disabled": True}, "disabled"), ({"key": secret, "secret": 1}, "secret"),
                            *(({"key": secret, "baseUrl": u}, "baseUrl") for u in
                              ("http://api.example.com/v1", self.model.url, "https://127.0.0.1/v1", "https://localhost/v1", "https://10.1.2.3",
                               "https://169.254.169.254/latest", "https://[::1]/", "https://[::ffff:10.0.0.1]", "https://2130706433/",
                               "https://0177.1/", "https://[64:ff9b::a00:1]/", "https://metadata.google.internal/", "https://a@b.example.com",
                               "ftp://x.example.com", 7, "https://" + "a" * 1000))):
            answer = self.post(body, status=400)
            self.assertEqual(answer["error"].get("param"), param, (body, answer))
            self.assertNotIn(secret, json.dumps(answer))
        for body, param in (({}, None), ({"baseUrl": "https://api.example.com"}, "baseUrl"), ({"auth": "key"}, "auth"), ({"version": "1"}, "version"),
                            ({"disabled": "yes"}, "disabled")):
            self.assertEqual(self.change(k, body, 400)["error"].get("param"), param, body)
        self.post({"key": secret}, status=404, provider="nobody")
        self.assertEqual(len(self.rows()), 1)
        reader = self.ctl("token", "create", "--tenant", "default", "--scopes", "run,read,write").stdout.strip()
        self.post({"key": secret}, token=reader, status=403)
        self.change(k, {"disabled": True}, 403, token=reader)
        self.assertEqual(self.node.get("/v1/providers/openai/keys", token=reader)[0], 200)

    def test_what_terabitsctl_refuses(self):
        secret = self.new("argument")
        for args, status, says in ((["nobody", "--platform"], 2, "no model provider"), (["openai"], 2, "--tenant"),
                                   (["openai", "--tenant", "nobody"], 3, "no tenant"),
                                   (["openai", "--tenant", "two", "--base-url", "https://127.0.0.1/v1"], 2, "public network"),
                                   (["openai", "--platform", "--base-url", "ftp://x"], 2, "https://")):
            p = self.ctl("provider-key", "set", *args, input=secret, status=status)
            self.assertIn(says, p.stderr)
        self.ctl("provider-key", "set", "openai", "--platform", input="\n", status=2)
        self.ctl("provider-key", "rotate", "0192f3a0-0000-7000-8000-0000000000a1", input=secret, status=3)
        self.assertEqual(self.rows(), [])
        file = os.path.join(self.node.dir, "a-key")
        with open(file, "w") as f:
            f.write(secret + "\n")
        os.chmod(file, 0o644)
        k = self.set_by_ctl("", "--platform", "--key-file", file, "--base-url", self.model.url, "--auth", "bearer", "--priority", "3")
        os.unlink(file)
        self.assertEqual((k["baseUrl"], k["auth"], k["priority"]), (self.model.url, "bearer", 3))
        self.assertEqual(self.asked_by(), secret)  # who runs the node may name any address

    def test_no_key_in_plain_text(self):
        """Everywhere but at the model."""
        own, platform, refused = self.new("grep-own"), self.new("grep-platform"), self.new("grep-refused")
        self.set_by_ctl(platform, "--platform")
        k = self.post({"key": own})
        self.assertEqual(self.asked_by(), own)
        self.model.refused.add(refused)
        self.change(k["id"], {"key": refused})
        said = self.asked_by()
        self.assertIn("[redacted]", said)
        told = [said, json.dumps(self.node.get("/v1/providers/openai/keys")[2]), json.dumps(self.rows()), self.node.log()]
        for run in self.node.get("/v1/runs?limit=100")[2]["runs"]:
            told.append(json.dumps(self.node.events(run["runId"])))
        dump = subprocess.run([os.path.join(self.node.cluster.bin, "pg_dump"), "-h", self.node.cluster.socket, "-U", "postgres", "terabits"],
                              stdout=subprocess.PIPE, check=True).stdout
        found = [t.encode() for t in told] + [dump]
        pids = self.node.all_pids()
        self.assertGreaterEqual(len(pids), 4)
        for pid in pids:
            for name in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    found.append(f.read())
        for path in glob.glob(os.path.join(self.node.state, "**"), recursive=True):
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    found.append(f.read())
        for secret in self.secrets:
            if secret == NODE_KEY:  # an operator's setting: in the supervisor's environment as it was started
                continue
            for form in (secret.encode(), secret.encode().hex().encode()):
                self.assertEqual([f[:100] for f in found if form in f], [], secret)
        detail = self.node.sql("SELECT string_agg(action || detail::text, ' ') FROM tb.audit_log WHERE action LIKE 'provider_key.%'")
        self.assertIn("provider_key.add", detail)
        self.assertIn("provider_key.rotate", detail)


if __name__ == "__main__":
    unittest.main()
