# SPDX-License-Identifier: Apache-2.0
"""A tool that a person has to allow: the run waits for the answer, whatever dies meanwhile."""
import json
import os
import signal
import sys
import uuid
from http.client import HTTPException

from node import Node, ROOT, own, wait_for
from test_queue_modes import SKIPPED, STORE, WithQueue

sys.path.insert(0, os.path.join(ROOT, "tests", "chaos"))
from faults import DIE, Faults  # noqa: E402


class WithApprovals(WithQueue):
    def asking(self, tools="{memory_store}"):
        """An agent whose policy asks for these."""
        name = self.agent()
        self.node.sql(f"UPDATE tb.agent_tool_policies p SET ask = '{tools}' FROM tb.agents a"
                      f" WHERE a.tenant_id = p.tenant_id AND a.agent_id = p.agent_id AND a.name = '{name}'")
        return name

    def waits(self, message="go", session=None, text="kept", agent=None, **options):
        """A run that waits for a person, with its session's key and its agent."""
        session = session or f"s-{uuid.uuid4()}"
        agent = agent or self.asking()
        run = self.post(STORE % (text, f"{session}.md") + message, session, agent=agent, **options)
        wait_for(lambda: self.node.get(f"/v1/runs/{run}")[2]["status"] == "waiting")
        return run, session, agent

    def pending(self, run):
        return self.node.get(f"/v1/approvals?run={run}&state=pending")[2]["approvals"]

    def decide(self, approval, decision, **more):
        status, _, answer = self.node.post(f"/v1/approvals/{approval}", {"decision": decision, **more})
        return status, answer

    def stored(self, session):
        return self.node.sql(f"SELECT string_agg(body, '') FROM tb.agent_memory_entries WHERE path = '{session}.md'").strip()

    def result_of(self, run, call=0):
        return self.node.rows(f"SELECT state, output FROM tb.tool_executions WHERE run_id = '{run}' ORDER BY step, call_no")[call]


