# SPDX-License-Identifier: Apache-2.0
"""Processes end, and Postgres is taken away, at named instants of a run's way (common/fault.tbl), under load of every queue mode. Whatever
was accepted ends once and in order; no effect outside the database is made twice.

CHAOS_SECONDS (120) is how long it goes on at least, CHAOS_KILLS (20) how often each instant is hit at least; TB_SEED repeats the choices."""
import collections
import os
import random
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from faults import DIE, STOP, Faults  # noqa: E402
from load import clients  # noqa: E402
from invariants import violations  # noqa: E402
from node import Node, own, wait_for  # noqa: E402

ARMED_AT_ONCE = 3
HIT_SECONDS = 40  # an armed instant that nobody passes in so long: the load does not reach it


class Faulty(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("TB_SEED", time.time_ns() % 1000000))
        print(f"TB_SEED={self.seed}", file=sys.stderr)
        self.random = random.Random(self.seed)
        self.node = Node(model="fake", workers=3)
        self.faults = Faults(self.node.dir)
        own(self.node.dir)
        self.node.env.update(self.faults.env())
        self.addCleanup(self.faults.close)
        self.addCleanup(self.node.close)
        self.node.start()
        self.node.sql("INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config) SELECT tenant_id, agent_id, 2, jsonb_set(config, '{tools}',"
                      " '[\"memory_store\", \"memory_get\", \"ledger_once\", \"ledger_keyed\"]') FROM tb.agent_revisions;"
                      "UPDATE tb.agents SET revision = 2, max_running = 1000")
        self.kills = {p: collections.Counter() for p in self.faults.points}
        self.stop = threading.Event()
        self.clients = clients(self.node, self.stop, self.seed)

    # ---- keeping the node alive

    def tend(self):
        """A supervisor that died is started again."""
        if self.node.daemon.poll() is not None:
            wait_for(lambda: not self.node.all_pids(), 10)
            self.node.start_daemon()

    def serving(self):
        def ready():
            self.tend()
            try:
                status = self.node.admin("status")
                return status["state"] == "serving" and all(c["state"] == "ready" for c in status["children"])
            except (OSError, ValueError):
                return False
        try:
            wait_for(ready, 60)
        except AssertionError:
            raise AssertionError(f"not serving again after {self.report()}: {self.node.tail(60)}") from None

    # ---- blows

    def strike_postgres(self, point):
        """Somebody stopped at the point: Postgres loses a backend or all, then it goes on."""
        pid = self.faults.victim(point)
        what = self.random.choice(("backend", "backend", "postmaster"))
        try:
            if what == "postmaster":
                self.node.cluster.stop("immediate")
                self.node.cluster.start()
            else:
                self.node.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'tb\\_%'")
        finally:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        return what

    def blow(self, point, action):
        """Arms the point and waits until it was hit."""
        before = self.faults.hits(point)
        self.faults.arm(point, action)

        def hit():
            self.tend()
            return self.faults.hits(point) > before
        try:
            wait_for(hit, HIT_SECONDS, 0.01)
        except AssertionError:
            raise AssertionError(f"nobody passed {point} in {HIT_SECONDS} s: {self.report()}") from None
        self.kills[point]["process" if action == DIE else self.strike_postgres(point)] += 1

    def report(self):
        return {p: dict(k) for p, k in self.kills.items()}

    # ---- the end

    def settle(self):
        self.stop.set()
        self.faults.disarm()
        self.serving()
        for c in self.clients:
            c.join(60)
            self.assertIsNone(c.error, c.name)
            self.assertFalse(c.is_alive())
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0", 180, 0.2)

    def check(self):
        self.assertEqual(violations(self.node), {})
        for c in self.clients:
            self.check_lane(c)
        self.check_ledger()

    def check_lane(self, c):
        rows = self.node.rows("SELECT r.run_id, r.result, r.error_code, r.crashes, r.mode, r.lane_seq, r.started_at FROM tb.agent_runs r"
                              " JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                              f" WHERE s.session_key = 'chaos-{c.lane}' ORDER BY r.lane_seq")
        self.assertEqual([r["run_id"] for r in rows], [run for run, _ in c.accepted], c.lane)
        for r in rows:
            allowed = {"completed"}
            if c.mode in ("steer", "collect"):
                allowed.add("superseded")
            if c.mode == "interrupt" or r["run_id"] in c.cancelled:
                allowed.add("cancelled")
            if r["result"] == "dead" and r["error_code"] == "poison":  # a verdict, not a loss
                self.assertGreaterEqual(r["crashes"], 3)
                continue
            self.assertIn(r["result"], allowed, r)

    def check_ledger(self):
        """A `once` tool's line stands at most once, and once for a call that says it completed."""
        count = collections.Counter(self.faults.lines())
        rows = self.node.rows("SELECT tool, state, input->>'line' AS line FROM tb.tool_executions WHERE tool LIKE 'ledger%'")
        lines = {}
        for r in rows:
            lines.setdefault((r["tool"], r["line"]), []).append(r["state"])
        for (tool, line), states in lines.items():
            n = count[f"{tool} {line}"]
            done = states.count("completed")
            self.assertGreaterEqual(n, min(done, 1), (tool, line, states))
            if tool == "ledger_once":
                self.assertLessEqual(n, len(states), (line, states))
                self.assertGreaterEqual(n, done, (line, states))

    def test_every_instant_once(self):
        if os.environ.get("CHAOS_KILLS", "") == "0":
            self.skipTest("asked for none")
        for c in self.clients:
            c.start()
        for point in self.faults.points:
            self.blow(point, DIE)
            self.serving()
        self.settle()
        self.check()
        print(f"faults: {sum(len(c.accepted) for c in self.clients)} runs, each of {len(self.faults.points)} instants hit", file=sys.stderr)

    def test_at_random(self):
        most = int(os.environ.get("CHAOS_KILLS") or 20)
        end = time.monotonic() + float(os.environ.get("CHAOS_SECONDS") or 120)
        for c in self.clients:
            c.start()
        while True:
            short = [p for p in self.faults.points if sum(self.kills[p].values()) < most]
            if not short and time.monotonic() > end:
                break
            for point in self.random.sample(short or self.faults.points, min(ARMED_AT_ONCE, len(short) or ARMED_AT_ONCE)):
                self.blow(point, STOP if self.random.random() < 0.15 else DIE)
            self.serving()
        self.settle()
        self.check()
        print(f"faults: {sum(len(c.accepted) for c in self.clients)} runs, {sum(sum(k.values()) for k in self.kills.values())} blows", file=sys.stderr)
        for point, kills in self.kills.items():
            print(f"  {point:28} " + ", ".join(f"{n} {what}" for what, n in sorted(kills.items())), file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
