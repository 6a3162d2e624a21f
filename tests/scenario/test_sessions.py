# SPDX-License-Identifier: Apache-2.0
"""The sessions' API through the real processes: begun, listed, read, searched; and the jobs that change a transcript, in order with the
runs of their lane."""
import concurrent.futures
import json
import os
import signal
import unittest
import urllib.parse
import uuid

from node import wait_for
from test_policy import ABSENT, FAILED, FINE, WithPolicy

together = True  # the classes share a node: one process


class WithSessions(WithPolicy):
    workers = 2

    def call(self, method, path, body=None, want=200, token=None, **headers):
        status, head, answer = self.node.request(method, path, body, token=token, headers=headers)
        self.assertEqual(status, want, answer)
        return answer

    def by_key(self, key, rest="", agent="main"):
        return f"/v1/agents/{agent}/sessions/{urllib.parse.quote(key, safe='')}{rest}"

    def open(self, key=None, agent="main"):
        return self.call("POST", f"/v1/agents/{agent}/sessions", {"sessionKey": key or self.session()})

    def say(self, session, message, agent="main"):
        """A turn to its end."""
        run = self.post(message, session["sessionKey"], agent=agent)
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        return run

    def history(self, session, **query):
        return self.call("GET", f"/v1/sessions/{session['sessionId']}/messages?{urllib.parse.urlencode(query)}")

    def texts(self, session):
        """Role and text of its messages, the oldest first."""
        return [(m["role"], "".join(b.get("text", "") for b in m["content"]["blocks"]))
                for m in reversed(self.history(session, limit=200)["messages"])]

    def search(self, path, text, want=200, token=None, **query):
        query = urllib.parse.urlencode({"q": text, **query}, quote_via=urllib.parse.quote)
        return self.call("GET", f"{path}/messages/search?{query}", want=want, token=token)


