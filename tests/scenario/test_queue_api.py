# SPDX-License-Identifier: Apache-2.0
"""The queue as HTTP clients meet it: cancelling, listing, refusing, coming back, leaving."""
import http.client
import json
import socket
import threading
import unittest
import uuid

from node import wait_for
from test_main_job import WithNode

together = True  # the classes share a node: one process

HOLD = "[delay 60000] hold"
LIVE = ("scheduled", "queued", "running", "waiting", "retry_wait", "cancelling")


class Api(WithNode):
    model = "fake"

    def order(self, message, session, agent="main", headers=None, token=None, **members):
        """(status, headers, answer) of one POST."""
        body = {"message": message, "sessionKey": session, **members}
        return self.node.post(f"/v1/agents/{agent}/runs", body, headers=headers, token=token)

    def accepted(self, message, session, **kw):
        status, _, answer = self.order(message, session, **kw)
        self.assertEqual(status, 202, answer)
        return answer

    def run_id(self, message, session, **kw):
        return self.accepted(message, session, **kw)["runId"]

    def held(self, session, **kw):
        """A run that waits for its model until it is cancelled."""
        run = self.run_id(HOLD, session, **kw)
        wait_for(lambda: self.status(run) == "running")
        return run

    def cancel(self, run, body=None, **kw):
        return self.node.post(f"/v1/runs/{run}/cancel", body, **kw)

    def end(self, run):
        """Cancels it; the answer of the wait for its end."""
        self.assertIn(self.cancel(run)[0], (200, 202, 409))
        return self.node.wait(run)

    def status(self, run):
        status, _, answer = self.node.get(f"/v1/runs/{run}")
        self.assertEqual(status, 200, answer)
        return answer["status"]

    def refused(self, answer, status, code, param=None, says=""):
        self.assertEqual(answer[0], status, answer[2])
        error = answer[2]["error"]
        self.assertEqual((error["code"], error["param"]), (code, param), error)
        self.assertIn(says, error["message"])
        if status in (429, 503):
            self.assertIn(int(answer[1]["retry-after"]), range(1, 121))

    def agent(self, name, config):
        """An agent like main, with further configuration."""
        self.node.sql("WITH m AS (SELECT a.tenant_id, r.config FROM tb.agents a JOIN tb.agent_revisions r USING (tenant_id, agent_id,"
                      f" revision) WHERE a.name = 'main' AND a.tenant_id = 1), a AS (INSERT INTO tb.agents (tenant_id, agent_id, name)"
                      f" SELECT tenant_id, '{uuid.uuid4()}', '{name}' FROM m RETURNING tenant_id, agent_id), p AS (INSERT INTO"
                      " tb.agent_tool_policies (tenant_id, agent_id, profile) SELECT tenant_id, agent_id, 'full' FROM a) INSERT INTO"
                      f" tb.agent_revisions (tenant_id, agent_id, revision, config) SELECT a.tenant_id, a.agent_id, 1, m.config ||"
                      f" '{json.dumps(config)}' FROM a JOIN m USING (tenant_id)")
        return name

    def other_token(self, tenant, scopes="run,read"):
        """A token that Postgres holds since now."""
        id, secret = uuid.uuid4(), uuid.uuid4().hex
        self.node.sql(f"INSERT INTO tb.tenants (tenant_id, slug) VALUES ({tenant}, 'tenant{tenant}') ON CONFLICT DO NOTHING")
        self.node.sql("INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes)"
                      f" VALUES ({tenant}, '{id}', sha256('{secret}'), '{{{scopes}}}')")
        return f"tb1.{tenant}.{id}.{secret}"