class Answers(WithApprovals):
    def test_approved_once(self):
        run, session, agent = self.waits()
        asked, = self.pending(run)
        self.assertEqual((asked["tool"], asked["state"], asked["runId"], asked["input"]["text"]), ("memory_store", "pending", run, "kept"))
        shown = self.node.get(f"/v1/runs/{run}")[2]
        self.assertEqual([a["id"] for a in shown["approvals"]], [asked["id"]])
        self.assertEqual(self.node.get(f"/v1/runs/{run}/wait?timeoutMs=10")[2]["status"], "timeout")
        why = self.node.admin("run.why", {"run": run, "tenant": 1})
        self.assertEqual(why["why"], "asking")
        self.assertIn("memory_store", why["sentence"])
        self.assertEqual(self.node.admin("queue.stats")["asking"], 1)
        self.assertEqual(self.stored(session), "")
        for _ in range(2):
            self.assertEqual(self.decide(asked["id"], "approve"), (200, {"id": asked["id"], "runId": run, "state": "once"}))
        self.assertEqual(self.decide(asked["id"], "deny")[0], 409)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual((self.stored(session), self.calls(run)), ("kept", [("memory_store", "completed")]))
        self.assertEqual(self.roles(run), ["user", "assistant", "tool", "assistant"])
        row, = self.node.rows(f"SELECT actor, action FROM tb.audit_log WHERE object = 'approval:{asked['id']}'")
        self.assertEqual((row["actor"].split(":")[0], row["action"]), ("token", "approval.once"))
        again, _, _ = self.waits(session=session, agent=agent)
        self.assertEqual(len(self.pending(again)), 1)
        self.decide(self.pending(again)[0]["id"], "deny")
        self.node.wait(again)

    def test_always(self):
        run, session, agent = self.waits()
        self.assertEqual(self.decide(self.pending(run)[0]["id"], "always")[0], 200)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        more = self.post(STORE % ("more", f"{session}-2.md") + "go", session, agent=agent)
        self.assertEqual(self.node.wait(more)["status"], "ok")
        self.assertEqual(self.calls(more), [("memory_store", "completed")])
        other, _, _ = self.waits(agent=agent)
        self.node.post(f"/v1/runs/{other}/cancel")
        self.assertEqual(self.ended(other)["result"], "cancelled")

    def test_always_answers_what_is_asked_besides(self):
        agent, session = self.asking("{memory_get}"), f"all-{uuid.uuid4()}"
        look = f'[tool memory_get {{"path":"{session}.md"}}]'
        run = self.post(STORE % ("first", f"{session}.md") + look * 2 + "go", session, agent=agent)
        asked = wait_for(lambda: self.pending(run))
        self.decide(asked[0]["id"], "always")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual([s for _, s in self.calls(run)], ["completed"] * 3)

    def test_denied_with_a_text(self):
        run, session, _ = self.waits()
        asked, = self.pending(run)
        self.assertEqual(self.decide(asked["id"], "deny", message="not on a Friday")[0], 200)
        self.assertEqual(self.decide(asked["id"], "deny", message="another text")[0], 409)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        row = self.result_of(run)
        self.assertEqual((row["state"], row["output"]["error"]), ("error", "'memory_store' was not run, it was denied: not on a Friday"))
        self.assertEqual(self.stored(session), "")
        self.assertEqual(self.roles(run), ["user", "assistant", "tool", "assistant"])

    def test_two_in_one_answer_and_the_order_of_all_calls(self):
        """Nothing of the answer starts before all of it is answered; then its calls run in their order."""
        agent, session = self.asking("{memory_get}"), f"two-{uuid.uuid4()}"
        look = f'[tool memory_get {{"path":"{session}.md"}}]'
        run = self.post(STORE % ("first", f"{session}.md") + look * 2 + "go", session, agent=agent)
        asked = sorted(wait_for(lambda: self.pending(run)), key=lambda a: a["call"])
        self.assertEqual([a["call"] for a in asked], [1, 2])
        self.assertEqual([s for _, s in self.calls(run)], ["pending"] * 3)
        self.decide(asked[1]["id"], "deny", message="no")
        self.assertEqual((self.state(run), self.stored(session)), ("waiting", ""))
        self.decide(asked[0]["id"], "approve")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual([s for _, s in self.calls(run)], ["completed", "completed", "error"])
        self.assertIn("first", json.dumps(self.result_of(run, 1)["output"]))
        self.assertEqual(self.roles(run), ["user", "assistant", "tool", "tool", "tool", "assistant"])

    def test_the_stream_of_a_run_that_waits_goes_on(self):
        agent, session = self.asking(), f"stream-{uuid.uuid4()}"
        run = self.post(STORE % ("seen", f"{session}.md") + "go", session, agent=agent)
        seen, asked = [], None
        for _, _, body in self.node.sse(f"/v1/runs/{run}/events"):
            seen.append(body)
            approval = body.get("metadata", {}).get("approval")
            if approval and not asked:
                asked = approval
                self.assertEqual((body["type"], body["toolState"], body["toolName"]), ("tool", "pending", "memory_store"))
                self.assertTrue(asked["rule"] and asked["expiresAt"])
                wait_for(lambda: self.state(run) == "waiting")
                self.assertEqual(self.decide(asked["id"], "approve")[0], 200)
        answers = [b["metadata"]["approval"] for b in seen if "approval" in b.get("metadata", {})]
        self.assertEqual([a["state"] for a in answers], ["pending", "once"])
        self.assertTrue(answers[1]["by"].startswith("token:"))
        self.assertEqual([b["seq"] for b in seen if "toolState" in b or "phase" in b], sorted({b["seq"] for b in seen if "toolState" in b or "phase" in b}))
        self.assertEqual(seen[-1]["phase"], "end")

    def test_bad_answers(self):
        run, session, _ = self.waits()
        asked = self.pending(run)[0]["id"]
        for body in ({}, {"decision": "yes"}, {"decision": "deny", "message": "x" * 2001}, {"decision": "approve", "message": "x"},
                     {"decision": "approve", "more": 1}, []):
            status, _, answer = self.node.post(f"/v1/approvals/{asked}", body)
            self.assertEqual((status, answer["error"]["code"]), (400, "bad_request"), body)
        for id in (uuid.uuid4(), "nonsense"):
            self.assertEqual(self.decide(id, "approve")[0], 404)
            self.assertEqual(self.node.get(f"/v1/approvals/{id}")[0], 404)
        self.assertEqual(self.node.get("/v1/approvals?state=maybe")[0], 400)
        self.assertEqual(self.node.get(f"/v1/approvals/{asked}")[2]["state"], "pending")
        self.decide(asked, "deny")
        self.node.wait(run)

    def test_the_command_line(self):
        run, session, _ = self.waits()
        asked = self.pending(run)[0]["id"]
        self.assertIn(asked, self.node.ctl("approval", "list").stdout)
        self.assertIn("memory_store", self.node.ctl("approval", "show", asked).stdout)
        self.assertIn("denied", self.node.ctl("approval", "deny", asked, "--text", "by hand").stdout)
        self.node.wait(run)
        self.assertIn("denied: by hand", self.result_of(run)["output"]["error"])
        row, = self.node.rows(f"SELECT actor FROM tb.audit_log WHERE object = 'approval:{asked}' AND action = 'approval.denied'")
        self.assertTrue(row["actor"].startswith("uid:"))
        run, session, _ = self.waits()
        self.assertIn("once", self.node.ctl("approval", "approve", self.pending(run)[0]["id"]).stdout)
        self.assertEqual(self.node.wait(run)["status"], "ok")

    def test_a_cancel(self):
        run, session, _ = self.waits()
        asked, = self.pending(run)
        self.assertIn(self.cancel(run)[0], (200, 202))
        self.assertEqual(self.ended(run)["result"], "cancelled")
        self.assertEqual(self.node.get(f"/v1/approvals/{asked['id']}")[2]["state"], "denied")
        self.assertEqual(self.roles(run), ["user", "assistant", "tool"])
        self.assertEqual(self.decide(asked["id"], "approve")[0], 409)

    def test_a_policy_that_denies_meanwhile_wins(self):
        run, session, agent = self.waits()
        self.node.sql("UPDATE tb.agent_tool_policies SET denied = '{memory_store}', version = version + 1 WHERE agent_id ="
                      f" (SELECT agent_id FROM tb.agents WHERE name = '{agent}')")
        self.decide(self.pending(run)[0]["id"], "always")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertIn("is not allowed", self.result_of(run)["output"]["error"])
        self.assertEqual(self.stored(session), "")

    def test_a_pause_of_its_lane_does_not_stop_it(self):
        run, session, agent = self.waits()
        self.node.admin("lane.pause", {"tenant": 1, "agent": agent, "session": session})
        self.decide(self.pending(run)[0]["id"], "approve")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.node.admin("lane.resume", {"tenant": 1, "agent": agent, "session": session})


