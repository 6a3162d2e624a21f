# SPDX-License-Identifier: Apache-2.0
"""What a failed run does to its lane, by its agent's onFailure: through the real programs, and when they are killed between the commit
that decides it and the word about it."""
import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "chaos"))
from faults import DIE, Faults  # noqa: E402
from node import Node, own, wait_for  # noqa: E402
from test_queue_modes import WithQueue  # noqa: E402

BAD = "[delay 400][status 400] bad"
BAD_ONCE = "[delay 400][status 400 1] bad once in "  # of each text, so the session is in it


class Policy(WithQueue):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.faults = Faults(cls.node.dir)
        cls.addClassCleanup(cls.faults.close)
        own(cls.node.dir)
        cls.node.env.update(cls.faults.env())
        cls.node.start()

    def fails(self, agent, session, message=BAD, more=2, **options):
        """A run that fails, and those that were accepted while it ran."""
        with self.node.model_stopped():
            run = self.post(message, session, agent=agent)
            waits = [self.post(f"{session} {i}", session, agent=agent, **options) for i in range(more)]
            wait_for(lambda: self.state(run) == "running")
        return run, waits

    def lane(self, agent, session):
        return self.node.admin("lane.show", {"tenant": 1, "agent": agent, "session": session})

    def resume(self, agent, session):
        p = self.node.ctl("lane", "resume", session, "--tenant", "1", "--agent", agent)
        self.assertEqual((p.returncode, p.stdout.strip()), (0, "the lane goes on"), p.stderr)

    def blocked(self, agent, session, run, code="model_bad_request"):
        """Waits until the lane says that the run blocks it."""
        why = f"paused: run {run} failed ({code})"
        wait_for(lambda: self.lane(agent, session).get("pausedWhy") == why)
        lane = self.lane(agent, session)
        self.assertEqual((lane["paused"], lane["failedRun"], lane["failedCode"]), (True, run, code))
        return why

    def starts(self, session):
        """The runs of the lane that started, in that order."""
        return [r["run_id"] for r in self.node.rows(
            "SELECT run_id FROM (SELECT tenant_id, session_id, run_id, started_at FROM tb.agent_runs UNION ALL SELECT tenant_id, session_id, run_id,"
            " started_at FROM tb.agent_run_queue) r JOIN tb.agent_sessions s USING (tenant_id, session_id)"
            f" WHERE s.session_key = '{session}' AND started_at IS NOT NULL ORDER BY started_at")]

    def ok(self, *runs):
        for r in runs:
            self.assertEqual(self.node.wait(r)["status"], "ok")

    def error(self, run):
        answer = self.node.wait(run)
        self.assertEqual(answer["status"], "error")
        return answer["error"]["code"]

    def restart(self):
        self.node.daemon.wait(20)
        wait_for(lambda: not self.node.all_pids(), 10)
        self.node.start_daemon()
        self.node.wait_ready()


