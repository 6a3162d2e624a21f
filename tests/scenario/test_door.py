# SPDX-License-Identifier: Apache-2.0
"""The HTTP door: several edges, sockets in the file system, TLS, clients with certificates, and what a start refuses."""
import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
import uuid
import warnings

import http_corpus
from invariants import violations
from node import Node, free_port, own, wait_for
from test_main_job import text_of

together = True


class Authority:
    """Certificates of a test, made by openssl."""

    def __init__(self, dir):
        self.dir = dir
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path("ca.key"), "-out",
                     self.path("ca.pem"), "-subj", "/CN=test authority", "-days", "2", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def path(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def make(self, name, subject, alt=None):
        """name.pem and name.key, beside those that wear the same name."""
        request = self.path(f"{name}.csr")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(f"{name}.key"), "-out",
                     request, "-subj", f"/CN={subject}")
        with open(self.path("ext"), "w") as f:
            f.write("subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nkeyUsage=critical,digitalSignature\n")
            f.write(f"subjectAltName={alt}\n" if alt else "")
        self.openssl("x509", "-req", "-in", request, "-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key"), "-CAcreateserial", "-days", "2",
                     "-extfile", self.path("ext"), "-out", self.path(f"{name}.pem"))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def make_node():
    node = Node(model="fake", migrated=True)
    node.socket = os.path.join(node.dir, "http.sock")
    node.tls_port, node.mtls_port = free_port(), free_port()
    node.authority = Authority(tempfile.mkdtemp(dir=node.dir))
    os.chmod(node.authority.dir, 0o711)
    node.authority.make("server", "localhost", "IP:127.0.0.1,DNS:localhost")
    node.authority.make("client", "gateway")
    own(node.dir)
    node.env.update({
        "TERABITS_LISTEN": f"127.0.0.1:{node.port}, unix:{node.socket}, tls://127.0.0.1:{node.tls_port}, mtls://127.0.0.1:{node.mtls_port}",
        "TERABITS_EDGES": "2", "TERABITS_CORS_ORIGINS": "https://app.example", "TERABITS_TLS_CERT": node.authority.path("server.pem"), "TERABITS_TLS_KEY": node.authority.path("server.key"),
        "TERABITS_TLS_CLIENT_CA": node.authority.path("ca.pem")})
    return node.start()


node = None


def setUpModule():
    global node
    node = make_node()
    unittest.addModuleCleanup(node.close)


class WithDoor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = node

    def tearDown(self):
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0", 60)
        self.assertEqual(violations(self.node), {})

    def edges(self):
        return [c for c in self.node.admin("status")["children"] if c["kind"] == "edge"]

    def all_ready(self):
        wait_for(lambda: all(c["state"] == "ready" for c in self.node.admin("status")["children"]))

    def context(self, **kw):
        c = ssl.create_default_context(cafile=self.node.authority.path("ca.pem"))
        for name, value in kw.items():
            setattr(c, name, value)
        return c

    def ask(self, port, context, path="/healthz"):
        """(status, version, the server's certificate)"""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as raw, context.wrap_socket(raw, server_hostname="localhost") as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {self.node.token()}\r\n\r\n".encode())
            answer = s.makefile("rb").read()
            return int(answer.split()[1]), s.version(), s.getpeercert()