class Messages(WithApprovals):
    def denied(self, run):
        row, = self.node.rows(f"SELECT state, answer, answered_by FROM tb.approvals WHERE run_id = '{run}'")
        self.assertEqual((row["state"], row["answer"], row["answered_by"]), ("denied", "user sent a new message", "message"))

    def test_each_mode(self):
        for mode in ("steer", "followup", "collect", "interrupt"):
            with self.subTest(mode):
                run, session, agent = self.waits()
                other = self.post("rather this", session, mode, agent=agent)
                answer = self.node.wait(other)
                self.assertEqual(answer["status"], "ok")
                self.denied(run)
                end = self.ended(run)
                self.assertEqual(end["result"], "cancelled" if mode == "interrupt" else "completed")
                if mode == "steer":
                    self.assertEqual(answer["mergedInto"], run)
                    self.assertEqual(self.roles(run), ["user", "assistant", "tool", "user", "assistant"])
                if mode == "interrupt":
                    self.assertEqual(end["error_code"], "interrupted")
                if mode != "interrupt":
                    self.assertIn("user sent a new message", self.result_of(run)["output"]["error"])
                self.assertEqual(self.stored(session), "")

    def test_one_that_was_there_before(self):
        """A followup does not enter the run, so the run gets to its question with that behind it."""
        session, agent = f"before-{uuid.uuid4()}", self.asking()
        run = self.post("[delay 700]" + STORE % ("x", f"{session}.md") + "go", session, agent=agent)
        other = self.post("next", session, agent=agent)
        self.assertEqual(self.node.wait(other)["status"], "ok")
        self.assertEqual(self.ended(run)["result"], "completed")
        self.denied(run)

    def test_other_calls_of_the_answer_do_not_start(self):
        agent, session = self.asking("{memory_store}"), f"rest-{uuid.uuid4()}"
        run = self.post(STORE % ("x", f"{session}.md") + '[tool memory_get {"path":"x.md"}]go', session, agent=agent)
        wait_for(lambda: self.state(run) == "waiting")
        other = self.post("stop that", session, "steer", agent=agent)
        self.assertEqual(self.node.wait(other)["mergedInto"], run)
        results = [m["content"]["blocks"][0]["text"] for m in self.transcript(run) if m["role"] == "tool"]
        self.assertIn("user sent a new message", results[0])
        self.assertEqual(results[1], SKIPPED)