class Reads(WithSessions):
    def test_the_same_key_is_the_same_session(self):
        key = self.session()
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            opened = list(pool.map(lambda _: self.open(key), range(50)))
        self.assertEqual(len({s["sessionId"] for s in opened}), 1)
        one = opened[0]
        self.assertEqual((one["sessionKey"], one["status"], one["messages"], one["meta"]), (key, "active", 0, {}))
        self.assertEqual(self.call("GET", self.by_key(key)), one)
        self.assertEqual(self.call("GET", f"/v1/sessions/{one['sessionId']}"), one)
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.agent_sessions WHERE session_key = '{key}'"), "1")

    def test_what_is_no_session(self):
        self.call("GET", self.by_key("nobody"), want=404)
        self.call("GET", "/v1/sessions/nobody", want=404)
        self.call("GET", f"/v1/sessions/{uuid.uuid4()}", want=404)
        self.call("POST", "/v1/agents/nobody/sessions", {}, want=404)
        self.call("POST", "/v1/agents/main/sessions", {"sessionKey": "cron:x"}, want=400)
        self.call("POST", "/v1/agents/main/sessions", {"sessionKey": ""}, want=400)
        self.call("POST", "/v1/agents/main/sessions", {"key": "x"}, want=400)

    def test_another_tenant_sees_none_of_it(self):
        one = self.open()
        self.say(one, "the heron stands in the reeds")
        foreign = self.token(4242, "run,read,write")
        for method, rest in (("GET", ""), ("PATCH", ""), ("GET", "/messages"), ("GET", "/messages/search?q=heron")):
            self.call(method, f"/v1/sessions/{one['sessionId']}{rest}", {} if method == "PATCH" else None, want=404, token=foreign)
        self.assertEqual(self.call("GET", "/v1/sessions", token=foreign)["sessions"], [])

    def test_the_list_is_recent_first_and_goes_on(self):
        agent = self.agent()
        for _ in range(4):
            self.open(agent=agent)
        self.node.sql(f"UPDATE tb.agent_sessions s SET last_active_at = now() - n * interval '1 hour' FROM (SELECT session_id, row_number()"
                      f" OVER (ORDER BY session_id DESC) AS n FROM tb.agent_sessions WHERE agent_id = (SELECT agent_id FROM tb.agents WHERE"
                      f" name = '{agent}')) x WHERE s.session_id = x.session_id")
        whole = self.call("GET", f"/v1/sessions?agent={agent}")
        self.assertNotIn("next", whole)
        ids = [s["sessionId"] for s in whole["sessions"]]
        self.assertEqual(len(ids), 5)
        oldest = whole["sessions"][-1]
        seen, query = [], ""
        while True:
            page = self.call("GET", f"/v1/sessions?agent={agent}&limit=2{query}")
            seen += [s["sessionId"] for s in page["sessions"]]
            if "next" not in page:
                break
            query = f"&before={page['next']}"
        self.assertEqual(seen, ids)
        self.say(oldest, "hello", agent)  # and is the most recent one now
        self.assertEqual(self.call("GET", f"/v1/sessions?agent={agent}&limit=1")["sessions"][0]["sessionId"], oldest["sessionId"])
        self.assertEqual(self.call("GET", f"/v1/sessions?agent={agent}&status=archived")["sessions"], [])
        self.call("GET", "/v1/sessions?status=deleted", want=400)
        self.call("GET", "/v1/sessions?before=x", want=400)
        self.call("GET", "/v1/sessions?agent=nobody", want=404)

    def test_what_its_owner_says_of_it(self):
        one = self.open()
        path = f"/v1/sessions/{one['sessionId']}"
        changed = self.call("PATCH", path, {"title": "Herons", "meta": {"ticket": 7}, "queueMode": "followup"})
        self.assertEqual((changed["title"], changed["meta"], changed["queueMode"]), ("Herons", {"ticket": 7}, "followup"))
        changed = self.call("PATCH", self.by_key(one["sessionKey"]), {"title": None, "queueMode": None})
        self.assertNotIn("title", changed)
        self.assertEqual(changed["meta"], {"ticket": 7})
        for wrong in ({"title": ""}, {"meta": []}, {"queueMode": "announce"}, {"status": "archived"}, {"title": "a\nb"}):
            self.call("PATCH", path, wrong, want=400)

    def test_a_patch_replaces_the_version_that_it_names(self):
        one = self.open()
        for path in (f"/v1/sessions/{one['sessionId']}", self.by_key(one["sessionKey"])):
            def patch(tag, title):
                status, head, answer = self.node.request("PATCH", path, {"title": title}, headers={"If-Match": tag})
                return status, head.get("etag"), answer
            old = self.node.get(path)[1]["etag"]
            status, new, answer = patch(old, "Herons")
            self.assertEqual((status, answer["title"]), (200, "Herons"))
            self.assertNotEqual(new, old)
            self.assertEqual(self.node.get(path)[1]["etag"], new)
            status, _, answer = patch(old, "Storks")
            self.assertEqual((status, answer["error"]["param"]), (412, "If-Match"))
            self.assertEqual(self.node.get(path)[2]["title"], "Herons")
            self.assertEqual(patch("7", "Storks")[0], 400)
            self.assertEqual(patch("*", "Cranes")[0], 200)

    def test_history_is_newest_first_and_goes_on(self):
        one = self.open()
        for i in range(3):
            self.say(one, f"message {i}")
        whole = self.history(one)
        self.assertEqual([m["seq"] for m in whole["messages"]], [6, 5, 4, 3, 2, 1])
        self.assertNotIn("next", whole)
        first = whole["messages"][-1]
        self.assertEqual(list(first), ["seq", "role", "step", "runId", "createdAt", "content"])
        self.assertEqual(first["content"], {"blocks": [{"text": "message 0", "type": "text"}]})
        seen, query = [], {}
        while True:
            page = self.history(one, limit=4, **query)
            seen += page["messages"]
            if "next" not in page:
                break
            query = {"before": page["next"]}
        self.assertEqual(seen, whole["messages"])
        self.call("GET", self.by_key(one["sessionKey"], "/messages?before=0"), want=400)
        self.call("GET", self.by_key(one["sessionKey"], "/messages?limit=201"), want=400)

    def test_a_page_of_long_messages_is_short(self):
        one = self.open()
        self.node.sql("INSERT INTO tb.session_messages (tenant_id, session_id, seq, role, content) SELECT 1,"
                      f" '{one['sessionId']}', n, 'user', jsonb_build_object('blocks', jsonb_build_array(jsonb_build_object('type', 'text',"
                      " 'text', repeat('x', 400000)))) FROM generate_series(1, 6) n; UPDATE tb.lanes SET head_seq = 6 WHERE session_id ="
                      f" '{one['sessionId']}'")
        self.assertEqual([m["seq"] for m in self.history(one)["messages"]], [6, 5])
        self.assertEqual([m["seq"] for m in self.history(one, before=5)["messages"]], [4, 3])

    def test_a_search_finds_what_holds_all_words(self):
        agent = self.agent()
        one, two = self.open(agent=agent), self.open(agent=agent)
        self.say(one, "the heron stands in the Reeds", agent)
        self.say(two, "a heron flew", agent)
        where = f"/v1/sessions/{one['sessionId']}"
        found = self.search(where, "reeds HERON")
        self.assertTrue(found["complete"])
        self.assertIn((1, "user"), [(f["seq"], f["role"]) for f in found["found"]])
        self.assertTrue(all("heron" in f["excerpt"] for f in found["found"]))
        self.assertEqual({f["sessionId"] for f in found["found"]}, {one["sessionId"]})
        self.assertEqual(self.search(where, "heron flew")["found"], [])
        self.assertEqual({f["sessionId"] for f in self.search(f"/v1/agents/{agent}", "heron")["found"]},
                         {one["sessionId"], two["sessionId"]})
        self.assertEqual(self.search("/v1/agents/main", "heron flew")["found"], [])
        # what came since
        self.say(one, "an egret, too", agent)
        self.assertEqual([f["seq"] for f in self.search(where, "egret")["found"] if f["role"] == "user"], [3])
        self.assertTrue(self.search(f"/v1/agents/{agent}", "egret")["found"])
        # page by page
        seen, query = [], {}
        while True:
            page = self.search(f"/v1/agents/{agent}", "heron", limit=1, **query)
            seen += [(f["sessionId"], f["seq"]) for f in page["found"]]
            if "next" not in page:
                break
            query = {"before": page["next"]}
        self.assertEqual(seen, [(f["sessionId"], f["seq"]) for f in self.search(f"/v1/agents/{agent}", "heron")["found"]])
        self.search(where, "", want=400)
        self.assertEqual(self.search(where, "!!!")["found"], [])


