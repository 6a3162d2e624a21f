# SPDX-License-Identifier: Apache-2.0
"""What is wrong is refused: the right status, one sentence that says what to do, and nothing kept."""
import http.server
import json
import os
import socket
import subprocess
import threading
import unittest

from node import Cluster, Node, ROOT, as_user, own, wait_for
from test_main_job import WithNode
from test_queue_modes import WithQueue


NOBODY = "0192f3a0-0000-7000-8000-00000000dead"


class Requests(WithNode):
    def refused(self, status, code, answer):
        self.assertEqual(answer[0], status, answer[2])
        error = answer[2]["error"]
        self.assertEqual(error["code"], code)
        self.assertEqual(set(error), {"code", "type", "message", "param", "status", "requestId"})
        self.assertTrue(error["message"])
        self.assertEqual(answer[1]["content-type"], "application/json")

    def test_bodies(self):
        post = lambda body, **kw: self.node.post("/v1/agents/main/runs", body, **kw)
        before = self.node.sql("SELECT count(*) FROM tb.agent_sessions")
        for body in ("", "{", "[]", "nonsense", '{"message":"x"} more', '{"message":"\\ud800"}', '{"message":"a\\u0000b"}',
                     b'{"message":"\xff"}', "[" * 100 + "]" * 100, '{"message":5}', '{"message":""}', "{}",
                     '{"message":"x","sessionKey":7}', '{"message":"x","mode":"nonsense"}', '{"message":"x","priority":101}',
                     json.dumps({"message": "x", "sessionKey": "k" * 513})):
            self.refused(400, "bad_request", post(body, headers={"Content-Type": "application/json"}))
        self.refused(413, "too_large", post(json.dumps({"message": "x" * (1 << 20)})))
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.agent_sessions"), before)

    def test_tokens(self):
        good = self.node.token()
        wrong = [good[:-1] + ("A" if good[-1] != "A" else "B"), good[:-5], "", "tb1.1.x.y", "nonsense", good.replace("tb1.1.", "tb1.2.")]
        for token in wrong:
            self.refused(401, "unauthorized", self.node.get("/v1/runs/0192f3a0-0000-7000-8000-000000000001", token=token))
        self.refused(401, "unauthorized", self.node.get("/v1/runs/x", headers={"Authorization": "Basic abc"}, token=""))

    def test_a_revoked_token(self):
        secret = "r" * 43
        self.node.sql("INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes) VALUES (1,"
                      f" '0192f3a0-0000-7000-8000-00000000000a', sha256('{secret}'), '{{read}}')")
        token = f"tb1.1.0192f3a0-0000-7000-8000-00000000000a.{secret}"
        path = "/v1/runs/0192f3a0-0000-7000-8000-000000000001"
        self.refused(404, "not_found", self.node.get(path, token=token))
        self.refused(403, "forbidden", self.node.post("/v1/agents/main/runs", {"message": "x"}, token=token))
        self.node.sql("UPDATE tb.api_tokens SET revoked_at = now() WHERE token_id = '0192f3a0-0000-7000-8000-00000000000a'")
        wait_for(lambda: self.node.get(path, token=token)[0] == 401, 15)

    def test_routes(self):
        self.refused(404, "not_found", self.node.get("/nowhere"))
        self.refused(404, "not_found", self.node.post("/v1/agents/nobody/runs", {"message": "x"}))
        self.refused(404, "not_found", self.node.get("/v1/runs/not-a-uuid"))
        status, head, answer = self.node.request("DELETE", "/healthz")
        self.refused(405, "method_not_allowed", (status, head, answer))
        self.assertIn("GET", head["allow"])
        self.assertEqual(self.node.get("/healthz", token="")[0], 200)
        self.assertEqual(self.node.get("/readyz", token="")[0], 200)

    def test_another_tenants_run_is_not_found(self):
        run, _ = self.node.run("hello", session="mine")
        self.node.sql("INSERT INTO tb.tenants (tenant_id, slug) VALUES (2, 'other') ON CONFLICT DO NOTHING")
        secret = "s" * 43
        self.node.sql("INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes) VALUES (2,"
                      f" '0192f3a0-0000-7000-8000-00000000000b', sha256('{secret}'), '{{run,read}}')")
        token = f"tb1.2.0192f3a0-0000-7000-8000-00000000000b.{secret}"
        for path in ("", "/events", "/wait"):
            self.refused(404, "not_found", self.node.get(f"/v1/runs/{run}{path}", token=token))
        self.refused(404, "not_found", self.node.post("/v1/agents/main/runs", {"message": "x"}, token=token))

    def test_raw_nonsense(self):
        for text in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n",
                     b"POST /v1/agents/main/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", self.node.port), timeout=10) as s:
                s.sendall(text)
                s.shutdown(socket.SHUT_WR)
                self.assertRegex(s.makefile("rb").read(), rb"^HTTP/1\.1 (4\d\d|505) ")
        self.assertEqual(self.node.get("/healthz")[0], 200)

    def test_the_admin_socket_is_for_its_owner(self):
        path = os.path.join(self.node.state, "admin.sock")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        s.sendall(b"nonsense\n")
        self.assertIn(b"error", s.recv(4096))
        s.close()