class Slots(WithApprovals):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", workers=1, env={"TERABITS_WORKER_RUNS": "1", "TERABITS_APPROVAL_SECONDS": "2"})
        own(cls.node.dir)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def test_no_place_is_held_and_time_ends_it(self):
        run, session, _ = self.waits()
        other = self.post("beside it", f"beside-{uuid.uuid4()}")
        self.assertEqual(self.node.wait(other)["status"], "ok")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.result_of(run)["output"]["error"], "'memory_store' was not run: nobody allowed it in time")
        self.assertEqual(self.node.sql(f"SELECT state FROM tb.approvals WHERE run_id = '{run}'"), "expired")


class Deaths(WithApprovals):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", workers=1)
        cls.faults = Faults(cls.node.dir)
        own(cls.node.dir)
        cls.node.env.update(cls.faults.env())
        cls.addClassCleanup(cls.faults.close)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def tearDown(self):
        self.faults.disarm()
        super().tearDown()

    def restart(self):
        wait_for(lambda: not self.node.all_pids(), 20)
        self.node.start_daemon()
        self.node.wait_ready()

    def test_each_process_dies_while_it_waits(self):
        run, session, _ = self.waits()
        for kind in ("worker", "edge"):
            before = self.node.pids()[kind]
            self.node.kill(kind)
            wait_for(lambda: self.node.pids()[kind] and self.node.pids()[kind] != before, 30)
            self.node.wait_ready()
        self.node.daemon.kill()
        self.node.daemon.wait()
        self.restart()
        self.assertEqual(self.node.get(f"/v1/runs/{run}")[2]["status"], "waiting")
        self.assertEqual(self.node.admin("queue.stats")["asking"], 1)
        self.assertEqual(self.decide(self.pending(run)[0]["id"], "approve")[0], 200)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.stored(session), "kept")
        self.assertEqual(self.ended(run)["crashes"], 0)

    def test_the_worker_dies_with_the_word_that_it_waits(self):
        point = "worker.waiting.landed"
        self.faults.arm(point, DIE)
        run, session, _ = self.waits()
        wait_for(lambda: self.faults.hits(point) == 1)
        wait_for(lambda: self.node.admin("queue.stats")["asking"] == 1)
        self.assertEqual(self.decide(self.pending(run)[0]["id"], "approve")[0], 200)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        end = self.ended(run)
        self.assertEqual((end["result"], end["crashes"], self.stored(session)), ("completed", 0, "kept"))

    def test_the_supervisor_dies_with_the_answer(self):
        point = "supervisor.answer.landed"
        run, session, _ = self.waits()
        asked = self.pending(run)[0]["id"]
        self.faults.arm(point, DIE)
        try:
            self.assertEqual(self.decide(asked, "approve")[0], 503)
        except (OSError, HTTPException):
            pass                        # the edge went with it
        self.node.daemon.wait()
        self.restart()
        self.assertEqual(self.node.wait_until_ok(run)["status"], "ok")
        self.assertEqual(self.decide(asked, "approve")[0], 200)
        self.assertEqual((self.stored(session), self.calls(run)), ("kept", [("memory_store", "completed")]))

    def test_a_message_that_nobody_heard_of(self):
        """The node dies with the message committed: the next one finds it in the rows."""
        run, session, agent = self.waits()
        self.faults.arm("supervisor.t0.landed", DIE)
        try:
            self.node.post(f"/v1/agents/{agent}/runs", {"message": "unheard", "sessionKey": session, "queueMode": "interrupt"})
        except (OSError, HTTPException):
            pass
        self.node.daemon.wait()
        self.restart()
        end = self.ended(run)
        self.assertEqual((end["result"], end["error_code"]), ("cancelled", "interrupted"))
        wait_for(lambda: self.node.sql(f"SELECT count(*) FROM tb.agent_runs WHERE session_id = '{end['session_id']}'") == "2")