class Cancel(Api):
    def test_a_run_that_waits_behind_another(self):
        first = self.held("behind")
        second = self.run_id("never", "behind", queueMode="followup")
        self.assertEqual(self.status(second), "queued")
        status, _, answer = self.cancel(second)
        self.assertEqual((status, answer), (200, {"runId": second, "status": "cancelled"}))
        self.assertEqual(self.status(second), "cancelled")
        self.assertEqual(self.node.wait(second)["status"], "cancelled")
        self.assertNotIn("startedAt", self.node.wait(second))
        row = self.run_row(second)
        self.assertEqual((row["result"], row["error_code"], row["attempts"]), ("cancelled", "cancelled", 0))
        events = self.node.events(second)
        self.assertEqual([(id, type) for id, type, _ in events], [("1", "error"), ("2", "lifecycle")])
        self.assertEqual((events[1][2]["phase"], events[1][2]["metadata"]["result"]), ("error", "cancelled"))
        self.refused(self.cancel(second), 409, "conflict", says="cancelled")
        self.assertEqual(self.status(first), "running")
        self.assertEqual(self.end(first)["status"], "cancelled")
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.session_messages WHERE run_id = '{second}'"), "0")

    def test_a_run_that_is_not_due_yet(self):
        answer = self.accepted("later", "scheduled", delayMs=600000)
        self.assertEqual(answer["status"], "scheduled")
        self.assertEqual(self.cancel(answer["runId"], {})[0], 200)
        self.assertEqual(self.status(answer["runId"]), "cancelled")

    def test_a_run_at_its_model(self):
        run = self.held("model")
        status, _, answer = self.cancel(run)
        self.assertEqual((status, answer), (202, {"runId": run, "status": "cancelling"}))
        self.assertIn(self.cancel(run)[0], (202, 409))  # again, while it ends or after
        events = self.node.events(run)
        self.assertEqual((events[-1][1], events[-1][2]["phase"]), ("lifecycle", "error"))
        self.assertEqual(events[-1][2]["metadata"]["result"], "cancelled")
        self.assertEqual(self.node.wait(run)["status"], "cancelled")
        self.assertEqual(self.run_row(run)["result"], "cancelled")
        self.refused(self.cancel(run), 409, "conflict", says="cancelled")
        self.assertEqual(self.node.wait(self.run_id("hello", "model"))["status"], "ok")  # the lane goes on

    def test_a_subscriber_of_a_waiting_run_sees_its_end(self):
        first = self.held("watched")
        second = self.run_id("never", "watched", queueMode="followup")
        stream = self.node.sse(f"/v1/runs/{second}/events")
        got = []
        reader = threading.Thread(target=lambda: got.extend(stream))
        reader.start()
        self.assertEqual(self.cancel(second)[0], 200)
        reader.join(30)
        self.assertFalse(reader.is_alive())
        self.assertEqual([(id, type) for id, type, _ in got], [("1", "error"), ("2", "lifecycle")])
        self.end(first)

    def test_a_run_that_is_over(self):
        run, _ = self.node.run("hello", session="over")
        self.refused(self.cancel(run), 409, "conflict", says="completed")
        self.assertEqual(self.run_row(run)["result"], "completed")

    def test_runs_there_are_none_of(self):
        self.refused(self.cancel(uuid.uuid4()), 404, "not_found")
        self.refused(self.cancel("nonsense"), 404, "not_found")
        run = self.held("mine")
        self.refused(self.cancel(run, token=self.other_token(2)), 404, "not_found")
        self.refused(self.cancel(run, token=self.other_token(1, "read")), 403, "forbidden")
        self.refused(self.cancel(run, token=""), 401, "unauthorized")
        self.refused(self.cancel(run, {"reason": "x"}), 400, "bad_request", "reason")
        self.refused(self.cancel(run, "[]"), 400, "bad_request", says="empty or {}")
        self.refused(self.cancel(run, "{"), 400, "bad_request", says="empty or {}")
        self.assertEqual(self.node.get(f"/v1/runs/{run}/cancel")[0], 405)
        self.assertEqual(self.status(run), "running")
        self.end(run)

    def test_the_database_is_away(self):
        run = self.run_id("later", "away", delayMs=600000)
        self.node.cluster.stop("fast")
        try:
            self.refused(self.cancel(run), 503, self.cancel(run)[2]["error"]["code"])
            wait_for(lambda: self.node.get("/readyz", token="")[0] == 503)
            status, head, answer = self.node.get("/readyz", token="")
            self.assertEqual((status, answer["status"]), (503, "not ready"))
            self.assertTrue(answer["reason"])
            self.assertGreaterEqual(int(head["retry-after"]), 1)
        finally:
            self.node.cluster.start()
        self.node.wait_ready()
        status, _, answer = wait_for(lambda: (a := self.cancel(run))[0] != 503 and a, 20, 0.1)
        self.assertIn((status, self.status(run)), ((200, "cancelled"), (409, "cancelled")))  # the first one may have landed