class WithJobs(WithSessions):
    def job(self, session, what, body=None, want=202, **headers):
        return self.call("POST", f"/v1/sessions/{session['sessionId']}/{what}", body, want=want, **headers)

    def done(self, session, what, body=None):
        """A job to its end."""
        answer = self.job(session, what, body)
        self.assertEqual(answer["job"], what)
        self.assertEqual(self.node.wait(answer["runId"])["status"], "ok", self.node.tail())
        return answer

    def fails(self, session, what, body=None):
        """The words of a job that cannot be done."""
        end = self.node.wait(self.job(session, what, body)["runId"])
        self.assertEqual((end["status"], end["error"]["code"]), ("error", "conflict"), end)
        return end["error"]["message"]

    def shown(self):
        """The texts of the last question that the model was asked."""
        return [m["content"] for m in self.node.fake_get("/last")["messages"] if m["role"] != "system"]

    def export(self, session):
        status, head, text = self.node.request("GET", f"/v1/sessions/{session['sessionId']}/export")
        self.assertEqual((status, head["content-type"]), (200, "application/jsonl"))
        return text if isinstance(text, str) else json.dumps(text)


class Jobs(WithJobs):
    model = "fake"

    def test_append_runs_no_model(self):
        one = self.open()
        asked = self.node.model_stats()["requests"]
        self.done(one, "append", {"role": "user", "message": "my name is Ada"})
        self.done(one, "append", {"role": "assistant", "message": [{"type": "text", "text": "Hello Ada"}]})
        self.done(one, "append", {"role": "system", "message": "Be brief"})
        self.assertEqual(self.node.model_stats()["requests"], asked)
        self.assertEqual(self.texts(one), [("user", "my name is Ada"), ("assistant", "Hello Ada"), ("system", "Be brief")])
        self.say(one, "who am I?")
        self.assertEqual([m[0] for m in self.texts(one)], ["user", "assistant", "system", "user", "assistant"])
        for wrong in ({}, {"message": ""}, {"message": "x", "role": "tool"}, {"text": "x"}):
            self.job(one, "append", wrong, want=400)

    def test_a_job_with_a_key_is_done_once(self):
        one = self.open()
        answers = [self.job(one, "append", {"message": "once"}, **{"Idempotency-Key": one["sessionId"]}) for _ in range(3)]
        self.assertEqual(len({a["runId"] for a in answers}), 1)
        self.job(one, "append", {"message": "twice"}, want=422, **{"Idempotency-Key": one["sessionId"]})
        self.node.wait(answers[0]["runId"])
        self.assertEqual(self.texts(one), [("user", "once")])

    def test_jobs_and_runs_go_in_their_order(self):
        one = self.open()
        runs = []
        with self.node.model_stopped():
            runs.append(self.asked_soon("first", one))
            runs.append(self.job(one, "append", {"message": "a note"})["runId"])
            runs.append(self.post("second", one["sessionKey"]))
            runs.append(self.job(one, "append", {"message": "another"})["runId"])
        for run in runs:
            self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.texts(one), [("user", "first"), ("assistant", "echo: first"), ("user", "a note"), ("user", "second"),
                                           ("assistant", "echo: second"), ("user", "another")])

    def asked_soon(self, message, session):
        """A run that has begun; the model may be stopped."""
        run = self.post(message, session["sessionKey"])
        wait_for(lambda: self.state(run) == "running")
        return run

    def test_a_reset_hides_what_was_and_keeps_it(self):
        one = self.open()
        self.say(one, "before")
        self.done(one, "reset")
        self.say(one, "behind")
        self.assertEqual(self.shown(), ["behind"])
        self.assertEqual([t[0] for t in self.texts(one)], ["user", "assistant", "reset", "user", "assistant"])
        self.assertEqual(self.call("GET", f"/v1/sessions/{one['sessionId']}")["contextFrom"], 3)

    def test_archived_and_back(self):
        agent = self.agent()
        one = self.open(agent=agent)
        self.done(one, "archive")
        self.assertNotIn(one["sessionId"], json.dumps(self.call("GET", f"/v1/sessions?agent={agent}")))
        self.assertEqual(self.call("GET", f"/v1/sessions?agent={agent}&status=archived")["sessions"][0]["sessionId"], one["sessionId"])
        self.done(one, "archive", {"archived": False})
        self.assertEqual(self.call("GET", f"/v1/sessions/{one['sessionId']}")["status"], "active")

    def test_another_tenant_changes_nothing(self):
        one = self.open()
        foreign = self.token(4242, "run,read,write")
        for what in ("append", "reset", "compact", "archive", "regenerate", "edit", "fork", "import"):
            body = {"append": {"message": "x"}, "edit": {"message": "x"}, "fork": {"sessionKey": "x"}}.get(what)
            if what == "import":
                body = '{"seq":1,"role":"user","step":0,"createdAt":"2026-11-30T13:55:19.548471Z","content":{"blocks":[]}}'
            self.call("POST", f"/v1/sessions/{one['sessionId']}/{what}", body, want=404, token=foreign)
        self.call("GET", f"/v1/sessions/{one['sessionId']}/export", want=404, token=foreign)
        self.call("DELETE", f"/v1/sessions/{one['sessionId']}", want=404, token=foreign)
        self.assertEqual(self.call("GET", f"/v1/sessions/{one['sessionId']}")["messages"], 0)

    def test_a_killed_worker_does_a_job_once(self):
        one = self.open()
        with self.node.model_stopped():
            first = self.asked_soon("[delay 200] first", one)
            job = self.job(one, "append", {"message": "a note"})["runId"]
            for pid in self.node.pids()["worker"]:
                os.kill(pid, signal.SIGKILL)
        end = self.node.wait(first)
        self.assertEqual(end["status"], "ok", end)
        self.assertEqual(self.node.wait(job)["status"], "ok")
        self.assertEqual([t for t in self.texts(one) if t[1] == "a note"], [("user", "a note")])


