# SPDX-License-Identifier: Apache-2.0
"""MCP's own conformance program against our server: the scenarios about what it has (no prompts, resources, sampling). Each check that fails
is named here with its reason, so that one more, or one less, is seen. scripts/setup --conformance unpacks that program and its Node."""
import glob
import http.client
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scenario"))
import clients  # noqa: E402
from node import Node  # noqa: E402

PROGRAM = os.path.join(clients.DEPS, "conformance", "node_modules/@modelcontextprotocol/conformance/dist/index.js")

# scenario: {check that fails: why}
SCENARIOS = {
    "server-initialize": {},
    "ping": {},
    "tools-list": {},
    "dns-rebinding-protection": {},
    "http-header-validation": {},
    "server-stateless": {
        **dict.fromkeys(("sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400"),
                        "wants a tool of the program's own, test_missing_capability"),
        "sep-2575-server-no-log-without-loglevel": "wants its tool test_logging_tool",
        "sep-2575-http-server-no-independent-requests-on-stream": "wants its tool test_streaming_elicitation",
    },
    "caching": dict.fromkeys(("sep-2549-prompts-list-caching-hints", "sep-2549-resources-list-caching-hints",
                              "sep-2549-resources-templates-list-caching-hints"), "there are no prompts and no resources"),
}


class Bearer:
    """A way to the node for a program that cannot say a token; all else passes as it came."""

    def __init__(self, node):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                c = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
                try:
                    c.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        if name.lower() not in ("connection", "authorization"):
                            c.putheader(name, value)
                    c.putheader("Authorization", f"Bearer {node.token()}")
                    c.endheaders(body or None)
                    r = c.getresponse()
                    answer = r.read()
                    self.send_response_only(r.status)
                    for name, value in r.getheaders():
                        if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                            self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                finally:
                    c.close()

            do_GET = do_POST = do_DELETE = do_OPTIONS = do_PUT = pass_on

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):  # who asked has left
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/mcp"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Mcp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()
        cls.bearer = Bearer(cls.node)
        cls.addClassCleanup(cls.bearer.close)

    def checks(self, scenario):
        """{check: (status, why)}; of one that was made more than once the worst."""
        with tempfile.TemporaryDirectory() as out:
            p = subprocess.run([clients.program(), PROGRAM, "server", "--url", self.bearer.url, "--scenario", scenario, "-o", out],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
            found = {}
            for path in glob.glob(f"{out}/**/checks.json", recursive=True):
                with open(path) as f:
                    for c in json.load(f):
                        if c["id"] not in found or c["status"] == "FAILURE":
                            found[c["id"]] = (c["status"], c.get("errorMessage", ""))
        self.assertTrue(found, p.stdout)
        return found

    def test_scenarios(self):
        for scenario, known in SCENARIOS.items():
            with self.subTest(scenario):
                found = self.checks(scenario)
                print(scenario, {s: [v[0] for v in found.values()].count(s) for s in sorted({v[0] for v in found.values()})}, file=sys.stderr)
                failed = {k: why for k, (status, why) in found.items() if status == "FAILURE"}
                self.assertEqual(set(failed), set(known), failed)


if __name__ == "__main__":
    unittest.main()