class Contract(WithNode):
    def test_what_has_to_be_there(self):
        """A parameter that the document calls required, a body likewise: without it the answer is 400 and names it."""
        document = self.node.get("/openapi.json")[2]
        asked = 0
        for pattern, operations in document["paths"].items():
            path = pattern.replace("{agent}", "main").replace("{sessionKey}", "none").replace("{session}", NOBODY).replace("{run}", NOBODY)
            for method, o in operations.items():
                needs = [p["name"] for p in o.get("parameters", []) if p.get("required") and p["in"] == "query"]
                with self.subTest(f"{method} {pattern}"):
                    if needs:
                        status, _, answer = self.node.request(method.upper(), path, b"x" if "requestBody" in o else None)
                        self.assertIn(status, (400, 404), answer)  # 404: where the session is looked for first
                        self.assertEqual(answer["error"]["param"], needs[0] if status == 400 else answer["error"]["param"], answer)
                        asked += status == 400
                    if o.get("requestBody", {}).get("required") and "{" not in path and pattern != "/v1/tenants":  # the platform's
                        status, _, answer = self.node.request(method.upper(), path, {})
                        self.assertEqual(status, 400, answer)
                        asked += 1
        self.assertGreater(asked, 15)


class Halves(http.server.BaseHTTPRequestHandler):
    """Each provider's recording of a stream with halves of pairs, U+0000 and calls of such names; asked with results: that is all."""
    asked = []
    ends = {"openai": ['{"choices":[{"index":0,"delta":{"content":"well \\ude00"},"finish_reason":"stop"}]}', "[DONE]"],
            "responses": ['{"type":"response.output_text.delta","output_index":0,"delta":"well \\ude00"}',
                          '{"type":"response.completed","response":{"status":"completed"}}'],
            "anthropic": ['{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"well \\ude00"}}',
                          '{"type":"message_delta","delta":{"stop_reason":"end_turn"}}'],
            "gemini": ['{"candidates":[{"content":{"parts":[{"text":"well \\ude00"}]},"finishReason":"STOP"}]}']}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        which = {"/chat/completions": "openai", "/responses": "responses", "/v1/messages": "anthropic"}.get(self.path, "gemini")
        self.asked.append(which)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if any(word in body for word in ('"role":"tool"', "function_call_output", "tool_result", "functionResponse")):
            self.wfile.write("".join(f"data: {e}\n\n" for e in self.ends[which]).encode())
        else:
            with open(os.path.join(ROOT, "tests", "data", "streams", f"{which}-halves.sse"), "rb") as f:
                self.wfile.write(f.read())

    def log_message(self, *args):
        pass


class Models(WithQueue):
    """A model that writes what is no Unicode."""
    @classmethod
    def setUpClass(cls):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Halves)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        cls.node = Node(model="offline", migrated=True)
        cls.addClassCleanup(cls.node.close)
        for name in ("OPENAI", "ANTHROPIC", "GEMINI"):
            cls.node.env[f"{name}_BASE_URL"] = f"http://127.0.0.1:{server.server_address[1]}"
            cls.node.env[f"{name}_API_KEY"] = "sk-of-this-test"
        cls.node.start()

    def test_the_session_lives(self):
        """Of each provider: nothing is asked twice, pairs are joined, the rest is replaced, wherever it stands; and told."""
        for provider, which in (("openai", "openai"), ("openai-responses", "responses"), ("anthropic", "anthropic"), ("gemini", "gemini")):
            with self.subTest(provider):
                Halves.asked.clear()
                run = self.post("hello", f"halves-{which}", agent=self.agent(model=f"{provider}/recorded", fallbacks=[]))
                self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail(30))
                self.assertEqual(Halves.asked, [which] * 2)
                answer, result, last = [m["content"]["blocks"] for m in self.transcript(run)][1:]
                said = {b["type"]: b for b in answer}
                self.assertEqual(said["reasoning"]["text"], "hm \U0001F600 so")
                self.assertEqual(said["text"]["text"], "whole \U0001F600, cut \U0001F600, first \ufffdalone, \ufffd second, \ufffd none")
                self.assertEqual(said["tool_call"]["name"], "re\ufffdad")
                self.assertEqual(said["tool_call"]["arguments"]["path"][:1], "\U0001F30D")
                self.assertIn("there is no tool", result[0]["text"])
                self.assertEqual(last[0]["text"], "well \ufffd")
                events = self.node.rows(f"SELECT body FROM tb.run_events WHERE run_id = '{run}' AND type = 'assistant' ORDER BY ev_seq")
                self.assertEqual([e["body"]["metadata"]["replaced"] for e in events][1:], [1])
                self.assertGreaterEqual(events[0]["body"]["metadata"]["replaced"], 4)
        self.assertIn("event=model-text-mended", self.node.log())


