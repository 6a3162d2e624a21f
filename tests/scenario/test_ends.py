# SPDX-License-Identifier: Apache-2.0
"""Whoever of the node is killed, whenever: nothing of a jail is left running. On a node that an ordinary user started and on one that
root started."""
import json
import os
import random
import time
import unittest
import uuid

from node import wait_for
from test_tools import WithTools

SOON = 5  # seconds
ROUNDS = 10 if os.environ.get("TB_LONG") else 2


class Ends(WithTools):
    """Its programs are known by a word in their arguments; they fork, leave their session and are deaf."""
    workers = 1

    @classmethod
    def setUpClass(cls):
        if cls.as_root and os.getuid():
            raise unittest.SkipTest("needs root")
        super().setUpClass()

    def jailed(self, mark):
        """Processes with that word."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if mark.encode() in f.read():
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def start(self, mark, n=3):
        script = (f"trap '' TERM INT HUP; (setsid bash -c 'trap \"\" TERM; while :; do sleep 0.1; done' {mark} &); "
                  f"(nohup bash -c 'sleep 1000; :' {mark} >/dev/null 2>&1 &); while :; do sleep 0.1; done; : {mark}")
        return [self.post(f"[tool bash {json.dumps({'script': script})}] go", f"{mark}-{i}", agent=self.runner()) for i in range(n)]

    def kill_and_look(self, kind):
        for i in range(ROUNDS):
            mark = f"end{uuid.uuid4().hex}"
            began = time.monotonic()
            runs = self.start(mark)
            if i == 0:  # all of them at work
                wait_for(lambda: len(self.jailed(mark)) >= 9)
            else:  # somewhere on the way there
                wait_for(lambda: any(self.calls(run) == [("bash", "running")] for run in runs), every=0.001)
                time.sleep(random.random() * 0.1)
            pid = self.node.pids()[kind][0]
            os.kill(pid, 9)
            if kind == "supervisor":
                self.node.daemon.wait()
            # None, and none comes: the runs' call is of those that are not done twice.
            wait_for(lambda: not self.jailed(mark), SOON)
            if kind == "supervisor":
                wait_for(lambda: not self.node.all_pids(), SOON)
                self.node.start_daemon()
                self.node.wait_ready()
            for run in runs:
                self.cancel(run) if i else None
                self.ended(run)
            self.assertEqual(self.jailed(mark), [])
            self.assertLess(time.monotonic() - began, 60)
        self.assertEqual(self.bash("echo well")["stdout"], "well\n")

    def test_the_launcher_is_killed(self):
        self.kill_and_look("launcher")

    def test_the_worker_is_killed(self):
        self.kill_and_look("worker")

    def test_the_supervisor_is_killed(self):
        self.kill_and_look("supervisor")


@unittest.skipUnless(os.environ.get("TB_LONG"), "the same ends: where there is time")
class EndsByRoot(Ends):
    as_root = True


if __name__ == "__main__":
    unittest.main()
