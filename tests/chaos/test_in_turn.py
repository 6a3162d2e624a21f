# SPDX-License-Identifier: Apache-2.0
"""Each kind of process is killed once, one after the other, while a fixed number of runs goes through: every run completes once.

IN_TURN_RUNS (2000) is their number."""
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_chaos  # noqa: E402
from invariants import violations  # noqa: E402
from node import wait_for  # noqa: E402

KINDS = ("supervisor", "worker", "launcher", "edge", "backend", "stopped-worker", "postmaster")


class Client(test_chaos.Client):
    """Sends its share and ends."""

    share = 0

    def run(self):
        try:
            for number in range(1, self.share + 1):
                self.one(number)
        except Exception as e:  # noqa: BLE001 - the test reports it
            self.error = e


class InTurn(test_chaos.Chaos):
    test_whatever_is_killed = None  # its way to strike and to check is what is used here

    def test_each_kind_in_turn(self):
        runs = int(os.environ.get("IN_TURN_RUNS") or 2000)
        lanes = test_chaos.LANES
        Client.share = -(-runs // lanes)
        clients = [Client(self.node, lane, threading.Event()) for lane in range(lanes)]

        def accepted():
            return sum(len(c.accepted) for c in clients)
        for c in clients:
            c.start()
        for i, kind in enumerate(KINDS):
            wanted = (i + 1) * runs // (len(KINDS) + 1)
            wait_for(lambda: accepted() >= wanted or any(c.error for c in clients), 120, 0.005)
            before = self.node.pids().get(kind)
            at, began = accepted(), time.monotonic()
            self.strike(kind)
            if before and kind != "supervisor":  # for a moment the node believes in the dead one
                wait_for(lambda: self.node.pids()[kind] != before, 60, 0.005)
            self.serving()
            print(f"in turn: {kind} at run {at}, all ready again after {time.monotonic() - began:.2f} s", file=sys.stderr)
        for c in clients:
            c.join(120)
            self.assertIsNone(c.error)
            self.assertFalse(c.is_alive())
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0", 120, 0.2)
        self.assertEqual(violations(self.node), {})
        for c in clients:
            self.check_lane(c)
        results = self.node.rows("SELECT result, count(*) AS n FROM tb.agent_runs GROUP BY result")
        self.assertEqual(results, [{"result": "completed", "n": Client.share * lanes}])
        print(f"in turn: {Client.share * lanes} runs, each completed once; kills: {dict(self.kills)}", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
