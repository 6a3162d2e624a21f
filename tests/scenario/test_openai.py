# SPDX-License-Identifier: Apache-2.0
"""OpenAI's APIs where a client's library does not look: raw streams, whose model fails, whose worker dies, whose lane is busy; other tenants;
large bodies. What the libraries see is in test_clients.py."""
import http.client
import json
import os
import signal
import socket
import threading
import unittest
import uuid

from node import wait_for
from test_approvals import WithApprovals

together = True  # the classes share a node: one process
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def user(text):
    return {"role": "user", "content": text}


class WithApi(WithApprovals):
    def chat(self, *messages, headers=None, token=None, **more):
        """(status, headers, answer)"""
        body = {"model": "main", "messages": [user(m) if isinstance(m, str) else m for m in messages], **more}
        return self.node.post(CHAT, body, headers=headers, token=token)

    def answer(self, *messages, **more):
        status, head, answer = self.chat(*messages, **more)
        self.assertEqual(status, 200, answer)
        return answer["choices"][0]["message"]["content"]

    def stream(self, *messages, path=CHAT, started=None, **more):
        """(headers, the data of each event, without [DONE]; the raw text). started(): called after the first event."""
        body = {"model": "main", "stream": True, **more}
        body["messages" if path == CHAT else "input"] = [user(m) if isinstance(m, str) else m for m in messages]
        c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
        self.addCleanup(c.close)
        c.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {self.node.token()}"})
        r = c.getresponse()
        self.assertEqual(r.status, 200, r.status != 200 and r.read())
        raw, events = "", []
        for line in r:
            raw += line.decode()
            if line.startswith(b"data: {"):
                events.append(json.loads(line[6:]))
                if started and len(events) == 1:
                    started(events[0]["id"][len("chatcmpl-"):] if path == CHAT else events[0]["response"]["id"][len("resp_"):])
        return {k.lower(): v for k, v in r.getheaders()}, events, raw

    @staticmethod
    def text(events):
        return "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e.get("choices"))

    def asked(self):
        """What the model was shown last."""
        return [(m["role"], m["content"]) for m in self.node.fake_get("/last")["messages"] if m["role"] != "system"]

    def refused(self, answer, status, param=None, says=""):
        self.assertEqual(answer[0], status, answer)
        error = answer[2]["error"]
        self.assertEqual(error["param"], param)
        self.assertIn(says, error["message"])

    def tenant(self, number):
        """The token of another tenant."""
        id, secret = uuid.uuid4(), uuid.uuid4().hex + "a" * 11
        self.node.sql(f"INSERT INTO tb.tenants (tenant_id, slug) VALUES ({number}, 't{number}') ON CONFLICT DO NOTHING")
        self.node.sql(f"INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes) VALUES ({number}, '{id}', sha256('{secret}'),"
                      " '{run,read}')")
        return f"tb1.{number}.{id}.{secret}"

    def agent_of(self, tenant, name):
        id = uuid.uuid4()
        self.node.sql(f"INSERT INTO tb.agents (tenant_id, agent_id, name, revision) VALUES ({tenant}, '{id}', '{name}', 1);"
                      " INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by)"
                      f" VALUES ({tenant}, '{id}', 1, '{{}}', 'test');"
                      f" INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile) VALUES ({tenant}, '{id}', 'full')")


