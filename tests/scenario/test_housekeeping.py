# SPDX-License-Identifier: Apache-2.0
"""What a node puts in order by itself, and what it must not leave behind."""
import os
import signal
import unittest

from node import Node, wait_for


class Housekeeping(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="offline", workers=1, migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def keys(self):
        return self.node.sql("SELECT count(*) FROM tb.idempotency_keys")

    def launchers(self):
        """Of this node, known to it or not."""
        found = 0
        for pid in os.listdir("/proc"):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    name, _, rest = f.read().partition(" (")[2].rpartition(") ")
            except (OSError, ValueError):
                continue
            found += name == "terabits-launch" and rest.split()[1] == str(self.node.find_daemon()) and rest.split()[0] != "Z"
        return found

    def test_keys_that_are_over_go_piece_by_piece(self):
        n = self.node
        status, _, answer = n.post("/v1/agents/main/runs", {"message": "keep me", "sessionKey": "hk"}, headers={"Idempotency-Key": "fresh"})
        self.assertEqual(status, 202, answer)
        n.wait(answer["runId"])
        n.stop()
        n.sql("INSERT INTO tb.idempotency_keys (tenant_id, scope, key, request_hash, run_id, expires_at) SELECT k.tenant_id, k.scope, 'old-' || g,"
              " k.request_hash, k.run_id, now() - interval '1 h' FROM tb.idempotency_keys k, generate_series(1, 9000) g")
        self.assertEqual(self.keys(), "9001")
        n.start_daemon()
        n.wait_ready()
        wait_for(lambda: self.keys() == "1", 30)
        self.assertNotIn("housekeeping-failed", n.log())

    def test_a_worker_that_cannot_be_born_leaves_no_launcher(self):
        n = self.node
        before = self.launchers()
        worker = os.path.join(n.bin, "terabits-worker")
        os.rename(worker, worker + ".away")
        try:
            os.kill(n.pids()["worker"][0], signal.SIGKILL)
            wait_for(lambda: n.log().count("event=birth-failed") >= 2, 30)
            wait_for(lambda: self.launchers() == before - 1, 10)  # the edge's is there
        finally:
            os.rename(worker + ".away", worker)
        wait_for(lambda: all(c["state"] == "ready" for c in n.admin("status")["children"]), 30)
        self.assertEqual(self.launchers(), before)

    def test_a_message_for_an_agent_that_was_deleted_a_moment_ago(self):
        """The edge believes in it still; the new session's commit says otherwise."""
        n = self.node
        n.wait(n.enqueue("first", session="dl"))
        n.sql("UPDATE tb.agents SET deleted_at = now() WHERE name = 'main'")
        try:
            status, _, answer = n.post("/v1/agents/main/runs", {"message": "x", "sessionKey": "brand new"})
        finally:
            n.sql("UPDATE tb.agents SET deleted_at = NULL WHERE name = 'main'")
        self.assertEqual(status, 404, answer)


if __name__ == "__main__":
    unittest.main()