class Disconnect(Api):
    def leave(self, message, session, **members):
        """Starts a stream, leaves once its head is there; the run."""
        c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=30)
        c.request("POST", "/v1/agents/main/runs", json.dumps({"message": message, "sessionKey": session, "stream": True, **members}),
                  {"Authorization": f"Bearer {self.node.token()}"})
        r = c.getresponse()
        self.assertEqual(r.status, 200)
        run = r.headers["x-run-id"]
        self.assertNotIn(self.status(run), ("completed", "cancelled"))
        c.sock.shutdown(socket.SHUT_RDWR)
        r.close()
        c.close()
        return run

    def test_a_running_run_is_cancelled(self):
        run = self.leave(HOLD, "gone", cancelOnDisconnect=True)
        self.assertEqual(self.node.wait(run)["status"], "cancelled")

    def test_a_waiting_run_is_cancelled(self):
        first = self.held("gone queued")
        run = self.leave("never", "gone queued", queueMode="followup", cancelOnDisconnect=True)
        self.assertEqual(self.node.wait(run)["status"], "cancelled")
        self.assertEqual(self.run_row(run)["attempts"], 0)
        self.end(first)

    def test_only_if_asked_for(self):
        for members in ({}, {"cancelOnDisconnect": False}):
            run = self.leave("[delay 400] on it goes", "stays", **members)
            self.assertEqual(self.node.wait(run)["status"], "ok")

    def test_only_with_a_stream(self):
        self.refused(self.order("x", "s", cancelOnDisconnect=True), 400, "bad_request", "cancelOnDisconnect", "stream")
        self.refused(self.order("x", "s", cancelOnDisconnect="yes"), 400, "bad_request", "cancelOnDisconnect", "true or false")