class Block(Policy):
    def test_it_is_paused_and_says_why_until_it_is_resumed(self):
        agent = self.agent(onFailure="block")
        run, waits = self.fails(agent, "b1")
        self.assertEqual(self.error(run), "model_bad_request")
        why = self.blocked(agent, "b1", run)
        waits.append(self.post("accepted later", "b1", agent=agent))
        answer = self.node.admin("run.why", {"run": waits[0], "tenant": 1})
        self.assertEqual((answer["why"], answer["sentence"]),
                         ("lane_paused", f"{why}. lane.resume skips that run, run.retry of it lets it go first again"))
        for words in (("run", "why", waits[0], "--tenant", "1"), ("lane", "list", "--only", "paused"),
                      ("lane", "show", "b1", "--tenant", "1", "--agent", agent)):
            p = self.node.ctl(*words)
            self.assertIn(why, p.stdout, p.stderr)
        self.assertIn(run, self.node.ctl("queue", "stats").stdout)
        self.assertEqual(self.starts("b1"), [run])
        self.resume(agent, "b1")
        self.ok(*waits)
        self.assertEqual(self.starts("b1"), [run, *waits])
        self.assertNotIn("pausedWhy", self.lane(agent, "b1"))

    def test_a_retry_of_the_failed_run_goes_first_and_lifts_it(self):
        agent = self.agent(onFailure="block")
        run, waits = self.fails(agent, "b2", BAD_ONCE + "b2")
        self.blocked(agent, "b2", run)
        p = self.node.ctl("run", "retry", run, "--tenant", "1", "--json")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.ok(*waits)
        heir = self.node.sql(f"SELECT run_id FROM tb.agent_runs WHERE retry_of = '{run}'")
        self.assertEqual(self.starts("b2"), [run, heir, *waits])
        self.assertEqual(self.ended(heir)["result"], "completed")
        self.assertFalse(self.lane(agent, "b2")["paused"])

    def test_a_retry_that_fails_again_blocks_again(self):
        agent = self.agent(onFailure="block")
        run, waits = self.fails(agent, "b3", more=1)
        self.blocked(agent, "b3", run)
        heir = self.node.admin("run.retry", {"run": run, "tenant": 1})["run"]
        self.blocked(agent, "b3", heir)
        self.assertEqual(self.starts("b3"), [run, heir])
        self.resume(agent, "b3")
        self.ok(*waits)

    def test_a_person_who_paused_it_too_keeps_it_paused(self):
        agent = self.agent(onFailure="block")
        run, waits = self.fails(agent, "b4", BAD_ONCE + "b4", more=1)
        self.blocked(agent, "b4", run)
        self.assertTrue(self.node.admin("lane.pause", {"tenant": 1, "agent": agent, "session": "b4"})["changed"])
        self.blocked(agent, "b4", run)
        heir = self.node.admin("run.retry", {"run": run, "tenant": 1})["run"]
        wait_for(lambda: "pausedWhy" not in self.lane(agent, "b4"))
        self.assertEqual((self.lane(agent, "b4")["paused"], self.lane(agent, "b4")["head"]), (True, heir))
        self.resume(agent, "b4")
        self.ok(heir, *waits)
        self.assertEqual(self.starts("b4"), [run, heir, *waits])

    def test_a_deadline_that_passes_in_the_queue(self):
        agent = self.agent(onFailure="block")
        hold = self.asked("[hang] hold", "b5", agent=agent)
        late = self.post("too late", "b5", agent=agent, deadlineMs=200)
        after = self.post("after it", "b5", agent=agent)
        self.blocked(agent, "b5", late, "deadline")
        self.assertEqual(self.error(late), "deadline")
        self.cancel(hold)
        self.assertEqual(self.ended(hold)["result"], "cancelled")
        self.assertEqual(self.starts("b5"), [hold])
        self.resume(agent, "b5")
        self.ok(after)

    def test_a_cancel_and_an_interrupt_block_nothing(self):
        agent = self.agent(onFailure="block")
        hold = self.asked("[hang] hold", "b6", agent=agent)
        self.ok(self.post("instead", "b6", "interrupt", agent=agent))
        self.assertEqual(self.ended(hold)["result"], "cancelled")
        hold = self.asked("[hang] hold", "b6", agent=agent)
        after = self.post("after", "b6", agent=agent)
        self.cancel(hold)
        self.ok(after)
        self.assertFalse(self.lane(agent, "b6")["paused"])

    def test_the_worker_dies_after_the_commit(self):
        agent = self.agent(onFailure="block")
        run, waits = self.fails(agent, "b7")
        self.faults.arm("worker.t5.landed", DIE)
        ends = []
        reader = threading.Thread(target=lambda: ends.extend(self.node.events(run)))
        reader.start()
        self.blocked(agent, "b7", run)
        self.assertEqual(self.faults.is_armed("worker.t5.landed"), False)
        reader.join(30)
        self.assertEqual(ends[-1][2]["metadata"]["result"], "failed")
        self.assertEqual(self.error(run), "model_bad_request")
        self.assertEqual(self.starts("b7"), [run])
        self.resume(agent, "b7")
        self.ok(*waits)
        self.assertEqual(self.starts("b7"), [run, *waits])

    def test_the_supervisor_dies_after_the_commit(self):
        agent = self.agent(onFailure="block")
        run, waits = self.fails(agent, "b8")
        self.faults.arm("supervisor.done", DIE)
        self.restart()
        self.blocked(agent, "b8", run)
        self.assertEqual(self.error(run), "model_bad_request")
        self.assertEqual(self.starts("b8"), [run])
        heir = self.node.admin("run.retry", {"run": run, "tenant": 1})["run"]
        self.blocked(agent, "b8", heir)
        self.resume(agent, "b8")
        self.ok(*waits)
        self.assertEqual(self.starts("b8"), [run, heir, *waits])

    def test_a_block_that_memory_does_not_know_of(self):
        """The database refuses the start, and the supervisor learns why."""
        agent = self.agent(onFailure="block")
        self.ok(self.post("one", "b9", agent=agent))
        failed = self.starts("b9")[0]
        self.node.sql("UPDATE tb.lanes l SET blocked = true FROM tb.agent_sessions s WHERE s.session_id = l.session_id AND s.session_key = 'b9';"
                      "INSERT INTO tb.queue_pauses (scope, tenant_id, object, paused_by, failed_run, failed_code, failed_at) SELECT 'lane', 1,"
                      f" session_id, 'failure', '{failed}', 'test', now() FROM tb.agent_sessions WHERE session_key = 'b9'")
        after = self.post("two", "b9", agent=agent)
        self.blocked(agent, "b9", failed, "test")
        self.assertEqual(self.state(after), "queued")
        self.resume(agent, "b9")
        self.ok(after)