class Deleted(WithJobs):
    model = "fake"

    def delete(self, session):
        return self.call("DELETE", f"/v1/sessions/{session['sessionId']}", want=202)["runId"]

    def assert_gone(self, session):
        id = session["sessionId"]
        for table in ("agent_sessions", "lanes", "session_messages", "message_terms", "session_search", "tool_executions", "approvals",
                      "agent_run_queue", "agent_context_snapshots"):
            self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.{table} WHERE session_id = '{id}'"), "0", table)
        self.assertEqual(self.node.sql(f"SELECT string_agg(mode, ' ') FROM tb.agent_runs WHERE session_id = '{id}'"), "delete")

    def test_all_of_it_goes_and_its_key_is_free(self):
        one = self.open()
        self.say(one, '[tool memory_get {}] look')
        self.search(f"/v1/sessions/{one['sessionId']}", "look")
        run = self.delete(one)
        self.call("GET", self.by_key(one["sessionKey"]), want=404)
        self.call("DELETE", f"/v1/sessions/{one['sessionId']}", want=404)
        again = self.open(one["sessionKey"])
        self.assertNotEqual(again["sessionId"], one["sessionId"])
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assert_gone(one)
        self.say(again, "hello")
        self.assertEqual(self.texts(again), [("user", "hello"), ("assistant", "echo: hello")])

    def test_many_messages_go_in_pieces(self):
        one = self.open()
        self.node.sql("INSERT INTO tb.session_messages (tenant_id, session_id, seq, role, content) SELECT 1,"
                      f" '{one['sessionId']}', n, 'user', '{{\"blocks\":[]}}' FROM generate_series(1, 2500) n;"
                      f" UPDATE tb.lanes SET head_seq = 2500 WHERE session_id = '{one['sessionId']}'")
        self.assertEqual(self.node.wait(self.delete(one))["status"], "ok")
        self.assert_gone(one)

    def end_of(self, run):
        status, _, answer = self.node.get(f"/v1/runs/{run}/wait?timeoutMs=60000", timeout=90)
        return "gone" if status == 404 else answer["status"]

    def test_what_runs_and_what_waits_is_cancelled(self):
        one = self.open()
        with self.node.model_stopped():
            running = self.post("[delay 100] never", one["sessionKey"])
            wait_for(lambda: self.state(running) == "running")
            waiting = [self.post(f"{i}", one["sessionKey"]) for i in range(3)] + [self.job(one, "append", {"message": "x"})["runId"]]
            with concurrent.futures.ThreadPoolExecutor(5) as pool:
                ends = [pool.submit(self.end_of, r) for r in [running] + waiting]
                run = self.delete(one)
                self.assertLessEqual({e.result() for e in ends}, {"cancelled", "gone"})  # who asked too late finds nothing
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assert_gone(one)

    def test_a_run_that_asks_a_person(self):
        agent = self.agent()
        self.set(agent, profile="full", ask=["memory_get"])
        one = self.open(agent=agent)
        run = self.post("[tool memory_get {}] x", one["sessionKey"], agent=agent)
        wait_for(lambda: self.state(run) == "waiting")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            end = pool.submit(self.end_of, run)
            job = self.delete(one)
            self.assertIn(end.result(), ("cancelled", "gone"))
        self.assertEqual(self.node.wait(job)["status"], "ok")
        self.assert_gone(one)

    def test_a_killed_supervisor_goes_on(self):
        one = self.open()
        with self.node.model_stopped():
            running = self.post("never", one["sessionKey"])
            wait_for(lambda: self.state(running) == "running")
            run = self.delete(one)
            self.node.daemon.kill()
            self.node.daemon.wait()
            wait_for(lambda: not self.node.all_pids())
            self.node.start_daemon()
            self.node.wait_ready()
        self.node.wait_until_ok(run)
        self.assert_gone(one)