class Streams(WithApi):
    def test_how_it_looks(self):
        head, events, raw = self.stream("[plain] hi", stream_options={"include_usage": True})
        self.assertEqual(head["content-type"], "text/event-stream")
        self.assertEqual(events[0]["id"], f"chatcmpl-{head['x-run-id']}")
        self.assertTrue(raw.endswith("data: [DONE]\n\n"), raw[-100:])
        self.assertEqual(events[0]["choices"][0]["delta"], {"role": "assistant", "content": ""})
        self.assertEqual((events[-2]["choices"][0]["finish_reason"], events[-1]["choices"]), ("stop", []))

    def test_a_model_that_breaks_off_and_says_the_same_again(self):
        words = f"one two three four {uuid.uuid4()}"
        _, events, raw = self.stream(f"[plain][chunks 6][pause 20][cut 3 1] {words}")
        self.assertEqual(self.text(events), words)
        self.assertTrue(raw.endswith("data: [DONE]\n\n"))
        self.assertEqual(events[-1]["choices"][0]["finish_reason"], "stop")
        self.assertEqual(self.node.rows("SELECT body FROM tb.run_events WHERE body->'metadata'->>'reset' = 'true'"
                                        f" AND run_id = '{events[0]['id'][9:]}'")[0]["body"]["metadata"], {"reset": True})

    def test_a_model_that_breaks_off_and_says_something_else(self):
        for path, kind in ((CHAT, None), (RESPONSES, "error")):
            head, events, raw = self.stream(f"[clock][chunks 6][pause 20][cut 3 1] {uuid.uuid4()}", path=path)
            error = events[-1]["error"] if path == CHAT else events[-1]
            self.assertEqual((error["code"], events[-1].get("type")), ("stream_restarted", kind))
            self.assertIn(head["x-run-id"], error["message"])
            self.assertNotIn("[DONE]", raw)
            self.assertEqual(self.node.wait(head["x-run-id"])["status"], "ok")

    def test_a_worker_that_dies_in_the_middle(self):
        def die(run):
            ordinal = self.node.admin("run.show", {"run": run})["worker"]
            pid, = [c["pid"] for c in self.node.admin("status")["children"] if c["kind"] == "worker" and c["ordinal"] == ordinal]
            os.kill(pid, signal.SIGKILL)
        words = f"one two three four five {uuid.uuid4()}"
        _, events, _ = self.stream(f"[plain][chunks 8][pause 100] {words}", started=die)
        self.assertEqual(self.text(events), words)
        self.assertEqual(events[-1]["choices"][0]["finish_reason"], "stop")

    def test_a_person_is_asked_meanwhile(self):
        agent = self.asking()

        def approve(run):
            asked, = wait_for(lambda: self.pending(run))
            self.assertEqual(self.decide(asked["id"], "approve")[0], 200)
        _, events, _ = self.stream('[tool memory_store {"text":"x","path":"openai.md"}] go', model=agent, started=approve)
        self.assertIn("done: ", self.text(events))

    def test_a_cancelled_run(self):
        cancelled = []

        def cancel(run):
            cancelled.append(self.node.post(f"/v1/runs/{run}/cancel")[0])
        _, events, _ = self.stream("[delay 60000] never", started=cancel)
        self.assertEqual((events[-1]["error"]["code"], cancelled), ("cancelled", [202]))
        _, events, _ = self.stream("[delay 60000] never", path=RESPONSES, started=cancel)
        self.assertEqual((events[-1]["type"], events[-1]["response"]["status"]), ("response.failed", "cancelled"))

    def test_a_client_that_waits_for_the_whole_answer_and_leaves(self):
        for header, status in (("false", "completed"), ("true", "cancelled")):
            words = f"{uuid.uuid4()}"
            before = self.node.model_stats()["requests"]
            body = json.dumps({"model": "main", "messages": [user(f"[delay 700][plain] {words}")]}).encode()
            with socket.create_connection(("127.0.0.1", self.node.port)) as s:
                s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.node.token()}\r\nContent-Length: {len(body)}\r\n"
                          f"X-Terabits-Cancel-On-Disconnect: {header}\r\n\r\n".encode() + body)
                wait_for(lambda: self.node.model_stats()["requests"] > before)
            row = wait_for(lambda: self.node.rows("SELECT r.result FROM tb.agent_runs r JOIN tb.session_messages m USING (tenant_id, run_id)"
                                                  f" WHERE m.role = 'user' AND m.content::text LIKE '%{words}%'"))
            self.assertEqual(row[0]["result"], status)


class Failures(WithApi):
    def test_a_failed_run_is_an_error_as_any(self):
        """With its status and, where it is one of load, when to come back: by Chat Completions and Responses."""
        self.assertEqual(self.node.post("/v1/agents", {"name": "poor", "budgets": {"run": {"tokens": 1}}})[0], 201)
        for path, body in ((CHAT, lambda t: {"messages": [user(t)]}), (RESPONSES, lambda t: {"input": t})):
            for agent, text, want, code, after in (("main", "[status 400 9] x", 400, "model_bad_request", None), ("poor", "hello", 429, "budget_tokens", "60")):
                status, head, answer = self.node.post(path, {"model": agent, **body(text)})
                self.assertEqual((status, answer["error"]["code"], answer["error"]["status"]), (want, code, want), answer)
                self.assertEqual((head.get("retry-after"), head["x-should-retry"]), (after, "false"))