class Starts(unittest.TestCase):
    """terabitsd where it cannot run: one clear line, a status that is not 0, nothing left running."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node(migrated=True)
        cls.addClassCleanup(cls.node.close)

    def start(self, env=None, command=None, seconds=30):
        p = subprocess.run((command or []) + self.node.command("terabitsd"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           env={**self.node.program_env(), **(env or {})}, cwd="/", timeout=seconds)
        wait_for(lambda: not self.node.all_pids(), 10)
        return p

    def said(self, p, *words):
        self.assertNotEqual(p.returncode, 0)
        errors = [l for l in p.stdout.splitlines() if "level=error" in l]
        self.assertTrue(errors, p.stdout)
        for word in words:
            self.assertIn(word, " ".join(errors))
        self.assertNotIn("event=bug", p.stdout)

    def test_postgres_is_absent(self):
        self.node.cluster.stop("fast")
        try:
            self.said(self.start(), "Postgres cannot be reached", "TERABITS_DATABASE_URL")
        finally:
            self.node.cluster.start()

    def test_the_port_is_taken(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", self.node.port))
            s.listen(1)
            self.said(self.start(), "is in use", "TERABITS_LISTEN")

    def test_a_port_that_gets_free(self):
        """A killed predecessor's socket lives as long as its last process needs to die."""
        s = socket.socket()
        s.bind(("127.0.0.1", self.node.port))
        s.listen(1)
        threading.Timer(0.3, s.close).start()
        self.node.start_daemon()
        self.node.wait_ready()
        self.assertEqual(self.node.stop(), 0)

    def test_addresses_that_are_none(self):
        for address in ("nonsense", "127.0.0.1:99999", "256.1.1.1:80"):
            p = self.start({"TERABITS_LISTEN": address})
            self.said(p, "TERABITS_LISTEN")
            self.assertEqual(p.returncode, 2)

    def test_numbers_that_are_none(self):
        p = self.start({"TERABITS_WORKERS": "many"})
        self.said(p, "TERABITS_WORKERS", "1 to 62")
        self.assertEqual(p.returncode, 2)

    def test_no_state(self):
        self.said(self.start({"TERABITS_STATE_DIR": self.node.dir + "/nothing"}), "terabitsctl migrate")

    @unittest.skipIf(os.getuid(), "needs root to mount")
    def test_a_read_only_state(self):
        p = self.start(command=["unshare", "--mount", "sh", "-c",
                                f'mount --bind {self.node.state} {self.node.state} && mount -o remount,bind,ro {self.node.state} && exec "$@"',
                                "sh"])
        self.said(p, "admin socket", "writable")

    def test_no_namespaces(self):
        # Inside a user namespace that allows no further ones, without the right to make others.
        script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --ambient-caps=-all --inh-caps=-all --no-new-privs \"$@\""
        inner = [os.path.join(self.node.bin, "terabitsd")]
        prefix = as_user() + ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "sh", "-c", script, "sh"]
        p = subprocess.run(prefix + inner, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.node.program_env(),
                           cwd="/", timeout=60)
        wait_for(lambda: not self.node.all_pids(), 10)
        self.said(p, "namespaces are refused", "sysctl")
        self.assertEqual(p.returncode, 2)

    def test_root_of_a_namespace_without_the_nodes_user(self):
        p = subprocess.run(as_user() + ["unshare", "--user", "--map-root-user", os.path.join(self.node.bin, "terabitsd")], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**self.node.program_env(), "TERABITS_USER": "daemon"},
                           cwd="/", timeout=60)
        self.said(p, "TERABITS_USER", "user namespace", "ordinary user")
        self.assertEqual(p.returncode, 2)

    def test_a_missing_program(self):
        p = self.start({"TERABITS_BINARIES": "/nonexistent"})
        self.said(p, "terabits-edge", "TERABITS_BINARIES")

    def test_a_second_node_on_one_database(self):
        n = self.node
        n.start_daemon()
        n.wait_ready()
        try:
            other = n.dir + "/state2"
            subprocess.run(["cp", "-r", n.state, other], check=True)
            own(other)
            p = subprocess.run(n.command("terabitsd"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", timeout=60,
                               env={**n.program_env(), "TERABITS_STATE_DIR": other, "TERABITS_LISTEN": "127.0.0.1:0",
                                    "TERABITS_RUNTIME_DIR": n.runtime + "2"})
            self.said(p, "another terabitsd serves this database")
        finally:
            n.stop()

    def test_a_role_with_too_many_rights(self):
        sql = self.node.sql
        sql("ALTER ROLE tb_worker BYPASSRLS")
        try:
            self.said(self.start(), "row-level security")
        finally:
            sql("ALTER ROLE tb_worker NOBYPASSRLS")

    def test_an_older_schema(self):
        sql = self.node.sql
        sql("CREATE TABLE public.kept AS SELECT * FROM tb_meta.migrations WHERE version = (SELECT max(version) FROM tb_meta.migrations)")
        sql("DELETE FROM tb_meta.migrations WHERE version = (SELECT max(version) FROM tb_meta.migrations)")
        try:
            self.said(self.start(), "schema version", "terabitsctl migrate")
        finally:
            sql("INSERT INTO tb_meta.migrations SELECT * FROM public.kept")
            sql("DROP TABLE public.kept")


if __name__ == "__main__":
    unittest.main()