class Copies(WithJobs):
    model = "fake"

    def test_export_and_import_are_the_same_bytes(self):
        one, two = self.open(), self.open()
        self.say(one, '[tool memory_store {"text":"\u00e9\u4e16 \ud83d\ude00","path":"a.md"}] store')
        self.done(one, "append", {"role": "system", "message": "quote \" backslash \\ tab \t"})
        self.done(one, "reset")
        self.say(one, "after")
        text = self.export(one)
        lines = text.splitlines()
        self.assertEqual(len(lines), self.call("GET", f"/v1/sessions/{one['sessionId']}")["messages"])
        self.assertEqual([json.loads(l)["seq"] for l in lines], list(range(1, len(lines) + 1)))
        self.done(two, "import", text.encode())
        self.assertEqual(self.export(two), text)
        self.assertEqual(self.call("GET", f"/v1/sessions/{two['sessionId']}")["contextFrom"],
                         self.call("GET", f"/v1/sessions/{one['sessionId']}")["contextFrom"])
        self.say(two, "and on")
        self.assertIn("line 1: its seq is 1", self.fails(two, "import", text.encode()))

    def test_in_parts(self):
        one, two = self.open(), self.open()
        for i in range(3):
            self.say(one, f"message {i}")
        lines = self.export(one).splitlines()
        self.done(two, "import", "\n".join(lines[:2]))
        self.done(two, "import", "\n".join(lines[2:]) + "\n")
        self.assertEqual(self.export(two).splitlines(), lines)
        self.assertEqual(self.export(self.open()), "")

    def test_what_is_no_transcript(self):
        def line(seq, role, *blocks, **more):
            return json.dumps({"seq": seq, "role": role, "step": 0, "createdAt": "2026-11-30T13:55:19.548471Z",
                               "content": {"blocks": list(blocks)}, **more})
        call = {"type": "tool_call", "callId": "a", "name": "x", "arguments": {}}
        result = {"type": "tool_result", "callId": "a", "name": "x", "isError": False, "text": ""}
        one = self.open()
        for lines, words in (
                ([], "line 1: there is no message"),
                (["nonsense"], "line 1: it is no valid JSON"),
                ([line(1, "user"), line(3, "user")], "line 2: seq is 3"),
                ([line(1, "tool", result)], "line 1: its result is of the tool call a"),
                ([line(1, "assistant", call)], "line 1: its tool call a has no result before the end"),
                ([line(1, "assistant", call), line(2, "assistant")], "line 1: its tool call a has no result before the next answer"),
                ([line(1, "assistant", call), line(2, "tool", result, result)], "line 2: its result is of the tool call a"),
                ([line(1, "assistant", call, call)], "line 1: it makes the tool call a twice"),
                ([line(1, "user", call)], "line 1: only an assistant"),
                ([line(1, "user"), "", line(2, "robot")], "line 3: role must be"),
                ([line(1, "user", mood="x")], 'line 1: there is no member "mood"'),
                ([line(1, "user").replace("T13", " 13")], "line 1: createdAt must be"),
                ([line(1, "user", tokens=-1)], "line 1: tokens must be")):
            answer = self.job(one, "import", "\n".join(lines) or "\n", want=400)
            self.assertIn(words, answer["error"]["message"])
        self.done(one, "import", "\n".join([line(1, "assistant", call), line(2, "tool", result)]))
        self.job(one, "import", line(3, "user", {"type": "text", "text": "x" * (2 << 20)}), want=413)
        self.done(one, "import", line(3, "user", {"type": "text", "text": "x" * (1 << 20)}))

    def test_a_slow_reader_gets_all_of_it(self):
        one = self.open()
        self.node.sql("INSERT INTO tb.session_messages (tenant_id, session_id, seq, role, content) SELECT 1,"
                      f" '{one['sessionId']}', n, 'user', jsonb_build_object('blocks', jsonb_build_array(jsonb_build_object('type', 'text',"
                      f" 'text', repeat('x', 50000)))) FROM generate_series(1, 400) n; UPDATE tb.lanes SET head_seq = 400 WHERE session_id ="
                      f" '{one['sessionId']}'")
        lines = self.export(one).splitlines()
        self.assertEqual([json.loads(l)["seq"] for l in lines], list(range(1, 401)))

    def test_a_fork_goes_its_own_way(self):
        one = self.open()
        for i in range(3):
            self.say(one, f"message {i}")
        key = self.session()
        forked = self.done(one, "fork", {"sessionKey": key, "upToSeq": 4})
        two = self.call("GET", self.by_key(key))
        self.assertEqual((two["sessionId"], two["messages"]), (forked["newSessionId"], 4))
        self.assertEqual(two["meta"]["forkedFrom"], {"sessionId": one["sessionId"], "seq": 4})
        self.assertEqual(self.export(two).splitlines(), self.export(one).splitlines()[:4])
        self.say(two, "elsewhere")
        self.assertEqual((len(self.texts(one)), len(self.texts(two))), (6, 6))
        self.assertIn("has a session of the key", self.fails(one, "fork", {"sessionKey": key}))
        self.assertIn("ends at 6", self.fails(one, "fork", {"sessionKey": self.session(), "upToSeq": 7}))
        self.job(one, "fork", {}, want=400)
        self.job(one, "fork", {"sessionKey": "cron:1"}, want=400)

    def test_a_fork_does_not_part_a_call_from_its_result(self):
        one = self.open()
        self.say(one, "[tool memory_get {}] look")
        for seq in (2,):
            self.assertIn("stands between tool calls", self.fails(one, "fork", {"sessionKey": self.session(), "upToSeq": seq}))

    def test_regenerate_answers_again(self):
        one = self.open()
        self.say(one, "first")
        self.say(one, "second")
        before = self.texts(one)
        again = self.done(one, "regenerate")["runId"]
        self.assertEqual(self.shown(), ["first", "echo: first", "second"])
        texts = self.texts(one)
        self.assertEqual(texts[:4], before)
        self.assertEqual([t[0] for t in texts[4:]], ["reset", "user", "assistant"])
        self.assertEqual(texts[5], before[2])
        self.assertEqual(texts[6], before[3])  # it was asked the very same
        end = self.call("GET", f"/v1/runs/{again}")
        self.assertEqual((end["status"], end["result"]["messageSeq"]), ("completed", 7))
        self.assertEqual(self.history(one)["messages"][2]["content"]["branchFrom"], 3)

    def test_an_edit_takes_the_place_of_the_last_message(self):
        one = self.open()
        self.say(one, "first")
        self.say(one, "secnod")
        self.done(one, "edit", {"message": "second"})
        self.say(one, "third")
        self.assertEqual(self.shown(), ["first", "echo: first", "second", "echo: second", "third"])
        texts = self.texts(one)
        self.assertEqual([t[0] for t in texts], ["user", "assistant"] * 2 + ["reset"] + ["user", "assistant"] * 2)
        self.assertEqual(texts[3][1], "echo: secnod")

    def test_there_is_nothing_to_regenerate(self):
        one = self.open()
        self.assertIn("has no message of a user", self.fails(one, "regenerate"))
        self.say(one, "x")
        self.done(one, "reset")
        self.assertIn("has no message of a user", self.fails(one, "regenerate"))