class Listing(Api):
    def list(self, **query):
        status, _, answer = self.node.get("/v1/runs?" + "&".join(f"{k}={v}" for k, v in query.items()))
        self.assertEqual(status, 200, answer)
        return answer

    def all(self, **query):
        """Every page's runs."""
        out, page = [], self.list(**query)
        while True:
            out += page["runs"]
            if "next" not in page:
                return out
            page = self.list(**query, before=page["next"])

    def test_pages_filters_and_order(self):
        agent = self.agent("lister", {})
        done = [self.node.run(f"message {i}", session=f"list{i % 2}", agent=agent)[0] for i in range(5)]
        first = self.held("list0", agent=agent)
        waiting = self.run_id("x", "list0", agent=agent, queueMode="followup")
        later = self.run_id("x", "list1", agent=agent, delayMs=600000)
        dropped = self.run_id("x", "list1", agent=agent, delayMs=600000)
        self.assertEqual(self.cancel(dropped)[0], 200)
        everything = [dropped, later, waiting, first, *reversed(done)]
        for limit in (1, 2, 3, 200):
            self.assertEqual([r["runId"] for r in self.all(agent=agent, limit=limit)], everything, limit)
        states = {r["runId"]: r["status"] for r in self.all(agent=agent)}
        self.assertEqual([states[r] for r in (dropped, later, waiting, first, done[0])],
                         ["cancelled", "scheduled", "queued", "running", "completed"])
        for status, runs in (("completed", list(reversed(done))), ("queued", [waiting]), ("scheduled", [later]), ("running", [first]),
                             ("cancelled", [dropped]), ("failed", []), ("cancelling", [])):
            self.assertEqual([r["runId"] for r in self.all(agent=agent, status=status)], runs, status)
        sessions = {r["sessionKey"]: r["sessionId"] for r in self.all(agent=agent)}
        for key, id in sessions.items():
            of_one = self.all(session=id, limit=2)
            self.assertEqual([r["runId"] for r in of_one], [r["runId"] for r in self.all(agent=agent) if r["sessionKey"] == key])
        one = next(r for r in self.all(agent=agent) if r["runId"] == done[0])
        whole = self.node.get(f"/v1/runs/{done[0]}")[2]
        self.assertIn("result", whole)
        del whole["result"]
        whole["usage"] = {k: whole["usage"][k] for k in one["usage"]}  # one alone says what it cost, too
        self.assertEqual(one, whole)
        self.end(first)
        self.cancel(later)
        self.end(waiting)
        self.assertEqual({r["status"] for r in self.all(agent=agent)} & set(LIVE), set())

    def test_another_tenant_sees_nothing_of_it(self):
        run, _ = self.node.run("hello", session="private")
        row = self.run_row(run)
        token = self.other_token(2)
        for query in ("", f"session={row['session_id']}", f"agent={row['agent_id']}", f"before={uuid.UUID(int=(1 << 128) - 1)}"):
            status, _, answer = self.node.get(f"/v1/runs?{query}", token=token)
            self.assertEqual((status, answer), (200, {"runs": []}), query)
        self.refused(self.node.get("/v1/runs?agent=main", token=token), 404, "not_found", "agent")
        self.refused(self.node.get("/v1/runs", token=self.other_token(1, "write")), 403, "forbidden")

    def test_queries_that_are_none(self):
        for query, param in (("limit=0", "limit"), ("limit=201", "limit"), ("limit=ten", "limit"), ("limit=", "limit"),
                             ("limit=1&limit=2", "limit"), ("status=busy", "status"), ("session=web:42", "session"),
                             ("before=yesterday", "before"), ("agent=", "agent"), ("sesion=x", "sesion"), ("status=%zz", "status")):
            answer = self.node.get(f"/v1/runs?{query}")
            if query != "status=%zz":  # the head itself is refused
                self.refused(answer, 400, "bad_request", param, param)
            self.assertEqual(answer[0], 400, query)


