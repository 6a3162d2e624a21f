# SPDX-License-Identifier: Apache-2.0
"""A process ends at one named instant of a run's way (common/fault.tbl), with nothing else going on. Needs a build with fault points."""
import os
import signal
import sys

from node import Node, ROOT, own, wait_for
from test_queue_modes import WithQueue

sys.path.insert(0, os.path.join(ROOT, "tests", "chaos"))
from faults import DIE, Faults  # noqa: E402


class Instants(WithQueue):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", workers=1, migrated=True)
        cls.faults = Faults(cls.node.dir)
        own(cls.node.dir)
        cls.node.env.update(cls.faults.env())
        cls.addClassCleanup(cls.faults.close)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def tearDown(self):
        self.faults.disarm()
        super().tearDown()

    def test_a_worker_that_dies_with_the_word_of_a_retry(self):
        """The pause stands in the database: the run waits for it, and is charged no crash."""
        point = "worker.retry.landed"
        self.faults.arm(point, DIE)
        run = self.post("[status 429 1][retry-after 9] again", "word-lost", model="openai/limited")
        wait_for(lambda: self.faults.hits(point) == 1)
        wait_for(lambda: "event=claim-early" in self.node.log())
        row = self.node.rows(f"SELECT state, attempt, crashes, fence, run_at FROM tb.agent_run_queue WHERE run_id = '{run}'")[0]
        self.assertEqual((row["state"], row["attempt"], row["crashes"], row["fence"]), ("retry_wait", 1, 0, 1))
        self.assertEqual(self.node.admin("run.why", {"run": run, "tenant": 1})["why"], "retry")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        answered_in_time = self.node.sql(f"SELECT min(at) >= '{row['run_at']}' FROM tb.usage_ledger WHERE run_id = '{run}'")
        self.assertEqual(answered_in_time, "t")
        end = self.ended(run)
        self.assertEqual((end["result"], end["attempts"], end["crashes"]), ("completed", 2, 0))

    def worker_pid(self):
        return wait_for(lambda: [c["pid"] for c in self.node.admin("status")["children"] if c["kind"] == "worker" and c["state"] == "ready"], 30)[0]

    def restart(self):
        wait_for(lambda: not self.node.all_pids(), 20)
        self.node.start_daemon()
        self.node.wait_ready()

    def test_the_reason_of_a_cancel_outlives_who_heard_of_it(self):
        """The run's worker dies after the interrupt is durable and before it acted on it; or the whole node does."""
        for whole in (False, True):
            session = f"reason-{whole}"
            run = self.asked("[hang] first", session)
            pid = self.worker_pid()
            os.kill(pid, signal.SIGSTOP)
            now = self.post("now", session, "interrupt")
            if whole:
                self.node.daemon.kill()
                self.node.daemon.wait()
                os.kill(pid, signal.SIGKILL)
                self.restart()
            else:
                os.kill(pid, signal.SIGKILL)
            self.assertEqual(self.node.wait_until_ok(now)["status"], "ok")
            row = self.ended(run)
            self.assertEqual((row["result"], row["error_code"], row["error"]),
                             ("cancelled", "interrupted", "a newer message interrupted this run"))
