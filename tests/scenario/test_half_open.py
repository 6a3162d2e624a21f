# SPDX-License-Identifier: Apache-2.0
"""Connections to Postgres that die without an end: no answer, no error."""
import os
import signal
import unittest

from invariants import violations
from node import Node, wait_for
from relay import Relay


class WithRelay(unittest.TestCase):
    seconds = 50

    def setUp(self):
        self.node = Node(model="fake", workers=2)
        self.addCleanup(self.node.close)
        self.relay = Relay(os.path.join(self.node.dir, "h"), self.node.cluster.socket)
        self.addCleanup(self.relay.close)
        owner = os.path.join(self.node.state, "secrets", "owner")
        with open(owner, "w") as f:
            f.write(self.node.cluster.owner.replace(self.node.cluster.socket, os.path.join(self.node.dir, "h")))
        self.node.start()

    def backends(self):
        """Of the connections that are never idle for long."""
        return {int(p) for p in self.node.sql("SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity"
                                              " WHERE application_name IN ('terabits lease', 'terabits journal')").split()}


# A class each: they run side by side.
class HalfOpen(WithRelay):
    def test_all_connections_at_once(self):
        """What runs goes on, what was accepted ends once, the lease comes back, and nothing of the dead connections stays."""
        n = self.node
        before = n.model_stats()["requests"]
        running = [n.enqueue("[delay 3000] one", session="k1"), n.enqueue("[pause 500] a b c d e f", session="k2")]
        behind = [n.enqueue(f"behind {i}", session="k1", mode="followup") for i in range(3)]
        wait_for(lambda: n.model_stats()["requests"] >= before + 2)
        old = self.backends()
        self.assertGreaterEqual(self.relay.freeze(), 4)  # lease, journal, worker, edge
        after = n.wait_until_accepted("after it", session="k3", seconds=60)
        for run in running + behind + [after]:
            self.assertEqual(n.wait_until_ok(run)["status"], "ok")
        self.assertIn("nothing was heard for 15 s", n.log())
        wait_for(lambda: not self.backends() & old, 30)
        self.assertEqual(n.sql("SELECT count(*) FROM tb.agent_runs WHERE crashes > 0"), "0")
        self.assertEqual(violations(n), {})


class HeldLease(WithRelay):
    def test_the_lease_is_held_by_what_was_lost(self):
        """The server process of the lease stands still for longer than its connection lives: the node waits for its end, and goes on."""
        n = self.node
        pid = int(n.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'terabits lease'"))
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: "event=lease-held" in n.log(), 60)
            status, head, _ = n.post("/v1/agents/main/runs", {"message": "x", "sessionKey": "kx"})
            self.assertEqual(status, 503)
            self.assertIn("retry-after", head)
            daemon = n.daemon.pid
        finally:
            os.kill(pid, signal.SIGCONT)
        run = n.wait_until_accepted("after the pause", session="kx")
        self.assertEqual(n.wait(run)["status"], "ok")
        self.assertEqual(n.daemon.pid, daemon)
        self.assertIsNone(n.daemon.poll())


class OtherNode(WithRelay):
    def test_another_node_ran_meanwhile(self):
        """It came and went while this one had no connection: memory is of no use then."""
        n = self.node
        self.assertGreaterEqual(self.relay.freeze(), 4)
        n.sql("UPDATE tb.nodes SET gone_at = now()")
        wait_for(lambda: n.daemon.poll() is not None, 60)
        self.assertNotEqual(n.daemon.returncode, 0)
        self.assertIn("another node took this database over", n.log())


if __name__ == "__main__":
    unittest.main()