class DropRest(Policy):
    def assert_dropped(self, run, by):
        row = self.ended(run)
        self.assertEqual((row["result"], row["error_code"], row["started_at"]), ("dropped", "lane_failed", None))
        self.assertIn(by, row["error"])
        self.assertEqual(self.error(run), "lane_failed")

    def test_what_waits_is_dropped_and_told(self):
        agent = self.agent(onFailure="drop_rest")
        run, waits = self.fails(agent, "d1")
        ends = {}

        def listen(r):
            ends[r] = self.node.events(r)
        readers = [threading.Thread(target=listen, args=(r,)) for r in waits]
        for r in readers:
            r.start()
        for r in readers:
            r.join(30)
        for w in waits:
            self.assertEqual(ends[w][-1][2]["metadata"], {"result": "dropped", "code": "lane_failed"})
            self.assert_dropped(w, run)
        lane = self.lane(agent, "d1")
        self.assertEqual((lane["paused"], lane["runs"]), (False, []))
        self.ok(self.post("accepted later", "d1", agent=agent))

    def test_the_worker_dies_after_the_commit(self):
        agent = self.agent(onFailure="drop_rest")
        run, waits = self.fails(agent, "d2")
        self.faults.arm("worker.t5.landed", DIE)
        for w in waits:
            self.assert_dropped(w, run)
        self.assertEqual(self.error(run), "model_bad_request")
        self.ok(self.post("accepted later", "d2", agent=agent))
        wait_for(lambda: self.lane(agent, "d2")["runs"] == [])
        self.assertFalse(self.lane(agent, "d2")["paused"])

    def test_the_supervisor_dies_after_the_commit(self):
        agent = self.agent(onFailure="drop_rest")
        run, waits = self.fails(agent, "d3")
        self.faults.arm("supervisor.done", DIE)
        self.restart()
        for w in waits:
            self.assert_dropped(w, run)
        self.ok(self.post("accepted later", "d3", agent=agent))

    def test_a_retry_goes_to_the_end(self):
        agent = self.agent(onFailure="drop_rest")
        run, waits = self.fails(agent, "d4", BAD_ONCE + "d4", more=1)
        self.assert_dropped(waits[0], run)
        hold = self.asked("[delay 300] hold", "d4", agent=agent)
        after = self.post("after", "d4", agent=agent)
        heir = self.node.admin("run.retry", {"run": run, "tenant": 1})["run"]
        self.ok(heir)
        self.assertEqual(self.starts("d4"), [run, hold, after, heir])


class Continue(Policy):
    def test_the_lane_goes_on(self):
        for policy in ({}, {"onFailure": "continue"}):
            agent = self.agent(**policy)
            session = f"c{len(policy)}"
            run, waits = self.fails(agent, session)
            self.assertEqual(self.error(run), "model_bad_request")
            self.ok(*waits)
            self.assertEqual(self.starts(session), [run, *waits])
            self.assertFalse(self.lane(agent, session)["paused"])

    def test_the_worker_dies_after_the_commit(self):
        run, waits = self.fails(self.agent(), "c3")
        self.faults.arm("worker.t5.landed", DIE)
        self.assertEqual(self.error(run), "model_bad_request")
        self.ok(*waits)
        self.assertEqual(self.starts("c3"), [run, *waits])

    def test_the_setting_is_made_and_refused(self):
        p = self.node.ctl("agent", "create", "careful", "--tenant", "1", "--on-failure", "block", "--json")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn('"onFailure": "block"', self.node.sql("SELECT config FROM tb.agent_revisions WHERE config ? 'onFailure'"
                                                            " AND agent_id = (SELECT agent_id FROM tb.agents WHERE name = 'careful')"))
        p = self.node.ctl("agent", "create", "wrong", "--tenant", "1", "--on-failure", "stop")
        self.assertEqual(p.returncode, 2)
        self.assertIn("continue|block|drop_rest", p.stderr.replace(", ", "|").replace(" or ", "|"))


if __name__ == "__main__":
    unittest.main()
