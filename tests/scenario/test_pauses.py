# SPDX-License-Identifier: Apache-2.0
"""A pause stops new runs from starting. What started goes on to its end, also when somebody has to claim it again."""
import os
import signal
import unittest

from node import wait_for
from test_queue_modes import STORE, WithQueue


class Pauses(WithQueue):
    seconds = 40
    workers = 2

    def ask(self, command, **args):
        answer = self.node.admin(command, args)
        self.assertNotIn("error", answer)
        return answer

    def workers_now(self):
        return {c["ordinal"]: c for c in self.ask("status")["children"] if c["kind"] == "worker"}

    def kill_runner(self, run):
        """Returns when the supervisor has noticed."""
        ordinal = self.ask("run.show", run=run)["worker"]
        pid = self.workers_now()[ordinal]["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: ordinal not in self.workers_now() or self.workers_now()[ordinal]["pid"] != pid)

    def pauses(self, agent, session):
        """Each way to pause that lane: (command, arguments)."""
        lane = {"tenant": 1, "agent": agent, "session": session}
        return (("lane", lane), ("queue", {"scope": "agent", "tenant": 1, "agent": agent}), ("queue", {"scope": "tenant", "tenant": 1}),
                ("queue", {"scope": "node"}))

    def block(self, agent, session):
        """A message that expires while the lane is busy: its failure blocks the lane."""
        late = self.post("too late", session, agent=agent, deadlineMs=100)
        wait_for(lambda: self.ask("lane.show", tenant=1, agent=agent, session=session).get("failedRun") == late)

    def assert_goes_on_alone(self, run, behind, resume):
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.state(behind), "queued")
        resume()
        self.assertEqual(self.node.wait(behind)["status"], "ok")

    def test_its_worker_dies_under_any_pause(self):
        for n in range(4):
            session = f"dies-{n}"
            agent = self.agent()
            run, behind = self.asked(f"[hang 1] {session}", session, agent=agent), self.post("behind", session, agent=agent)
            command, args = self.pauses(agent, session)[n]
            self.ask(f"{command}.pause", **args)
            self.kill_runner(run)
            self.assert_goes_on_alone(run, behind, lambda: self.ask(f"{command}.resume", **args))
            self.assertEqual(self.ended(run)["crashes"], 1)

    def test_its_worker_dies_on_a_lane_that_a_failure_blocks(self):
        agent = self.agent(onFailure="block")
        run = self.asked("[hang 1] blocked", "blocked", agent=agent)
        self.block(agent, "blocked")
        behind = self.post("behind", "blocked", agent=agent)
        self.kill_runner(run)
        self.assert_goes_on_alone(run, behind, lambda: self.ask("lane.resume", tenant=1, agent=agent, session="blocked"))

    def test_a_cancel_ends_it_after_its_worker_died(self):
        for blocks in (False, True):
            session = f"cancel-{blocks}"
            agent = self.agent(onFailure="block")
            lane = {"tenant": 1, "agent": agent, "session": session}
            run = self.asked("[hang] for ever", session, agent=agent)
            if blocks:
                self.block(agent, session)
            else:
                self.ask("lane.pause", **lane)
            self.kill_runner(run)
            self.assertEqual(self.cancel(run), (202, "cancelling"))
            self.assertEqual(self.ended(run)["result"], "cancelled")
            self.assertTrue(self.ask("lane.show", **lane)["paused"])

    def paused(self, message, session):
        """A run that was asked of the model, one behind it, and what resumes their lane."""
        agent = self.agent()
        lane = {"tenant": 1, "agent": agent, "session": session}
        run, behind = self.asked(message, session, agent=agent), self.post("behind", session, agent=agent)
        self.ask("lane.pause", **lane)
        return run, behind, lambda: self.ask("lane.resume", **lane)

    def test_it_yields_to_another_worker(self):
        wait_for(lambda: [c["state"] for c in self.workers_now().values()] == ["ready"] * 2)
        run, behind, resume = self.paused("[delay 1500]" + STORE % ("x", "yields.md") + " go", "yields")
        first = self.ask("run.show", run=run)["worker"]
        self.ask("worker.drain", worker=first)
        self.addCleanup(self.ask, "worker.scale", n=2)
        wait_for(lambda: self.node.sql(f"SELECT worker FROM tb.agent_run_queue WHERE run_id = '{run}'") == str(1 - first))
        self.assert_goes_on_alone(run, behind, resume)

    def test_it_is_put_off_and_due(self):
        run, behind, resume = self.paused("[delay 500][status 503 1][retry-after 9] later", "put-off")
        self.assert_goes_on_alone(run, behind, resume)
        self.assertEqual(self.ended(run)["attempts"], 2)


if __name__ == "__main__":
    unittest.main()