class Sessions(WithApi):
    def test_a_busy_session_answers_each_in_its_turn(self):
        name, got = f"u-{uuid.uuid4()}", {}

        def one(words, delay):
            got[words] = self.answer(f"[plain][delay {delay}] {words}", user=name)
        first = threading.Thread(target=one, args=("first", 500))
        first.start()
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue WHERE state = 'running'") != "0")
        one("second", 0)
        first.join()
        self.assertEqual(got, {"first": "first", "second": "second"})
        self.assertEqual([c for _, c in self.asked()], ["[plain][delay 500] first", "first", "[plain][delay 0] second"])

    def test_histories_keep_their_order_under_load(self):
        """Each in a session of its own, all at once; workers and lanes are shared."""
        def one(i):
            messages = [m for k in range(20) for m in (user(f"q{i}.{k}"), {"role": "assistant", "content": f"a{i}.{k}"})]
            self.assertEqual(self.answer(*messages, f"[plain] last {i}"), f"last {i}")
        threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for row in self.node.rows("SELECT session_id, array_agg(coalesce(content->'blocks'->0->>'text', '') ORDER BY seq) AS said FROM tb.session_messages"
                                  " GROUP BY session_id HAVING bool_or(content->'blocks'->0->>'text' LIKE 'q%.19')"):
            i = row["said"][0][1:].split(".")[0]
            self.assertEqual(row["said"], [w for k in range(20) for w in (f"q{i}.{k}", f"a{i}.{k}")] + [f"[plain] last {i}", f"last {i}"])

    def test_large_bodies(self):
        long = "x" * 900_000
        history = [m for _ in range(2) for m in (user(long), {"role": "assistant", "content": long})]
        agent = self.agent(contextWindow=4_000_000)
        self.assertEqual(self.answer(*history, "[plain] in parts", model=agent), "in parts")
        self.assertEqual([len(c) for _, c in self.asked()[:-1]], [900_000] * 4)
        # a session has what was said: however much of it comes again, what is new is read
        name = f"u-{uuid.uuid4()}"
        self.answer("[plain] begun", user=name)
        history = [m for _ in range(5) for m in (user(long), {"role": "assistant", "content": long})]
        self.assertEqual(self.answer(*history, "[plain] new", user=name), "new")
        self.assertEqual([c for _, c in self.asked()], ["[plain] begun", "begun", "[plain] new"])
        self.refused(self.chat("x" * (3 << 20)), 413, "messages", "larger than 2 MB")
        for path in (CHAT, RESPONSES):
            with socket.create_connection(("127.0.0.1", self.node.port)) as s, s.makefile("rb") as answer:
                s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.node.token()}\r\n"
                          f"Content-Length: {(20 << 20) + 1}\r\n\r\n".encode())
                self.assertIn(b" 413 ", answer.readline())

    def test_a_deleted_session_does_not_go_on(self):
        status, _, made = self.node.post(RESPONSES, {"model": "main", "input": "[plain] x"})
        self.assertEqual(status, 200, made)
        run = self.node.get(f"/v1/runs/{made['id'][5:]}")[2]
        deleted = self.node.request("DELETE", f"/v1/sessions/{run['sessionId']}")[2]
        self.node.wait(deleted["runId"])
        answer = self.node.post(RESPONSES, {"model": "main", "input": "y", "previous_response_id": made["id"]})
        self.refused(answer, 404, "previous_response_id", "session was deleted")