class Edges(WithDoor):
    def kill_edge(self, ordinal):
        pid = next(e["pid"] for e in self.edges() if e["ordinal"] == ordinal)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: next(e["pid"] for e in self.edges() if e["ordinal"] == ordinal) != pid)

    def post_until_accepted(self, key):
        """What a client does that means one message: the same key until it hears 202."""
        while True:
            try:
                status, _, answer = self.node.post("/v1/agents/main/runs", {"message": f"{key}", "sessionKey": f"load:{key % 8}", "queueMode": "followup"},
                                                   headers={"Idempotency-Key": f"load-{key}"})
                if status == 202:
                    return answer["runId"]
                self.assertEqual(status, 503, answer)
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)

    def test_one_dies_under_load(self):
        stop, accepted = threading.Event(), {}

        def load(first):
            for key in range(first, 10000, 4):
                if stop.is_set():
                    return
                accepted[key] = self.post_until_accepted(key)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            threads = [pool.submit(load, i) for i in range(4)]
            for ordinal in (0, 1):
                wait_for(lambda: len(accepted) >= 15 * (1 + ordinal))
                self.kill_edge(ordinal)
            self.all_ready()
            stop.set()
            for t in threads:
                t.result()
        self.assertEqual(len(set(accepted.values())), len(accepted))
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0", 60)
        rows = self.node.rows("SELECT run_id, result FROM tb.agent_runs WHERE session_id IN (SELECT session_id FROM tb.agent_sessions WHERE"
                              " session_key LIKE 'load:%')")
        self.assertEqual({r["run_id"] for r in rows}, set(accepted.values()))
        self.assertEqual({r["result"] for r in rows}, {"completed"})

    def follow(self, run, seen):
        """The events as a client has them that comes back when its stream breaks; how often it did."""
        breaks = -1
        while not (seen and seen[-1][1] == "lifecycle" and seen[-1][2]["phase"] == "end"):
            breaks += 1
            try:
                for item in self.node.sse(f"/v1/runs/{run}/events", {"Last-Event-ID": seen[-1][0]} if seen else None):
                    seen.append(item)
            except (OSError, http.client.HTTPException):
                pass
        return breaks

    def test_streams_go_on_at_the_other(self):
        words = " ".join(f"w{i}" for i in range(12))
        run = self.node.enqueue(f"[pause 200] {words}", session="streams")
        seen = [[] for _ in range(16)]
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            readers = [pool.submit(self.follow, run, s) for s in seen]
            wait_for(lambda: all(seen))
            self.kill_edge(0)
            breaks = [r.result() for r in readers]
        for s in seen:
            self.assertEqual(text_of(s), f"echo: {words}")
            ids = [i for i, _, _ in s if "." not in i]
            self.assertEqual(ids, [str(n + 1) for n in range(len(ids))])
        broken = sum(b > 0 for b in breaks)
        self.assertGreater(broken, 0)
        self.assertLess(broken, 16)  # those at the other saw nothing of it
        self.all_ready()

    def test_both_forget_a_revoked_token(self):
        secret = "e" * 43
        id = "0192f3a0-0000-7000-8000-0000000000e1"
        self.node.sql(f"INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes) VALUES (1, '{id}', sha256('{secret}'), '{{read}}')")
        ask = lambda: {self.node.get("/v1/runs", token=f"tb1.1.{id}.{secret}")[0] for _ in range(16)}
        self.assertEqual(ask(), {200})
        self.node.sql(f"UPDATE tb.api_tokens SET revoked_at = now() WHERE token_id = '{id}'")
        self.node.admin("invalidate", {"kind": "token", "id": id, "tenant": "default"})
        wait_for(lambda: ask() == {401}, 2)

    def test_a_limit_is_that_of_both_together(self):
        """Each request on a connection of its own, so that both edges have some of them."""
        most = 40
        status, _, made = self.node.post("/v1/tokens", {"scopes": ["read"], "limits": {"requestsPerMinute": most}})
        self.assertEqual(status, 201, made)
        began = time.monotonic()
        answers = [self.node.get("/v1/runs", token=made["token"])[0] for _ in range(3 * most)]
        again = (time.monotonic() - began) * most / 60  # what came back meanwhile
        self.assertEqual(set(answers), {200, 429})
        self.assertLessEqual(answers.count(200), most + again + 1)
        self.assertGreaterEqual(answers.count(200), most - 2)  # an edge may hold one that the other would have had

    def test_model_tokens_are_those_of_both_together(self):
        """What runs used that came in by one edge closes the other one, too."""
        status, _, made = self.node.post("/v1/tokens", {"scopes": ["run", "read"], "limits": {"tokensPerMinute": 30}})
        self.assertEqual(status, 201, made)
        ask = lambda path, body: self.node.post(path, body, token=made["token"])
        status, _, run = ask("/v1/agents/main/runs", {"message": " ".join(["word"] * 40), "sessionKey": "tokens"})
        self.assertEqual((status, self.node.wait(run["runId"])["status"]), (202, "ok"), run)
        self.assertGreater(int(self.node.sql(f"SELECT sum(tokens_in + tokens_out) FROM tb.usage_ledger WHERE run_id = '{run['runId']}'")), 30)
        # compactions of a session that is not there: what passes the limits is 404
        wait_for(lambda: {ask(f"/v1/sessions/{uuid.uuid4()}/compact", {})[0] for _ in range(16)} == {429}, 10, 0.2)
        self.assertEqual(self.node.post(f"/v1/sessions/{uuid.uuid4()}/compact", {})[0], 404)

    def test_status_shows_both(self):
        p = self.node.ctl("status")
        self.assertEqual([line.split()[:2] for line in p.stdout.splitlines() if line.startswith("edge")], [["edge", "0"], ["edge", "1"]], p.stdout)
        self.assertIn(f"unix:{self.node.socket}", p.stdout)


