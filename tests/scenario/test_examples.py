# SPDX-License-Identifier: Apache-2.0
"""deploy/examples, each as its README says, against a node."""
import http.client
import json
import os
import shutil
import subprocess
import uuid

import clients
from node import ROOT, wait_for
from test_main_job import WithNode

EXAMPLES = os.path.join(ROOT, "deploy", "examples")


class Examples(WithNode):
    model = "fake"

    def environment(self, path=""):
        return {**os.environ, "TERABITS_TOKEN": self.node.token(), "TERABITS_URL": f"http://127.0.0.1:{self.node.port}{path}"}

    # ---- curl

    def curl(self, message, **env):
        return subprocess.Popen([os.path.join(EXAMPLES, "curl", "run.sh"), message], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**self.environment(), **env})

    def test_curl(self):
        session = f"curl-{uuid.uuid4()}"
        p = self.curl('say "hi"\n\\ there', SESSION=session)
        out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 0, err)
        *events, run = map(json.loads, out.splitlines())
        self.assertEqual("".join(e.get("content", "") for e in events if e["type"] == "assistant"), 'echo: say "hi"\n\\ there')
        self.assertEqual((run["status"], run["sessionKey"]), ("completed", session))
        p = self.curl("[status 400] x")
        out, err = p.communicate(timeout=60)
        self.assertEqual((p.returncode, json.loads(out.splitlines()[-1])["status"]), (1, "failed"))
        p = self.curl("x", AGENT="nobody")
        out, err = p.communicate(timeout=60)
        self.assertEqual((p.returncode, "not_found" in err), (1, True), err)

    def test_curl_goes_on_where_the_stream_broke(self):
        words = " ".join(f"w{i}" for i in range(15))
        p = self.curl(f"[pause 400] {words}")
        lines = [p.stdout.readline() for _ in range(4)]
        self.node.kill("edge")
        rest, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 0, err)
        self.assertIn("the stream broke after event", err)
        events = [json.loads(line) for line in lines + rest.splitlines()[:-1]]
        self.assertEqual("".join(e.get("content", "") for e in events if e["type"] == "assistant"), f"echo: {words}")

    # ---- Node

    def copy(self, name):
        """Of an example, with its libraries beside it as `npm install` puts them."""
        there = os.path.join(self.node.dir, name)
        shutil.copytree(os.path.join(EXAMPLES, name), there)
        os.symlink(os.path.join(clients.DEPS, "clients", "node_modules"), os.path.join(there, "node_modules"))
        return there

    def say(self, port, message, user="ada", read=None):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            c.request("POST", "/chat", message.encode(), {"x-user": user} if user else {})
            r = c.getresponse()
            return r.status, (r.read(read) if read else r.read()).decode()
        finally:
            c.close()

    def test_a_gateway_in_node(self):
        clients.link_libraries()
        p = subprocess.Popen([clients.program(), "gateway.mjs"], cwd=self.copy("node-openai"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, env={**self.environment("/v1"), "PORT": "0"})
        try:
            port = int(p.stdout.readline().split()[-1])
            self.assertEqual(self.say(port, "hello gateway"), (200, "echo: hello gateway"))
            self.assertEqual(self.say(port, "again"), (200, "echo: again"))
            self.assertEqual(self.say(port, "x", user=None)[0], 401)
            sessions = self.node.rows("SELECT count(*) AS runs FROM tb.agent_runs GROUP BY session_id, user_id HAVING user_id = 'ada'")
            self.assertEqual([s["runs"] for s in sessions], [2])
            self.say(port, "[pause 60] one two three four", "eve", read=3)  # leaves amid the answer
            wait_for(lambda: self.node.sql("SELECT result FROM tb.agent_runs WHERE user_id = 'eve'") == "completed")
        finally:
            p.kill()
            p.wait()
            p.stdout.close()

    def test_a_route_of_nextjs(self):
        route = os.path.join(self.copy("nextjs"), "app", "api", "agent-runtime", "route.js")
        clients.run(self.node, "nextjs_route.mjs", env={**self.environment(), "TB_ROUTE": route})
