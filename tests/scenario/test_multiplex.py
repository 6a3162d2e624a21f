# SPDX-License-Identifier: Apache-2.0
"""Connections to a provider over TLS, through a proxy that counts them: shared and multiplexed where HTTP/2 is offered, one for each
question at a time where it is not, reused in both."""
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from node import Node, free_port, own, wait_for
from test_main_job import WithNode

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
RUNS = 12


class TlsNode(Node):
    """A node that trusts the test's own certificate, by a bundle that only it sees."""
    bundle = None

    def command(self, name, *args):
        command = super().command(name, *args)
        if name != "terabitsd" or not self.bundle:
            return command
        return ["unshare", "--mount", "sh", "-c", f'mount --bind {self.bundle} {BUNDLE} && exec "$@"', "sh"] + command


class Proxy:
    def __init__(self, test, backend, protocols):
        self.dir = tempfile.mkdtemp(prefix="tbx", dir="/tmp")
        test.addClassCleanup(shutil.rmtree, self.dir)
        self.key, self.cert, self.log = (os.path.join(self.dir, n) for n in ("key.pem", "cert.pem", "log"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key, "-out", self.cert],
                       check=True, stderr=subprocess.DEVNULL)
        self.port = free_port()
        program = shutil.which("nghttpx", path=os.environ["PATH"] + ":/usr/sbin")
        known = subprocess.run([program, "--help"], stdout=subprocess.PIPE, text=True).stdout
        offer = "--alpn-list" if "--alpn-list" in known else "--npn-list"
        self.p = subprocess.Popen([program, "--conf=/dev/null", f"--frontend=127.0.0.1,{self.port}", f"--backend=127.0.0.1,{backend}",
                                   "--single-process", "--single-thread", f"{offer}={protocols}", f"--accesslog-file={self.log}",
                                   "--accesslog-format=$remote_port $alpn $status", "--errorlog-file=/dev/null", self.key, self.cert],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        test.addClassCleanup(self.end)
        wait_for(self.listens, 20)

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self):
        self.p.kill()
        self.p.wait()

    def requests(self):
        """(port of the client, protocol, status) of each that is over."""
        try:
            with open(self.log) as f:
                return [tuple(line.split()) for line in f if line.count(" ") == 2]
        except FileNotFoundError:
            return []


@unittest.skipIf(os.getuid(), "needs root to mount")
class WithProxy(WithNode):
    protocols = None

    @classmethod
    def setUpClass(cls):
        cls.node = TlsNode(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start_fake()
        cls.proxy = Proxy(cls, cls.node.fake_port, cls.protocols)
        cls.node.bundle = os.path.join(cls.node.dir, "bundle.pem")
        shutil.copy(cls.proxy.cert, cls.node.bundle)
        own(cls.node.bundle)
        cls.node.env["OPENAI_BASE_URL"] = f"https://127.0.0.1:{cls.proxy.port}/v1"
        cls.node.start()

    def all_end(self, runs, answer):
        """The proxy's lines about them."""
        for run in runs:
            self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
            (row,) = self.node.rows(f"SELECT content FROM tb.session_messages WHERE run_id = '{run}' AND role = 'assistant'")
            self.assertEqual(row["content"]["blocks"][0]["text"], answer)

    def begin(self, message, name):
        """Many at once, which are under way together."""
        before = self.node.model_stats()["requests"]
        runs = [self.node.enqueue(message, session=f"{name} {i}") for i in range(RUNS)]
        wait_for(lambda: self.node.model_stats()["requests"] >= before + RUNS, 20)
        return runs


class Http2(WithProxy):
    protocols = "h2,http/1.1"

    def test_one_connection_for_all(self):
        self.all_end(self.begin("[delay 1000][chunks 6][pause 20] together", "first"), "echo: together")
        self.all_end([self.node.enqueue("[chunks 6] later", session="later")], "echo: later")
        lines = wait_for(lambda: len(self.proxy.requests()) > RUNS and self.proxy.requests())
        self.assertEqual({(alpn, status) for _, alpn, status in lines}, {("h2", "200")})
        self.assertEqual(len({port for port, _, _ in lines}), 1, lines)

    def test_one_that_breaks_leaves_the_others_alone(self):
        before = self.node.model_stats()["requests"]
        broken = self.node.enqueue("[chunks 6][pause 100][reset 3 1] once more", session="broken")
        runs = self.begin("[delay 500][chunks 6][pause 50] unharmed", "beside")
        self.all_end(runs, "echo: unharmed")
        self.all_end([broken], "echo: once more")
        self.assertEqual(self.node.model_stats()["requests"] - before, RUNS + 2)


class Http1(WithProxy):
    protocols = "http/1.1"

    def test_one_connection_each_and_again(self):
        self.all_end(self.begin("[delay 1000][chunks 6][pause 20] apart", "first"), "echo: apart")
        self.all_end(self.begin("[delay 1000][chunks 6][pause 20] apart", "second"), "echo: apart")
        lines = wait_for(lambda: len(self.proxy.requests()) >= 2 * RUNS and self.proxy.requests())
        self.assertEqual({(alpn, status) for _, alpn, status in lines}, {("http/1.1", "200")})
        self.assertEqual(len({port for port, _, _ in lines}), RUNS, lines)


if __name__ == "__main__":
    unittest.main()