class Tenants(WithApi):
    def test_what_is_anothers_is_not_there(self):
        other = self.tenant(41)
        self.agent_of(41, "theirs")
        status, _, mine = self.node.post(RESPONSES, {"model": "main", "input": "[plain] x", "user": "u"})
        self.assertEqual(status, 200, mine)
        for method, path in (("GET", ""), ("POST", "/cancel")):
            self.refused(self.node.request(method, f"{RESPONSES}/{mine['id']}{path}", token=other), 404, "response_id", "no such response")
        self.refused(self.node.post(RESPONSES, {"model": "theirs", "input": "y", "previous_response_id": mine["id"]}, token=other), 404,
                     "previous_response_id", "no such response")
        item = mine["output"][0]["id"]
        again = [{"type": "item_reference", "id": item}, user("y")]
        self.refused(self.node.post(RESPONSES, {"model": "theirs", "input": again}, token=other), 404, "previous_response_id", "no such response")
        self.refused(self.chat("x", token=other), 404, "model", '"main" does not exist')
        self.refused(self.node.get("/v1/models/main", token=other), 404, "model", "does not exist")
        self.assertEqual([m["id"] for m in self.node.get("/v1/models", token=other)[2]["data"]], ["default", "theirs"])

    def test_the_default_agent(self):
        none, one, two = self.tenant(42), self.tenant(45), self.tenant(46)
        self.assertEqual(self.node.get("/v1/models", token=none)[2]["data"], [])
        self.refused(self.chat("x", model="default", token=none), 404, "model", "no default agent")
        self.agent_of(45, "only")
        self.assertEqual(self.chat("[plain] x", model="default", token=one)[0], 200)
        self.assertEqual(self.node.get("/v1/models/default", token=one)[2]["id"], "default")
        self.agent_of(46, "first")
        self.agent_of(46, "second")
        for model in ("default", "agent/default", "openclaw"):
            self.refused(self.chat("x", model=model, token=two), 404, "model", "no default agent")

    def test_lists_of_models(self):
        other = self.tenant(43)
        for name in "cab":
            self.agent_of(43, name)
        first = self.node.get("/v1/models?limit=2", token=other)[2]
        self.assertEqual(([m["id"] for m in first["data"]], first["has_more"], first["last_id"]), (["a", "b"], True, "b"))  # none of three is the default one
        rest = self.node.get("/v1/models?limit=2&after=b", token=other)[2]
        self.assertEqual(([m["id"] for m in rest["data"]], rest["has_more"]), (["c"], False))
        self.refused(self.node.get("/v1/models?limit=0", token=other), 400, "limit", "from 1 to 200")
        self.refused(self.node.get("/v1/models?before=x", token=other), 400, "before", "no parameter")

    def test_scopes(self):
        reads = self.tenant(44)
        self.node.sql("UPDATE tb.api_tokens SET scopes = '{read}' WHERE tenant_id = 44")
        self.assertEqual(self.chat("x", token=reads)[0], 403)
        self.assertEqual(self.node.get("/v1/models", token=reads)[0], 200)


class Refusals(WithApi):
    def test_headers(self):
        for name, value, param, says in (("x-openclaw-session-key", "cron:x", "x-openclaw-session-key", 'begin with "cron:"'),
                                         ("x-terabits-session-key", "k" * 513, "x-terabits-session-key", "1 to 512 bytes"),
                                         ("x-terabits-cancel-on-disconnect", "yes", "x-terabits-cancel-on-disconnect", "true or false"),
                                         ("idempotency-key", "k" * 256, "Idempotency-Key", "1 to 255"),
                                         ("x-terabits-model", "gpt", "x-terabits-model", "provider/name")):
            self.refused(self.chat("x", headers={name: value}), 400, param, says)

    def test_a_full_lane(self):
        agent, name = self.agent(queueCap=1), f"u-{uuid.uuid4()}"
        runs = [self.node.post(RESPONSES, {"model": agent, "input": "[delay 60000] x", "user": name, "background": True})[2]["id"][5:]]
        wait_for(lambda: self.state(runs[0]) == "running")
        runs.append(self.node.post(RESPONSES, {"model": agent, "input": "[delay 60000] x", "user": name, "background": True})[2]["id"][5:])
        status, head, answer = self.chat("x", model=agent, user=name)
        self.assertEqual((status, answer["error"]["code"], answer["error"]["type"]), (429, "lane_full", "rate_limit"))
        self.assertGreater(int(head["retry-after"]), 0)
        for run in reversed(runs):
            self.cancel(run)

    def test_a_history_of_a_lane_with_room_for_one(self):
        agent = self.agent(queueCap=1)
        long = "x" * 900_000
        history = [m for _ in range(3) for m in (user(long), {"role": "assistant", "content": long})]
        self.assertEqual(self.answer(*history, "[plain] fits", model=agent), "fits")


if __name__ == "__main__":
    unittest.main()
