# SPDX-License-Identifier: Apache-2.0
"""A drain ends as soon as nothing runs, whatever it was that ended the last run or the last commit: the limit is far away."""
import os
import signal
import threading
import unittest

from node import wait_for
from test_queue_modes import STORE, WithQueue


class Drain(WithQueue):
    seconds = 50
    env = {"TERABITS_DRAIN_SECONDS": "600"}
    workers = 2

    def tearDown(self):
        if self.node.daemon.poll() is not None or self.node.admin("status")["state"] == "draining":
            self.go_on()  # a test that failed
        super().tearDown()

    def go_on(self):
        if self.node.daemon.poll() is None:
            self.node.stop(signal.SIGKILL)
        self.node.start_daemon()
        self.node.wait_ready()

    def runner(self, run):
        """(ordinal, pid) of the worker that runs it."""
        ordinal = self.node.admin("run.show", {"run": run})["worker"]
        return ordinal, [c["pid"] for c in self.node.admin("status")["children"] if c["kind"] == "worker" and c["ordinal"] == ordinal][0]

    def drain(self):
        self.node.daemon.send_signal(signal.SIGTERM)
        wait_for(lambda: self.node.admin("status")["state"] == "draining")

    def assert_it_ends(self):
        self.assertEqual(self.node.daemon.wait(60), 0)
        wait_for(lambda: not self.node.all_pids(), 10)

    def assert_goes_on(self, run):
        self.go_on()
        self.assertEqual(self.node.wait(run)["status"], "ok")

    def test_a_worker_dies(self):
        run = self.asked("[hang 1] death", "death")
        pid = self.runner(run)[1]
        self.drain()
        os.kill(pid, signal.SIGKILL)
        self.assert_it_ends()
        self.assert_goes_on(run)

    def test_a_run_yields(self):
        run = self.asked("[delay 3000]" + STORE % ("yield", "yield.md") + " go", "yield")
        self.assertNotIn("error", self.node.admin("worker.drain", {"worker": self.runner(run)[0]}))
        self.drain()
        self.assert_it_ends()
        self.assert_goes_on(run)

    def test_a_run_is_lost(self):
        run = self.asked("[delay 3000] lost", "lost")
        self.drain()
        self.node.sql("UPDATE tb.lanes SET fence = fence + 1 WHERE session_id = (SELECT session_id FROM tb.agent_run_queue WHERE"
                      f" run_id = '{run}'); UPDATE tb.agent_run_queue SET fence = fence + 1 WHERE run_id = '{run}'")
        self.assert_it_ends()
        self.assert_goes_on(run)

    def test_a_batch_is_delivered(self):
        held = self.hold("tb.agent_run_queue")
        poster = threading.Thread(target=lambda: self.node.post("/v1/agents/main/runs", {"message": "later", "sessionKey": "batch",
                                                                                         "delayMs": 3600000}))
        poster.start()
        wait_for(lambda: self.node.admin("queue.stats")["journal"]["pending"] == 1)
        self.drain()
        held.release()
        self.assert_it_ends()
        poster.join()
        self.go_on()
        run = wait_for(lambda: self.node.sql("SELECT run_id FROM tb.agent_run_queue"))
        self.assertEqual(self.cancel(run), (200, "cancelled"))


if __name__ == "__main__":
    unittest.main()
