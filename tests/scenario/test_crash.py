# SPDX-License-Identifier: Apache-2.0
"""kill -9 of each process while a run is under way: the run ends once, its lane stays in order."""
import os
import signal
import time
import unittest

from node import Node, wait_for
from invariants import violations
from test_main_job import WithNode, text_of


class Crash(WithNode):
    seconds = 65
    model = "fake"

    def running(self, message, session):
        """Enqueues and waits until the model was asked."""
        before = self.node.model_stats()["requests"]
        run = self.node.enqueue(message, session=session)
        wait_for(lambda: self.node.model_stats()["requests"] > before)
        return run

    def ready_again(self):
        wait_for(lambda: all(c["state"] == "ready" for c in self.node.admin("status")["children"]))

    def worker(self, ordinal):
        return wait_for(lambda: [c for c in self.node.admin("status")["children"] if c["kind"] == "worker" and c["ordinal"] == ordinal
                                 and c["state"] == "ready"], 30)[0]

    def answers(self, run):
        return self.node.rows("SELECT content->'blocks'->0->>'text' AS text FROM tb.session_messages WHERE role = 'assistant'"
                              f" AND run_id = '{run}' ORDER BY seq")

    def test_worker_killed_while_the_model_speaks(self):
        run = self.running("[pause 150] one two three four", "kw")
        began = time.monotonic()
        with self.node.model_stopped():
            self.node.kill("worker")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertLess(time.monotonic() - began, 20)
        row = self.run_row(run)
        self.assertEqual((row["result"], row["crashes"], row["attempts"]), ("completed", 1, 1))
        self.assertEqual([a["text"] for a in self.answers(run)], ["echo: one two three four"])
        self.assertEqual(text_of(self.node.events(run)), "echo: one two three four")
        self.ready_again()

    def test_worker_killed_between_tool_and_answer(self):
        run = self.running('[pause 250][tool memory_store {"text":"- only once","path":"once.md"}] go', "kt")
        wait_for(lambda: self.node.sql(f"SELECT count(*) FROM tb.tool_executions WHERE run_id = '{run}'") == "1")
        self.node.kill("worker")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.node.sql("SELECT body FROM tb.agent_memory_entries WHERE path = 'once.md'"), "- only once")
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.tool_executions WHERE run_id = '{run}'"), "1")
        self.ready_again()

    def test_launcher_killed(self):
        run = self.running("[pause 150] calm and steady", "kl")
        self.node.kill("launcher")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        row = self.run_row(run)
        self.assertEqual((row["result"], row["crashes"], row["attempts"]), ("completed", 0, 1))  # no fault of the run's
        self.ready_again()

    def test_edge_killed(self):
        run = self.running("[pause 200] one two three four", "ke")
        seen = []
        try:
            for item in self.node.sse(f"/v1/runs/{run}/events"):
                seen.append(item)
                if item[1] == "assistant" and len(seen) < 4:
                    self.node.kill("edge")
        except Exception:  # noqa: BLE001 - the stream breaks, as it must
            pass
        self.ready_again()
        rest = self.node.events(run, last=seen[-1][0])
        self.assertEqual(text_of(seen) + text_of(rest), "echo: one two three four")

    def test_supervisor_killed(self):
        run = self.running("[pause 150] one two three four", "ks")
        waiting = self.node.enqueue("after it", session="ks", mode="followup")
        self.node.daemon.kill()
        self.node.daemon.wait()
        wait_for(lambda: not self.node.all_pids(), 10)
        self.node.start_daemon()
        self.node.wait_ready()
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.node.wait(waiting)["status"], "ok")
        self.assertEqual([a["text"] for a in self.answers(run)], ["echo: one two three four"])

    def test_a_run_that_waits_for_nothing_goes_on(self):
        """Nobody could answer it: whoever loads it sees that nothing is pending."""
        run = self.running("[hang 1] ask me", "kh")
        self.node.daemon.kill()
        self.node.daemon.wait()
        wait_for(lambda: not self.node.all_pids(), 10)
        self.node.sql(f"UPDATE tb.agent_run_queue SET state = 'waiting' WHERE run_id = '{run}'")
        self.node.start_daemon()
        self.node.wait_ready()
        self.assertEqual(self.node.wait(run)["status"], "ok")

    def test_postgres_killed(self):
        run = self.running("[delay 800] patience", "kp")
        self.node.cluster.stop("immediate")
        status, head, e = self.node.post("/v1/agents/main/runs", {"message": "x", "sessionKey": "kp2"})
        self.assertEqual(status, 503, e)
        self.assertIn("retry-after", head)
        self.node.cluster.start()
        self.assertEqual(self.node.wait_until_ok(run)["status"], "ok")
        self.node.wait_until_accepted("after the outage", session="kp3")

    def test_a_worker_that_never_gets_ready(self):
        run = self.running("[pause 150] calm and steady", "kn")
        old = self.node.kill("worker")
        pid = wait_for(lambda: [p for p in self.node.pids()["worker"] if p != old])[0]
        os.kill(pid, signal.SIGSTOP)  # before READY or after: both are noticed
        wait_for(lambda: pid not in self.node.pids()["worker"], 25)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.ready_again()

    def test_a_stopped_lease_backend(self):
        """No heartbeat for 13 s: no new work; it answers again: work goes on."""
        pid = int(self.node.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'terabits lease'"))
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: "event=lease-lost" in self.node.log(), 30)
        finally:
            os.kill(pid, signal.SIGCONT)
        run = self.node.wait_until_accepted("after the pause", session="kx")
        self.assertEqual(self.node.wait(run)["status"], "ok")

    def test_a_claim_the_database_refuses_for_a_while(self):
        n = self.node
        first = self.running("[delay 500] hold", "kq")
        with n.model_stopped():
            second = n.enqueue("second", session="kq", mode="followup")
            n.sql("CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS"
                  " $$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$;"
                  " CREATE TRIGGER t BEFORE UPDATE ON tb.agent_run_queue FOR EACH ROW EXECUTE FUNCTION public.full()")
        self.assertEqual(n.wait(first)["status"], "ok")
        wait_for(lambda: "event=claim-refused" in n.log(), 20)
        n.sql("DROP TRIGGER t ON tb.agent_run_queue; DROP FUNCTION public.full()")
        self.assertEqual(n.wait(second)["status"], "ok")

    def test_three_crashes_bury_the_run(self):
        run = self.running("[hang] for ever", "kb")
        for crashes in (1, 2):
            self.node.kill("worker")
            wait_for(lambda: self.node.sql(f"SELECT crashes FROM tb.agent_run_queue WHERE run_id = '{run}'") == str(crashes), 30)
            self.ready_again()
        suspect = self.worker(63)  # the quarantine worker: it alone runs what was on two that died
        wait_for(lambda: self.worker(63)["runs"] == 1, 30)
        other = self.node.enqueue("meanwhile", session="kb2")
        self.assertEqual(self.node.wait(other)["status"], "ok")
        os.kill(suspect["pid"], signal.SIGKILL)
        answer = self.node.wait(run)
        self.assertEqual(answer["status"], "error")
        self.assertEqual(self.run_row(run)["result"], "dead")
        self.assertEqual(self.node.sql(f"SELECT reason FROM tb.dead_runs WHERE run_id = '{run}'"), "poison")
        self.ready_again()

    def test_drain_lets_runs_end(self):
        run = self.running("[delay 600] last words", "kd")
        self.assertEqual(self.node.stop(signal.SIGTERM), 0)
        self.assertEqual(self.run_row(run)["result"], "completed")
        self.node.start_daemon()
        self.node.wait_ready()

    def test_a_lane_keeps_its_order_through_kills(self):
        runs = [self.node.enqueue(f"[delay 40] {i}", session="order", mode="followup") for i in range(12)]
        for _ in range(2):
            time.sleep(0.15)  # somewhere inside the sequence: which run is hit does not matter
            self.node.kill("worker")
            self.ready_again()
        for r in runs:
            self.assertEqual(self.node.wait(r)["status"], "ok")
        order = self.node.rows("SELECT m.run_id FROM tb.session_messages m JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                               " WHERE s.session_key = 'order' AND m.role = 'user' ORDER BY seq")
        self.assertEqual([o["run_id"] for o in order], runs)


if __name__ == "__main__":
    unittest.main()