class Orders(Api):
    def test_members_that_break_a_rule(self):
        before = self.node.sql("SELECT count(*) FROM tb.agent_sessions")
        cases = [({"priority": 101}, "priority", "-100 to 100"), ({"priority": -101}, "priority", "-100 to 100"),
                 ({"priority": 1.5}, "priority", "integer"), ({"delayMs": -1}, "delayMs", "from 0"),
                 ({"delayMs": 30 * 86400000 + 1}, "delayMs", "from 0"), ({"deadlineMs": 0}, "deadlineMs", "in the past"),
                 ({"deadlineMs": -1}, "deadlineMs", "in the past"), ({"deadlineMs": "1"}, "deadlineMs", "integer"),
                 ({"queueMode": "later"}, "queueMode", "steer"), ({"queueMode": "announce"}, "queueMode", "steer"),
                 ({"queueMode": None}, "queueMode", "steer"), ({"stream": 1}, "stream", "true or false"),
                 ({"sessionKey": ""}, "sessionKey", "1 to 512"), ({"sessionKey": "k" * 513}, "sessionKey", "1 to 512"),
                 ({"sessionKey": "\u00e4" * 257}, "sessionKey", "1 to 512"), ({"sessionKey": "a\nb"}, "sessionKey", "control"),
                 ({"sessionKey": "a\x7fb"}, "sessionKey", "control"), ({"sessionKey": "a\u0085b"}, "sessionKey", "control"),
                 ({"sessionKey": "a\u0000b"}, "sessionKey", "U+0000"), ({"sessionKey": "a\ud800b"}, "sessionKey", "surrogate"),
                 ({"sessionKey": "subagent:1"}, "sessionKey", "subagent:"), ({"sessionKey": "cron:nightly"}, "sessionKey", "cron:"),
                 ({"sessionKey": "hook:1"}, "sessionKey", "hook:"), ({"sessionKey": "acp:1"}, "sessionKey", "acp:"),
                 ({"sessionKey": "agent:main:subagent:1"}, "sessionKey", "subagent:"), ({"que": "x"}, "que", "no member")]
        for members, param, says in cases:
            body = json.dumps({"message": "x", **members})  # escapes what is not ASCII
            self.refused(self.node.post("/v1/agents/main/runs", body), 400, "bad_request", param, says)
        for raw in (b"a\nb", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf"):
            body = b'{"message":"x","sessionKey":"' + raw + b'"}'
            self.refused(self.node.post("/v1/agents/main/runs", body), 400, "bad_request", "sessionKey")
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.agent_sessions"), before)

    def test_session_keys_of_any_characters(self):
        for key in ("agent:main:main", "agent:main:telegram:group:-100", "\u00e4\U0001f600", "' OR 1=1; --", "../..", '"\\', " ", "k" * 512):
            run = self.run_id("hello", key)
            self.assertEqual(self.node.wait(run)["status"], "ok")
            self.assertEqual(self.node.get(f"/v1/runs/{run}")[2]["sessionKey"], key)

    def test_the_same_key_again(self):
        h = {"Idempotency-Key": "again-1"}
        first = self.accepted("hello", "again", headers=h)
        self.assertEqual(self.node.wait(first["runId"])["status"], "ok")
        status, head, answer = self.order("hello", "again", headers=h)
        self.assertEqual((status, answer["runId"], answer["status"]), (202, first["runId"], "completed"))
        self.assertEqual((head["idempotent-replayed"], answer["acceptedAt"]), ("true", first["acceptedAt"]))
        for members in ({"message": "other"}, {"queueMode": "collect"}, {"delayMs": 1}, {"priority": 1}, {"sessionKey": "another"}):
            body = {"message": "hello", "sessionKey": "again", **members}
            self.refused(self.node.post("/v1/agents/main/runs", body, headers=h), 422, "idempotency_mismatch", "Idempotency-Key")
        for key in ("", "a b", "\u00e4", "k" * 256):
            answer = self.order("hello", "again", headers={"Idempotency-Key": key.encode("utf-8").decode("latin-1")})
            self.refused(answer, 400, "bad_request", "Idempotency-Key", "1 to 255")
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.agent_runs r JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                                       " WHERE s.session_key IN ('again', 'another')"), "1")

    def test_the_same_key_of_a_cancelled_run(self):
        h = {"Idempotency-Key": "again-2"}
        run = self.run_id("later", "again2", headers=h, delayMs=600000)
        self.assertEqual(self.accepted("later", "again2", headers=h, delayMs=600000)["status"], "scheduled")
        self.assertEqual(self.cancel(run)[0], 200)
        answer = self.accepted("later", "again2", headers=h, delayMs=600000)
        self.assertEqual((answer["runId"], answer["status"]), (run, "cancelled"))

    def test_the_mode_in_force(self):
        agent = self.agent("collector", {"queueMode": "collect", "queueDebounceMs": 0})
        self.assertEqual(self.accepted("x", "mode", agent=agent)["queueMode"], "collect")
        self.assertEqual(self.accepted("x", "mode", agent=agent, queueMode="followup")["queueMode"], "followup")
        self.assertEqual(self.accepted("x", "mode")["queueMode"], "steer")
        self.node.sql("UPDATE tb.agent_sessions SET queue_mode = 'interrupt' WHERE session_key = 'mode'")
        self.node.kill("edge")  # a new one has read nothing yet
        self.node.wait_ready()
        self.assertEqual(self.accepted("x", "mode", agent=agent)["queueMode"], "interrupt")
        self.assertEqual(self.accepted("x", "mode")["queueMode"], "interrupt")
        self.assertEqual(self.accepted("x", "mode", queueMode="steer")["queueMode"], "steer")

    def test_settings_that_are_none_count_as_absent(self):
        agent = self.agent("odd", {"queueMode": "announce", "queueCap": "2", "queueDrop": 7, "queueDebounceMs": 60001})
        run = self.held("odd", agent=agent)
        others = [self.run_id("x", "odd", agent=agent, queueMode="followup") for _ in range(20)]
        self.refused(self.order("x", "odd", agent=agent, queueMode="followup"), 429, "lane_full", says="session")
        for r in others:
            self.assertEqual(self.cancel(r)[0], 200)
        self.end(run)

    def test_full_is_said_with_a_time_to_come_back(self):
        agent = self.agent("narrow", {"queueCap": 2})
        run = self.held("narrow", agent=agent)
        others = [self.run_id("x", "narrow", agent=agent, queueMode="followup") for _ in range(2)]
        self.refused(self.order("x", "narrow", agent=agent, queueMode="followup"), 429, "lane_full", says="session")
        self.assertEqual(self.cancel(others[0])[0], 200)
        others.append(self.run_id("x", "narrow", agent=agent, queueMode="followup"))  # there is room again
        token = self.other_token(3)
        self.node.sql("UPDATE tb.tenants SET max_queued = 1, max_running = 1 WHERE tenant_id = 3")
        self.node.sql("INSERT INTO tb.agents (tenant_id, agent_id, name) SELECT 3, '0192f3a0-0000-7000-8000-0000000000a3', 'main';"
                      "INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config) SELECT 3, '0192f3a0-0000-7000-8000-0000000000a3',"
                      " 1, config FROM tb.agent_revisions r JOIN tb.agents a USING (tenant_id, agent_id, revision)"
                      " WHERE a.tenant_id = 1 AND a.name = 'main';"
                      "INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile) VALUES"
                      " (3, '0192f3a0-0000-7000-8000-0000000000a3', 'full')")
        theirs = [self.order("later", f"t{i}", token=token, delayMs=600000) for i in range(3)]
        self.assertEqual(theirs[0][0], 202, theirs[0][2])
        self.refused(theirs[2], 429, "tenant_full", says="tenant")
        for status, _, answer in theirs:
            if status == 202:
                self.assertEqual(self.cancel(answer["runId"], token=token)[0], 200)
        for r in others[1:]:
            self.assertEqual(self.cancel(r)[0], 200)
        self.end(run)

    def test_many_new_sessions_at_once(self):
        """Their openings share commits; each gets its own session, lane and run."""
        runs, lock = {}, threading.Lock()

        def one(n):
            for i in range(10):
                key = f"fresh{n}.{i}"
                status, _, answer = self.order("hello", key)
                with lock:
                    runs[key] = answer.get("runId", (status, answer))
        threads = [threading.Thread(target=one, args=(n,)) for n in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for key, run in runs.items():
            self.assertIsInstance(run, str, run)
            self.assertEqual(self.node.wait(run)["status"], "ok")
        rows = self.node.rows("SELECT s.session_key, r.run_id FROM tb.agent_sessions s JOIN tb.lanes l USING (tenant_id, session_id)"
                              " JOIN tb.agent_runs r USING (tenant_id, session_id) WHERE s.session_key LIKE 'fresh%'")
        self.assertEqual({r["session_key"]: r["run_id"] for r in rows}, runs)


if __name__ == "__main__":
    unittest.main()
