# SPDX-License-Identifier: Apache-2.0
"""The request of a step, shown later: the same to the byte as what the provider received, by whatever worker, whatever changed since; and
without anybody's secret."""
import base64
import hashlib
import http.client
import http.server
import json
import secrets
import signal
import threading
import unittest
import urllib.parse
import uuid

from node import Node, wait_for
from test_conversations import REMOTE
from test_queue_modes import WithQueue


class Recorder(http.server.ThreadingHTTPServer):
    """Before the fake model: keeps every request as it came."""
    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port, self.seen = port, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *args):
        """Who asked did not wait."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        c = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        c.request("POST", self.path, body, {k: v for k, v in self.headers.items() if k.lower() != "host"})
        r = c.getresponse()
        text = r.read()
        c.close()
        self.send_response(r.status)
        for k, v in r.getheaders():
            if k.lower() in ("content-type", "retry-after"):
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


class WithRecorder(WithQueue):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start_fake_for_all()
        cls.recorder = Recorder(cls.node.fake_port)
        cls.addClassCleanup(cls.recorder.server_close)
        cls.addClassCleanup(cls.recorder.shutdown)
        url = f"http://127.0.0.1:{cls.recorder.server_port}"
        cls.node.env.update({"OPENAI_BASE_URL": url + "/v1", "ANTHROPIC_BASE_URL": url, "GEMINI_BASE_URL": url})
        cls.node.start()

    def setUp(self):
        self.recorder.seen.clear()
        self.key = secrets.token_hex(6)
        self.name = "main"

    def start(self, message, **members):
        status, _, answer = self.node.post(f"/v1/agents/{self.name}/runs", {"message": message, "sessionKey": self.key, **members})
        self.assertEqual(status, 202, answer)
        return answer["runId"]

    def say(self, message, ends="ok", **members):
        run = self.start(message, **members)
        end = self.node.wait(run)
        self.assertEqual(end["status"], ends, (end, self.node.tail()))
        return run

    def restart(self):
        self.node.stop(signal.SIGKILL)
        self.node.start_daemon()
        self.node.wait_ready()

    def another_worker(self, run):
        """One that saw nothing of it."""
        self.node.kill("worker")
        wait_for(lambda: self.raw(run, 1)[0] == 200)

    def steps(self, run):
        return int(self.node.sql(f"SELECT steps FROM tb.agent_runs WHERE run_id = '{run}'"))

    def raw(self, run, step, token=None):
        c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
        c.request("GET", f"/v1/runs/{run}/steps/{step}/request", headers={"Authorization": f"Bearer {token or self.node.token()}"})
        r = c.getresponse()
        text = r.read()
        c.close()
        return r.status, text

    def shown(self, run, step=1):
        """As it is shown, and that it is what was received."""
        status, text = self.raw(run, step)
        answer = json.loads(text)
        self.assertEqual(status, 200, answer)
        self.assertTrue(answer["exact"], (answer.get("differs"), answer["step"], json.dumps(answer["body"])[:3000],
                                          [b.decode()[:3000] for _, _, b in self.recorder.seen]))
        self.assertNotIn("differs", answer)
        same = [(path, head, body) for path, head, body in self.recorder.seen if hashlib.sha256(body).hexdigest() == answer["bodySha256"]]
        self.assertTrue(same, answer)
        path, head, body = same[-1]
        if not answer["redacted"]:
            self.assertIn(body, text)  # byte by byte
            self.assertEqual(json.loads(body), answer["body"])
        self.assertEqual(answer["bodyBytes"], len(body))
        self.assertEqual((answer["method"], answer["url"]), ("POST", "[platform]" + path.removeprefix("/v1") if "openai" in answer["provider"]
                                                             else "[platform]" + path))
        for h in answer["headers"]:
            want = head[h["name"].lower()]
            self.assertIn(h["value"], (want, "[redacted]", "Bearer [redacted]"))
            self.assertNotIn("test-key", h["value"])
        return answer

    def all_shown(self, runs):
        """Every step of them; how many."""
        count = 0
        for run in runs:
            for step in range(1, self.steps(run) + 1):
                self.assertEqual(self.shown(run, step)["step"], step)
                count += 1
        return count


class StepRequests(WithRecorder):
    def test_every_provider(self):
        """Answers, calls, thoughts, settings of a message, a memory that changes; shown by a worker that saw nothing of it."""
        runs = []
        self.name = self.agent(systemPrompt="You are \"brief\".", temperature=0.25, stop=["END"])
        for model in REMOTE:
            self.key = f"every {model} {secrets.token_hex(3)}"
            runs.append(self.say('[think 30][say 20][tool memory_store {"text":"- one more ü","path":"MEMORY.md"}]'
                                 '[tool memory_get {"path":"none.md"}] hello', model=model))
            runs.append(self.say("[think 20] and again", model=model))
            runs.append(self.say('[tool memory_store {"zz":{"b":1.50,"aaa":[1e2,{"y":null,"x":1}]},"text":"two","path":"MEMORY.md"}] x', model=model,
                                 temperature=1, maxTokens=777, system="And polite."))
            runs.append(self.say("once more", model=model, tools=["memory_get"], reasoningEffort="low"))
        seen = len(self.recorder.seen)
        self.assertEqual(self.all_shown(runs), seen)
        self.node.sql("UPDATE tb.agent_memory_entries SET body = 'all of it is another', version = version + 1")
        self.node.sql(f"UPDATE tb.agent_tool_policies SET profile = 'minimal', version = version + 1")
        self.node.ctl("agent", "create", self.name, "--replace", "--tenant", "default", "--system-prompt", "Another one.", "--model", "openai/other")
        self.restart()
        self.assertEqual(self.all_shown(runs), seen)
        self.assertEqual(len(self.recorder.seen), seen)  # nobody was asked for that
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.inquiries") == "0")  # its row goes when it has been answered

    def test_the_cost(self):
        """A few bytes an answer; a text of the system prompt once, not with each run."""
        self.name = self.agent()
        self.say('[tool memory_store {"text":"- seven","path":"MEMORY.md"}] hello')
        runs = []
        for session in range(3):
            self.key = f"cost {session} {secrets.token_hex(3)}"
            runs += [self.say(f"turn {i}") for i in range(3)]
        texts = self.node.rows("SELECT body FROM tb.prompt_texts")
        self.assertEqual(len([t for t in texts if "- seven" in t["body"]]), 1, texts)
        most = int(self.node.sql("SELECT max(octet_length((content->'asked')::text)) FROM tb.session_messages"))
        self.assertLess(most, 320)
        self.all_shown(runs)

    def test_a_context_that_was_cut(self):
        """Compactions, and old results that are shown shorter."""
        self.name = self.agent(model="openai/fake", contextWindow=8000)
        document = "line of a long document that goes on and on and on\n" * 120
        agent = self.node.sql(f"SELECT agent_id FROM tb.agents WHERE name = '{self.name}'")
        self.node.sql(f"INSERT INTO tb.agent_memory_entries (tenant_id, agent_id, memory_id, path, body) VALUES (1, '{agent}', '{uuid.uuid4()}', 'long.md',"
                      f" '{document}')")
        runs = [self.say('[tool memory_get {"path":"long.md"}] read it')]
        for i in range(16):
            runs.append(self.say(f"Note this: fact-{i}. " + "all work and no play makes a long conversation of it " * 8))
        cut = [r for r in runs if int(self.node.sql(f"SELECT count(*) FROM tb.run_events WHERE run_id = '{r}' AND body->>'phase' = 'compacted'"))]
        self.assertGreaterEqual(len(cut), 1)
        self.assertTrue([b for _, _, b in self.recorder.seen if b"of this old tool result left out" in b or b"result content cleared" in b])
        self.all_shown(runs)
        self.another_worker(runs[0])
        self.all_shown(runs)
        # The history that the newest one could show is not what the first one could.
        self.assertIn("fact-15", json.dumps(self.shown(runs[-1])["body"]))
        self.assertNotIn("fact-1", json.dumps(self.shown(runs[0], 2)["body"]))

    def test_skills_that_changed(self):
        """What the session pinned then, whatever the workspace has now."""
        self.name = self.agent()
        skill = "---\nname: pdf\ndescription: Reads forms as of the first day.\n---\n\n# pdf\n"
        path = f"/v1/agents/{self.name}/files/content?path=" + urllib.parse.quote("skills/pdf/SKILL.md", safe="")

        def put(text):
            c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
            c.request("PUT", path, text, {"Authorization": f"Bearer {self.node.token()}"})
            self.assertIn(c.getresponse().status, (200, 201))
            c.close()

        put(skill)
        runs = [self.say(f"turn {i}") for i in range(2)]
        put(skill.replace("first day", "second day"))
        self.node.post(f"/v1/agents/{self.name}/sessions/{self.key}/reset")
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0")
        runs.append(self.say("turn 2"))
        self.another_worker(runs[0])
        self.all_shown(runs)
        for run, word in zip(runs, ("first day", "first day", "second day")):
            self.assertIn(word, json.dumps(self.shown(run)["body"]))

    def test_what_does_not_fit(self):
        """A summary that cannot be had: the oldest messages are left out; and answers that a budget makes shorter."""
        self.name = self.agent(model="openai/fake", contextWindow=8000, tools=[], budgets={"session": {"tokens": 10 ** 6, "calls": 100}})
        runs = [self.say(f"summary-fails fact-{i} " + "all work and no play makes a long conversation of it " * 30) for i in range(10)]
        most = int(self.node.sql("SELECT count(*) FROM tb.session_messages WHERE content->'asked' ? 'most'"))
        self.assertGreaterEqual(most, 1)
        self.assertNotIn("fact-0", json.dumps(self.shown(runs[-1])["body"]))
        self.another_worker(runs[0])
        self.all_shown(runs)
        self.assertGreater(self.shown(runs[0])["body"]["max_completion_tokens"], 0)

    def test_a_question_that_failed_and_one_under_way(self):
        run = self.say("[status 400] what is wrong with this?", ends="error")
        answer = self.shown(run)
        self.assertEqual((answer["state"], answer["step"]), ("failed", 1))
        self.another_worker(run)
        self.assertEqual(self.shown(run), answer)
        self.key += "x"
        run = self.start("[hang] are you there?")
        wait_for(lambda: any(b"are you there" in b for _, _, b in self.recorder.seen))
        answer = self.shown(run)
        self.assertEqual((answer["state"], answer["step"]), ("asked", 1))
        self.assertEqual(self.raw(run, 2)[0], 404)
        self.node.post(f"/v1/runs/{run}/cancel")
        self.node.wait(run)
        self.assertEqual(self.shown(run)["state"], "failed")

    def test_what_is_not_exact_says_so(self):
        self.name = self.agent()
        self.say('[tool memory_store {"text":"- fleeting","path":"MEMORY.md"}] hello')
        self.key += "x"
        run = self.say("hello again")
        self.assertIn("fleeting", json.dumps(self.shown(run)["body"]))
        self.node.sql("DELETE FROM tb.prompt_texts WHERE body LIKE '%fleeting%'")
        status, text = self.raw(run, 1)
        answer = json.loads(text)
        self.assertEqual((status, answer["exact"], answer["differs"]), (200, False, ["memory or skills: what they were then is not kept any more"]))
        self.assertNotIn("fleeting", json.dumps(answer["body"]))
        self.assertIn("hello again", json.dumps(answer["body"]))
        schema = {"type": "object", "properties": {"zebra": {"type": "string"}, "a": {"type": "string"}}}
        self.name = self.agent()
        run = self.say("as a schema has it", responseSchema=schema)
        answer = json.loads(self.raw(run, 1)[1])
        self.assertFalse(answer["exact"])
        self.assertIn("schema", answer["differs"][0])

    def test_who_may_see_it(self):
        run = self.say("hello")
        self.node.ctl("tenant", "create", "two")
        other = self.node.ctl("token", "create", "--tenant", "two", "--scopes", "admin").stdout.strip()
        reader = self.node.ctl("token", "create", "--tenant", "default", "--scopes", "run,read,write").stdout.strip()
        self.assertEqual(self.raw(run, 1, other)[0], 404)
        self.assertEqual(self.raw(run, 1, reader)[0], 403)
        for step in ("2", "0", "x", "99999"):
            self.assertEqual(self.raw(run, step)[0], 404, step)
        self.assertEqual(self.raw("0192f3a0-0000-7000-8000-0000000000a1", 1)[0], 404)
        p = self.node.ctl("run", "request", run, "--tenant", "default", "--json")
        self.assertEqual(json.loads(p.stdout), self.shown(run))
        self.assertIn("chat/completions", self.node.ctl("run", "request", run, "--tenant", "default", "--step", "1").stdout)
        self.assertEqual(self.node.ctl("run", "request", run, "--tenant", "default", "--step", "7").returncode, 3)

    def test_many_at_once(self):
        """So many are answered and the others refused; runs go on beside them, and a worker that ends is no riddle."""
        first = self.say("hello")
        stop, got = threading.Event(), []

        def ask():
            while not stop.is_set():
                status, text = self.raw(first, 1)
                got.append((status, json.loads(text).get("error", {}).get("code")))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for t in threads:
            t.start()
        try:
            for i in range(10):
                self.say(f"turn {i}")
            self.node.kill("worker")
            self.say("and on")
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertIn((200, None), got)
        self.assertLessEqual(set(got), {(200, None), (429, "tenant_full"), (503, "peer_gone"), (503, "unavailable"), (503, "draining")})
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.inquiries WHERE expires_at < now() - interval '1 minute'"), "0")

    def test_no_secret_leaves(self):
        """Those that this node holds, in the forms in which they are written; and what looks like anybody's."""
        platform = "platform-key-" + secrets.token_hex(12)
        p = json.loads(self.node.ctl("provider-key", "set", "gemini", "--platform", "--json", input=platform).stdout)["id"]
        self.addCleanup(self.node.ctl, "provider-key", "delete", p, "--yes")
        own = "own/key+" + secrets.token_hex(12)
        status, _, k = self.node.post("/v1/providers/gemini/keys", {"key": own})
        self.assertEqual(status, 201)
        self.addCleanup(self.node.request, "DELETE", f"/v1/providers/gemini/keys/{k['id']}")
        forms = [platform, own, base64.b64encode(f"user:{own}".encode()).decode(), urllib.parse.quote(own, safe=""),
                 "sk-ant-api03-" + secrets.token_hex(20), self.node.token()]
        run = self.say("these are: " + " , ".join(forms))
        self.another_worker(run)  # which opened none of them
        answer = self.shown(run)
        told = json.dumps(answer)
        self.assertTrue(answer["redacted"])
        for form in forms:
            self.assertNotIn(form, told)
        self.assertNotIn(own, told)
        self.assertGreaterEqual(told.count("[redacted]"), len(forms))

    def test_when_a_key_was_used(self):
        status, _, k = self.node.post("/v1/providers/openai/keys", {"key": "sk-" + secrets.token_hex(16)})
        self.assertEqual(status, 201)
        self.addCleanup(self.node.request, "DELETE", f"/v1/providers/openai/keys/{k['id']}")
        path = f"/v1/providers/openai/keys/{k['id']}"
        self.assertIsNone(self.node.get(path)[2]["lastUsedAt"])
        runs = [self.say(f"turn {i}") for i in range(4)]
        used = self.node.get(path)[2]["lastUsedAt"]
        self.assertIsNotNone(used)
        self.assertEqual(self.node.get("/v1/providers/openai/keys")[2]["keys"][0]["lastUsedAt"], used)
        version = f"SELECT xmin FROM tb.provider_keys WHERE key_id = '{k['id']}'"
        before = self.node.sql(version)
        self.node.kill("worker")  # the next one has told nobody yet, and the row was written a moment ago
        wait_for(lambda: self.node.get("/readyz")[0] == 200)
        runs += [self.say(f"turn {i}") for i in range(4)]
        self.assertEqual((self.node.sql(version), self.node.get(path)[2]["lastUsedAt"]), (before, used))
        self.assertEqual(self.shown(runs[0])["key"], k["id"])


if __name__ == "__main__":
    unittest.main()