class CommandLine(WithJobs):
    model = "fake"

    def ctl(self, *args, want=FINE, input=None):
        p = self.node.ctl("session", *args, input=input)
        self.assertEqual(p.returncode, want, p.stderr)
        return p.stdout if want == FINE else p.stderr

    def test_all_of_it(self):
        one = self.open()
        id, key = one["sessionId"], one["sessionKey"]
        self.say(one, "the heron stands")
        self.assertIn("appended", self.ctl("append", id, "--role", "assistant", "in", "the", "reeds"))
        self.assertIn(id, self.ctl("list", "--agent", "main"))
        self.assertEqual(json.loads(self.ctl("show", "--json", key, "--agent", "main"))["messages"], 3)
        self.assertIn("heron", self.ctl("history", id, "--limit", "5"))
        self.assertIn("reeds", self.ctl("search", "--session", id, "the", "reeds"))
        self.assertIn("reeds", self.ctl("search", "in", "reeds"))
        self.assertIn("is a copy", self.ctl("fork", id, f"{key}-copy", "--up-to", "2"))
        self.assertIn("ends at 3", self.ctl("fork", id, f"{key}-more", "--up-to", "9", want=FAILED))
        text = self.ctl("export", id)
        self.assertEqual(len(text.splitlines()), 3)
        two = self.open()
        self.assertIn("imported", self.ctl("import", two["sessionId"], input=text))
        self.assertEqual(self.ctl("export", two["sessionId"]), text)
        self.assertIn("answered again", self.ctl("regenerate", id))
        self.assertIn("reset", self.ctl("reset", id))
        self.ctl("archive", id)
        self.assertNotIn(id, self.ctl("list"))
        self.assertIn(id, self.ctl("list", "--status", "archived"))
        self.ctl("archive", id, "--undo")
        self.assertIn("deleted", self.ctl("delete", id, "--yes"))
        self.ctl("show", id, want=ABSENT)

    def test_a_long_import_goes_in_parts(self):
        one, two = self.open(), self.open()
        self.node.sql("INSERT INTO tb.session_messages (tenant_id, session_id, seq, role, content) SELECT 1,"
                      f" '{one['sessionId']}', n, 'user', jsonb_build_object('blocks', jsonb_build_array(jsonb_build_object('type', 'text',"
                      f" 'text', repeat('x', 50000)))) FROM generate_series(1, 30) n; UPDATE tb.lanes SET head_seq = 30 WHERE session_id ="
                      f" '{one['sessionId']}'")
        text = self.ctl("export", one["sessionId"])
        self.ctl("import", two["sessionId"], input=text)
        self.assertEqual(self.ctl("export", two["sessionId"]), text)
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.agent_runs WHERE session_id = '{two['sessionId']}'"), "3")


if __name__ == "__main__":
    unittest.main()
