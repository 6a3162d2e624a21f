# SPDX-License-Identifier: Apache-2.0
"""Random kills under load. Whatever was accepted ends exactly once, in its lane's order; no tool call is done twice.

CHAOS_SECONDS (15) is how long it kills, TB_SEED repeats the choice of victims."""
import collections
import os
import random
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import load  # noqa: E402 - it makes the scenarios' modules known
from invariants import violations  # noqa: E402
from node import Node, wait_for  # noqa: E402

LANES = 12
VICTIMS = ("worker", "worker", "worker", "edge", "launcher", "supervisor", "backend", "postmaster", "stopped-worker")


class Client(load.Client):
    def message(self, number):
        return (f'[pause 3][tool memory_store {{"path":"lane{self.lane}.md","text":"n{number}"}}] {number}' if number % 3 == 0
                else f"[chunks 5][pause 4] {number}")


class Chaos(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("TB_SEED", time.time_ns() % 1000000))
        print(f"TB_SEED={self.seed}", file=sys.stderr)
        self.random = random.Random(self.seed)
        self.node = Node(model="fake", workers=2, migrated=True, fsync=True)
        self.addCleanup(self.node.close)
        self.node.start()
        self.kills = collections.Counter()

    def serving(self):
        load.wait_serving(self.node, dict(self.kills))

    def strike(self, victim):
        n = self.node
        if victim == "supervisor":
            n.daemon.kill()
            n.daemon.wait()
            wait_for(lambda: not n.all_pids(), 10)
            n.start_daemon()
        elif victim == "postmaster":
            n.cluster.stop("immediate")
            n.cluster.start()
        elif victim == "backend":
            n.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'tb\\_%' ORDER BY random() LIMIT 1")
        elif victim == "stopped-worker":
            # It wakes when its lanes have another runner: its writes must fail.
            pid = self.random.choice(wait_for(lambda: n.pids()["worker"], 30))
            os.kill(pid, signal.SIGSTOP)
            wait_for(lambda: pid not in n.pids()["worker"], 30)
        else:
            os.kill(self.random.choice(wait_for(lambda: n.pids()[victim], 30)), signal.SIGKILL)
        self.kills[victim] += 1

    def test_whatever_is_killed(self):
        stop = threading.Event()
        clients = [Client(self.node, lane, stop) for lane in range(LANES)]
        for c in clients:
            c.start()
        end = time.monotonic() + float(os.environ.get("CHAOS_SECONDS") or 15)
        while time.monotonic() < end:
            time.sleep(self.random.uniform(0.05, 0.6))  # somewhere in the stream of runs
            self.strike(self.random.choice(VICTIMS))
            self.serving()
        stop.set()
        for c in clients:
            c.join(60)
            self.assertIsNone(c.error)
            self.assertFalse(c.is_alive())
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0", 120, 0.2)
        self.assertEqual(violations(self.node), {})
        for c in clients:
            self.check_lane(c)
        print(f"chaos: {sum(len(c.accepted) for c in clients)} runs, kills: {dict(self.kills)}", file=sys.stderr)

    def check_lane(self, c):
        n = self.node
        rows = n.rows("SELECT r.run_id, r.result, r.error, r.crashes FROM tb.agent_runs r JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                      f" WHERE s.session_key = 'chaos-{c.lane}' ORDER BY r.lane_seq")
        self.assertEqual([r["run_id"] for r in rows], [run for run, _ in c.accepted])
        dead = {r["run_id"] for r in rows if r["result"] == "dead"}  # three crashes of its worker: a verdict, not a loss
        for r in rows:
            self.assertIn(r["result"], ("completed", "dead"), r)
            if r["result"] == "dead":
                self.assertGreaterEqual(r["crashes"], 3)
        body = n.sql(f"SELECT body FROM tb.agent_memory_entries WHERE path = 'lane{c.lane}.md'").split()
        wanted = [f"n{number}" for run, number in c.accepted if number % 3 == 0 and run not in dead]
        self.assertEqual([b for b in body if b in set(wanted)], wanted)
        self.assertEqual(len(body), len(set(body)), "a tool call was done twice")


if __name__ == "__main__":
    unittest.main()
