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
from load import agent_that_asks, clients, wait_serving  # noqa: E402
from invariants import violations  # noqa: E402
from node import Node, own, wait_for  # noqa: E402

ARMED_AT_ONCE = 4
HIT_SECONDS = 120


class Faulty(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("TB_SEED", time.time_ns() % 1000000))
        print(f"TB_SEED={self.seed}", file=sys.stderr)
        self.random = random.Random(self.seed)
        self.node = Node(model="fake", workers=3, migrated=True, fsync=True)
        self.faults = Faults(self.node.dir)
        own(self.node.dir)
        self.node.env.update(self.faults.env())
        self.addCleanup(self.faults.close)
        self.addCleanup(self.node.close)
        self.node.start()
        self.node.sql("INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config) SELECT tenant_id, agent_id, 2, jsonb_set(config, '{tools}',"
                      " '[\"memory_store\", \"memory_get\", \"ledger_once\", \"ledger_keyed\"]') FROM tb.agent_revisions;"
                      "UPDATE tb.agents SET revision = 2, max_running = 1000")
        agent_that_asks(self.node)
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
        wait_serving(self.node, self.report(), self.tend)

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
        try:
            wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0", 90, 0.2)
        except AssertionError:
            self.fail(f"runs that do not end after {self.report()}: {self.stuck()}")

    def stuck(self):
        rows = self.node.rows("SELECT run_id, session_id, mode, state, attempt, crashes, cancel_requested, run_at FROM tb.agent_run_queue"
                              " ORDER BY session_id, lane_pos LIMIT 20")
        why = [self.node.admin("run.why", {"run": r["run_id"], "tenant": 1}) for r in rows]
        return "\n".join(f"{r}\n    {w}" for r, w in zip(rows, why)) + f"\n{self.node.admin('status')}\n{self.node.tail(60)}"

    def check(self):
        broken = violations(self.node)
        for rows in broken.values():
            for row in rows:  # with what ran while it waited
                print(f"lane of {row}:", *self.node.rows(
                    "SELECT r.run_id, r.mode, r.result, r.error_code, r.lane_seq, r.lane_pos, r.enqueued_at, r.due_at, r.started_at, r.finished_at, r.crashes"
                    " FROM tb.agent_runs r, (SELECT enqueued_at, coalesce(started_at, finished_at) AS started_at FROM tb.agent_runs"
                    f" WHERE run_id = '{row['run_id']}') its WHERE r.session_id = '{row['session_id']}'"
                    " AND r.finished_at >= its.enqueued_at AND r.started_at <= its.started_at ORDER BY r.started_at"), sep="\n  ", file=sys.stderr)
        self.assertEqual(broken, {})
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
        armed = {}
        while armed or time.monotonic() < end or self.short_of(most):
            self.arm_more(armed, most, time.monotonic() < end)
            time.sleep(0.01)
            self.tend()
            for point in list(armed):
                self.look(point, armed)
        self.settle()
        self.check()
        print(f"faults: {sum(len(c.accepted) for c in self.clients)} runs, {sum(sum(k.values()) for k in self.kills.values())} blows", file=sys.stderr)
        for point, kills in self.kills.items():
            print(f"  {point:28} " + ", ".join(f"{n} {what}" for what, n in sorted(kills.items())), file=sys.stderr)

    def short_of(self, most):
        return [p for p in self.faults.points if sum(self.kills[p].values()) < most]

    def arm_more(self, armed, most, more):
        """A few instants at a time, one of the supervisor's among them: it takes all others down."""
        wanted = self.short_of(most) or (self.faults.points if more else [])
        wanted = [p for p in wanted if p not in armed]
        self.random.shuffle(wanted)
        for point in wanted:
            if len(armed) == ARMED_AT_ONCE:
                return
            if point.startswith("supervisor") and any(p.startswith("supervisor") for p in armed):
                continue
            action = STOP if self.random.random() < 0.12 else DIE
            armed[point] = (action, self.faults.hits(point), time.monotonic())
            self.faults.arm(point, action)

    def look(self, point, armed):
        action, before, since = armed[point]
        if self.faults.hits(point) > before:
            del armed[point]
            self.kills[point]["process" if action == DIE else self.strike_postgres(point)] += 1
        elif time.monotonic() - since > HIT_SECONDS:
            raise AssertionError(f"nobody passed {point} in {HIT_SECONDS} s: {self.report()}\n{self.stuck()}")


if __name__ == "__main__":
    unittest.main()