class Sockets(WithDoor):
    def test_a_socket_in_the_file_system(self):
        self.assertEqual(os.stat(self.node.socket).st_mode & 0o777, 0o660)
        c = UnixConnection(self.node.socket)
        c.request("GET", "/v1/runs", headers={"Authorization": f"Bearer {self.node.token()}"})
        self.assertEqual(c.getresponse().status, 200)
        c.close()

    def test_tls(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            status, spoken, _ = self.ask(self.node.tls_port, self.context(minimum_version=version, maximum_version=version), "/v1/runs")
            self.assertEqual((status, spoken), (200, version.name.replace("_", ".")))
        warnings.simplefilter("ignore", DeprecationWarning)
        old = self.context(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        with self.assertRaises((ssl.SSLError, OSError)):
            self.ask(self.node.tls_port, old)
        h2 = self.context()
        h2.set_alpn_protocols(["h2"])
        with self.assertRaises((ssl.SSLError, OSError)):
            self.ask(self.node.tls_port, h2)

    def test_mcp_under_a_name_of_its_own(self):
        """A node that has a name in the network is reached by it, by what is no page."""
        def post(port, *fields):
            body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
            raw = socket.create_connection(("127.0.0.1", port), timeout=20)
            s = raw if port == self.node.port else self.context().wrap_socket(raw, server_hostname="localhost")
            with s:
                s.sendall(("POST /mcp HTTP/1.1\r\nHost: node.example\r\nConnection: close\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
                           f"Authorization: Bearer {self.node.token()}\r\nContent-Length: {len(body)}\r\n" + "".join(f"{f}\r\n" for f in fields) + "\r\n").encode() + body)
                return int(s.makefile("rb").read().split()[1])
        self.assertEqual(post(self.node.tls_port), 200)
        self.assertEqual(post(self.node.tls_port, "Origin: https://evil.example"), 403)
        self.assertEqual(post(self.node.port), 403)

    def test_a_long_answer_and_a_stream_over_tls(self):
        text = "x" * 900000
        run = self.node.enqueue(f"[pause 20] {text}", session="long")
        self.node.wait(run)
        with socket.create_connection(("127.0.0.1", self.node.tls_port), timeout=30) as raw, \
                self.context().wrap_socket(raw, server_hostname="localhost") as s:
            s.sendall(f"GET /v1/agents/main/sessions/long/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                      f"Authorization: Bearer {self.node.token()}\r\n\r\n".encode())
            self.assertIn(text.encode(), s.makefile("rb").read())
        run = self.node.enqueue("[pause 20] a b c", session="tls")
        with socket.create_connection(("127.0.0.1", self.node.tls_port), timeout=30) as raw, \
                self.context().wrap_socket(raw, server_hostname="localhost") as s:
            s.sendall(f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {self.node.token()}\r\n\r\n"
                      .encode())
            self.assertRegex(s.makefile("rb").read(), rb'"phase": ?"end"')

    def test_clients_with_certificates(self):
        with self.assertRaises((ssl.SSLError, OSError)):
            self.ask(self.node.mtls_port, self.context())
        other = Authority(tempfile.mkdtemp(dir=self.node.dir))
        other.make("client", "gateway")
        stranger = self.context()
        stranger.load_cert_chain(other.path("client.pem"), other.path("client.key"))
        with self.assertRaises((ssl.SSLError, OSError)):
            self.ask(self.node.mtls_port, stranger)
        known = self.context()
        known.load_cert_chain(self.node.authority.path("client.pem"), self.node.authority.path("client.key"))
        self.assertEqual(self.ask(self.node.mtls_port, known)[0], 200)

    def on_behalf_of(self, user, kind, method, path, body=None):
        """(status, answer) of a gateway's request by that listener."""
        if kind == "unix":
            c = UnixConnection(self.node.socket)
        elif kind == "plain":
            c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=20)
        else:
            context = self.context(check_hostname=False)
            if kind == "mtls":
                context.load_cert_chain(self.node.authority.path("client.pem"), self.node.authority.path("client.key"))
            c = http.client.HTTPSConnection("127.0.0.1", self.node.mtls_port if kind == "mtls" else self.node.tls_port, timeout=20, context=context)
        try:
            c.request(method, path, json.dumps(body) if body else None,
                      {"Authorization": f"Bearer {self.node.token()}", "Content-Type": "application/json", "X-Terabits-User": user})
            r = c.getresponse()
            return r.status, json.loads(r.read())
        finally:
            c.close()

    def test_users_that_a_gateway_names(self):
        """On a socket and from a client with a certificate; nowhere else, whatever the token."""
        for kind in ("plain", "tls"):
            status, answer = self.on_behalf_of("ann", kind, "GET", "/v1/runs")
            self.assertEqual((status, answer["error"]["param"]), (403, "X-Terabits-User"), kind)
        runs = {}
        for user, kind, other in (("ann", "unix", "mtls"), ("bob", "mtls", "unix")):
            status, answer = self.on_behalf_of(user, kind, "POST", "/v1/agents/main/runs", {"message": "hello", "sessionKey": f"of {user}"})
            self.assertEqual(status, 202, answer)
            runs[user] = answer["runId"]
            for by in (kind, other):
                status, answer = self.on_behalf_of(user, by, "GET", "/v1/runs")
                self.assertEqual((status, {r["runId"] for r in answer["runs"]}), (200, {runs[user]}))
                self.assertEqual(self.on_behalf_of(user, by, "GET", f"/v1/runs/{runs[user]}")[0], 200)
        for kind in ("unix", "mtls"):
            self.assertEqual(self.on_behalf_of("ann", kind, "GET", f"/v1/runs/{runs['bob']}")[0], 404)
            self.assertEqual(self.on_behalf_of("carl", kind, "GET", "/v1/runs")[1]["runs"], [])
        rows = self.node.rows(f"SELECT DISTINCT user_id FROM tb.agent_runs WHERE run_id IN ('{runs['ann']}', '{runs['bob']}') UNION"
                              f" SELECT user_id FROM tb.agent_run_queue WHERE run_id IN ('{runs['ann']}', '{runs['bob']}') ORDER BY 1")
        self.assertEqual([r["user_id"] for r in rows], ["ann", "bob"])

    def test_plain_http_where_tls_is_spoken(self):
        with socket.create_connection(("127.0.0.1", self.node.tls_port), timeout=20) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertNotIn(b"200 OK", s.makefile("rb").read())

    def test_a_new_certificate(self):
        before = self.ask(self.node.tls_port, self.context())[2]["serialNumber"]
        count = self.node.log().count("event=tls-changed")
        self.node.authority.make("server", "localhost", "IP:127.0.0.1,DNS:localhost")
        own(self.node.dir)
        os.kill(self.node.find_daemon(), signal.SIGHUP)
        wait_for(lambda: self.node.log().count("event=tls-changed") == count + 2)
        after = {self.ask(self.node.tls_port, self.context())[2]["serialNumber"] for _ in range(8)}
        self.assertEqual(len(after), 1)
        self.assertNotIn(before, after)
        with open(self.node.authority.path("server.key"), "w") as f:
            f.write("nonsense\n")
        os.kill(self.node.find_daemon(), signal.SIGHUP)
        wait_for(lambda: self.node.log().count("event=tls-refused") == 2)
        self.assertEqual({self.ask(self.node.tls_port, self.context())[2]["serialNumber"] for _ in range(8)}, after)

    def test_no_key_leaves_its_place(self):
        with open(self.node.authority.path("ca.key")) as f:
            self.assertIn("PRIVATE KEY", f.read())
        for pid in self.node.all_pids():
            for what in ("environ", "cmdline"):
                with open(f"/proc/{pid}/{what}", "rb") as f:
                    self.assertNotIn(b"PRIVATE KEY", f.read())
        self.assertNotIn("PRIVATE KEY", self.node.log())


class Pages(WithDoor):
    """What a browser asks before it lets a page use the API, and what it reads of the answer."""

    def options(self, path, **headers):
        status, head, _ = self.node.request("OPTIONS", path, token="", headers={k.replace("_", "-"): v for k, v in headers.items()})
        return status, head

    def test_a_page_asks_what_it_may(self):
        asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization,content-type,x-stainless-os"}
        status, head = self.options("/v1/agents/main/runs", Origin="https://app.example", **asked)
        self.assertEqual((status, head["access-control-allow-origin"]), (204, "https://app.example"))
        self.assertEqual(head["access-control-allow-methods"], "POST, OPTIONS")
        self.assertEqual(head["access-control-allow-headers"], asked["Access_Control_Request_Headers"])
        status, head = self.options("/v1/agents/main/runs", Origin="https://evil.example", **asked)
        self.assertEqual((status, head["vary"]), (204, "origin"))
        self.assertFalse([name for name in head if name.startswith("access-control")])

    def test_answers_and_errors(self):
        for path, status in (("/v1/runs", 200), ("/nowhere", 404)):
            answer = self.node.get(path, headers={"Origin": "https://app.example"})
            self.assertEqual((answer[0], answer[1]["access-control-allow-origin"]), (status, "https://app.example"))
            self.assertIn("x-request-id", answer[1]["access-control-expose-headers"])

    def test_every_get_has_its_head(self):
        head = self.node.request("HEAD", "/v1/runs")
        self.assertEqual((head[0], head[2]), (200, ""))
        self.assertGreater(int(head[1]["content-length"]), 2)


class Ends(unittest.TestCase):
    def test_a_stream_is_told_to_come_back(self):
        """A node that stops lets what is under way end; a stream whose run does not is told to ask again, and goes on at the next node."""
        n = Node(model="fake", migrated=True, env={"TERABITS_DRAIN_SECONDS": "2", "TERABITS_EDGES": "2"})
        self.addCleanup(n.close)
        n.start()
        run = n.enqueue("[hang 1] words", session="drain")
        with socket.create_connection(("127.0.0.1", n.port), timeout=30) as s:
            s.sendall(f"GET /v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {n.token()}\r\n\r\n".encode())
            got = s.recv(65536)
            wait_for(lambda: n.model_stats()["requests"])
            n.daemon.send_signal(signal.SIGTERM)
            wait_for(lambda: n.admin("status")["state"] == "draining")
            # each edge hears of it a moment later; a connection is one's or the other's
            wait_for(lambda: {(answer[0], answer[1].get("connection")) for answer in (n.get("/healthz") for _ in range(8))} == {(200, "close")})
            self.assertEqual(n.get("/readyz")[0], 503)
            got += s.makefile("rb").read()
        self.assertTrue(got.endswith(b"retry: 1000\n\n\r\n0\r\n\r\n"), got[-200:])
        self.assertEqual(n.daemon.wait(30), 0)
        n.start_daemon()
        n.wait_ready()
        self.assertEqual(n.wait(run)["status"], "ok")


class Corpus(WithDoor):
    """The rows of http_corpus, over sockets, plain and with TLS. How requests are cut into pieces is the unit tests' affair
    (tests/unit/edge/test_http_corpus.c)."""
    def connect(self, sealed):
        s = socket.create_connection(("127.0.0.1", self.node.tls_port if sealed else self.node.port), timeout=10)
        return self.context().wrap_socket(s, server_hostname="localhost") if sealed else s

    def exchange(self, sealed, data, want):
        """(statuses, "close" at their end when the connection ended, all bytes). Sends beside reading: an answer may come amid."""
        with self.connect(sealed) as s:
            def send():
                try:
                    s.sendall(data)
                    if want == "shut":
                        s.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            sender = threading.Thread(target=send) if len(data) > 30000 and not sealed else None
            if sender:
                sender.start()
            else:
                send()
            got, ended = b"", False
            awaited = 1 if isinstance(want, str) else sum(w != ("close",) for w in want)
            s.settimeout(10)
            while not ended:
                if want[-1] != ("close",) and want != "shut" and len(self.answers(got)) >= awaited:
                    s.settimeout(0.02)  # and nothing more may come
                try:
                    piece = s.recv(65536)
                    got += piece
                    ended = not piece
                except socket.timeout:
                    break
                except OSError:
                    ended = True
            if sender:
                sender.join()
        return self.answers(got) + (["close"] if ended else []), got

    @staticmethod
    def answers(got):
        out = []
        while (m := re.match(rb"HTTP/1\.1 (\d+) [^\r]*\r\n(.*?)\r\n\r\n", got, re.S)) or (m := re.match(rb"HTTP/1\.1 (100) [^\r]*\r\n(\r\n)", got)):
            length = re.search(rb"content-length: (\d+)", m.group(2))
            out.append(m.group(1).decode())
            got = got[m.end() + (int(length.group(1)) if length else 0):]
        return out + (["junk"] if got and not got.startswith(b"HTTP/1.1 ") else [])

    def judge(self, sealed):
        wrong = []
        for name, data, want in http_corpus.rows(self.node.token()):
            answers, got = self.exchange(sealed, data, want)
            if want == "shut":
                fine = answers == ["close"]
            elif want == "head":
                fine = got.startswith(b"HTTP/1.1 200 ") and got.endswith(b"\r\n\r\n")
            else:
                # An end that is not asked for is no fault after a refusal.
                least = want if want[-1] == ("close",) or answers[-1:] != ["close"] else want + [("close",)]
                fine = len(answers) == len(least) and all(a in w for a, w in zip(answers, least))
                fine = fine and (answers[-1] != "close" or answers[-2][0] in "45")
            if not fine:
                wrong.append((name, want, answers, got[:80]))
        self.assertEqual(wrong, [])

    def test_plain(self):
        self.judge(False)

    def test_with_tls(self):
        self.judge(True)


class Floods(WithDoor):
    def rss_kib(self):
        total = 0
        for e in self.edges():
            with open(f"/proc/{e['pid']}/status") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        return total

    def test_many_that_say_little(self):
        """Connections that come and say nothing, a part of a head, or part of a body: nobody else waits, and they are forgotten."""
        first = [b"", b"GET /healthz HT", b"POST /v1/agents/main/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nab"]
        before = self.rss_kib()
        held = []
        try:
            for i in range(600):
                s = socket.create_connection(("127.0.0.1", self.node.port), timeout=10)
                s.sendall(first[i % 3])
                held.append(s)
            began = time.monotonic()
            self.assertEqual(self.node.get("/healthz")[0], 200)
            self.assertLess(time.monotonic() - began, 2)
            self.assertLess(self.rss_kib() - before, 30000)
        finally:
            for s in held:
                s.close()
        wait_for(lambda: sum(e["connections"] for e in self.edges()) < 50)

    def test_a_pipeline_without_end(self):
        """Requests that are never read the answers of: they stop being taken."""
        one = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100
        before = self.rss_kib()
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=10) as s:
            s.settimeout(0.5)
            sent = 0
            try:
                while sent < 64 << 20:
                    sent += s.send(one)
            except socket.timeout:
                pass
            self.assertLess(sent, 32 << 20)
            self.assertLess(self.rss_kib() - before, 30000)
        self.assertEqual(self.node.get("/healthz")[0], 200)


class Starts(unittest.TestCase):
    """What terabitsd says before it does anything: no database is needed."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=node.dir)
        own(self.dir)

    def refused(self, listen, *words, **env):
        p = subprocess.run(node.command("terabitsd"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, cwd="/",
                           env={**node.program_env(), "TERABITS_STATE_DIR": self.dir, "TERABITS_TLS_CLIENT_CA": "", "TERABITS_LISTEN": listen, **env})
        self.assertIn(p.returncode, (1, 2), p.stdout)
        for word in words:
            self.assertIn(word, p.stdout)

    def test_plain_http_for_other_machines(self):
        self.refused(f"0.0.0.0:{free_port()}", "tls://", "TERABITS_LISTEN_PLAIN=yes")
        self.refused(f":{free_port()}", "TERABITS_LISTEN_PLAIN=yes")
        # Told so, it goes on to what comes next.
        self.refused(f"0.0.0.0:{free_port()}", "terabitsctl migrate", TERABITS_LISTEN_PLAIN="yes")

    def test_addresses(self):
        self.refused("nonsense", "no host:port")
        self.refused("127.0.0.1:99999", "no port")
        self.refused("unix:relative", "absolute path")
        self.refused(f"tls://127.0.0.1:{free_port()}", "TERABITS_TLS_CERT", TERABITS_TLS_CERT="")
        self.refused(f"tls://127.0.0.1:{free_port()}", "cannot be read", TERABITS_TLS_KEY="/nowhere")
        self.refused(f"mtls://127.0.0.1:{free_port()}", "TERABITS_TLS_CLIENT_CA")
        self.refused(f"127.0.0.1:{free_port()}", "mtls://", TERABITS_TLS_CLIENT_CA="/some")
        self.refused(f"127.0.0.1:{node.port}", "in use")  # though its sockets share the port

    def test_places_of_sockets(self):
        path = os.path.join(self.dir, "file")
        with open(path, "w") as f:
            f.write("precious")
        self.refused(f"unix:{path}", "no socket")
        with open(path) as f:
            self.assertEqual(f.read(), "precious")
        self.refused(f"unix:{node.socket}", "somebody listens")
        stale = os.path.join(self.dir, "stale")
        s = socket.socket(socket.AF_UNIX)
        s.bind(stale)
        s.close()
        own(self.dir)
        self.refused(f"unix:{stale}", "terabitsctl migrate")  # it was taken over


if __name__ == "__main__":
    unittest.main()
