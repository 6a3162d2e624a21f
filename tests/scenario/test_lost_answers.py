# SPDX-License-Identifier: Apache-2.0
"""Commits of acceptance that take long, or land without an answer, and what clients ask meanwhile."""
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import unittest
import uuid

from node import wait_for
from test_peers import at_once
from test_queue_modes import WithQueue

JOURNAL = "application_name = 'terabits journal'"


class HeldCommits:
    """While they are held every commit is durable here, and neither seen nor answered: it waits for a standby that does not exist."""

    def __init__(self, node):
        self.node = node
        node.cluster.sql("CREATE TABLE IF NOT EXISTS probe (x int)", "postgres")
        self.probes = []
        node.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        node.sql("SELECT pg_reload_conf()")
        wait_for(self.is_held)

    def is_held(self):
        """Commits wait from when the checkpointer has heard of it: found out by one."""
        if not self.probes or self.probes[-1].poll() is not None:
            psql = os.path.join(self.node.cluster.bin, "psql")
            self.probes.append(subprocess.Popen([psql, "-XAtq", "-h", self.node.cluster.socket, "-U", "postgres", "-d", "postgres",
                                                 "-c", "INSERT INTO probe VALUES (1)"]))
        return self.waiting("application_name = 'psql'")

    def waiting(self, whose):
        """The backend that waits in its commit."""
        return self.node.sql(f"SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND {whose} LIMIT 1")

    def lose(self, whose):
        """Its commit lands, its answer does not."""
        pid = wait_for(lambda: self.waiting(whose))
        self.node.sql(f"SELECT pg_terminate_backend({pid})")
        wait_for(lambda: self.node.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "0")

    def release(self):
        self.node.sql("ALTER SYSTEM RESET synchronous_standby_names")
        self.node.sql("SELECT pg_reload_conf()")
        for p in self.probes:
            p.wait(10)


class LostAnswers(WithQueue):
    workers = 2

    def hold_commits(self):
        held = HeldCommits(self.node)
        self.addCleanup(held.release)
        return held

    def stop_supervisor(self):
        pid = self.node.find_daemon()
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        return pid

    def streamed(self, message, session, mode, key):
        """The events of a streaming POST, as they come, and the thread that reads them."""
        got = []
        body = {"message": message, "sessionKey": session, "queueMode": mode, "stream": True}
        stream = self.node.sse("/v1/agents/main/runs", {"Idempotency-Key": key}, "POST", body)
        reader = threading.Thread(target=lambda: got.extend(stream), daemon=True)
        reader.start()
        return got, reader

    def test_a_stream_whose_run_was_taken_before_anybody_heard_of_it(self):
        runner = self.asked("[delay 3000] first", "lost")
        told = self.post("one", "lost", "steer")  # from now on its worker looks for messages
        commits = self.hold_commits()
        got, reader = self.streamed("two", "lost", "steer", "lost-two")
        wait_for(lambda: commits.waiting(JOURNAL))
        supervisor = self.stop_supervisor()
        commits.lose(JOURNAL)
        commits.release()
        self.assertEqual(self.ended(told)["merged_into"], runner)
        taken = wait_for(lambda: self.node.sql(f"SELECT run_id FROM tb.agent_runs WHERE merged_into = '{runner}' AND run_id <> '{told}'"))
        os.kill(supervisor, signal.SIGCONT)
        reader.join(30)
        self.assertFalse(reader.is_alive())
        self.assertEqual([(id, type, e["runId"], e["metadata"]) for id, type, e in got],
                         [("1", "lifecycle", taken, {"result": "superseded", "mergedInto": runner})])
        self.assertEqual(self.node.events(taken), got)
        again, reader = self.streamed("two", "lost", "steer", "lost-two")
        reader.join(30)
        self.assertFalse(reader.is_alive())
        self.assertEqual(again, got)
        self.assertEqual(self.node.wait(runner)["status"], "ok")

    def test_a_client_that_leaves_before_its_message_was_accepted(self):
        for session in ("leaver", "in the way"):  # the edge knows them: it writes nothing
            self.assertEqual(self.node.wait(self.post("hello", session))["status"], "ok")
        commits = self.hold_commits()
        other = threading.Thread(target=self.post, args=("hello", "in the way"))
        other.start()
        wait_for(lambda: commits.waiting(JOURNAL))
        user = str(uuid.uuid4())
        c = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=30)
        c.request("POST", "/v1/agents/main/runs",
                  json.dumps({"message": "[delay 60000] for nobody", "sessionKey": "leaver", "user": user, "stream": True,
                              "cancelOnDisconnect": True}), {"Authorization": f"Bearer {self.node.token()}"})
        wait_for(lambda: self.node.admin("queue.stats")["runs"] == 2)
        c.sock.shutdown(socket.SHUT_RDWR)
        c.close()
        commits.release()
        other.join(30)
        row = wait_for(lambda: self.node.rows(f"SELECT result FROM tb.agent_runs WHERE user_id = '{user}'"), 30)[0]
        self.assertEqual(row["result"], "cancelled")

    def test_deadlines_that_pass_while_the_database_is_away(self):
        agent = self.agent(queueCap=100)
        hold = self.asked("[delay 60000] hold", "many", agent=agent)
        runs = at_once([lambda i=i: self.post(f"wait {i}", "many", agent=agent, deadlineMs=10000) for i in range(80)])
        last = self.node.sql("SELECT extract(epoch FROM max(deadline_at)) FROM tb.agent_run_queue")
        self.node.cluster.stop("fast")
        try:
            wait_for(lambda: time.time() > float(last), 40)
        finally:
            self.node.cluster.start()
        self.node.wait_ready()
        mine = "run_id IN (" + ",".join(f"'{r}'" for r in runs) + ")"
        wait_for(lambda: self.node.sql(f"SELECT count(*) FROM tb.agent_runs WHERE {mine}") == "80", 30)
        self.assertEqual(self.node.sql(f"SELECT DISTINCT result::text || ' ' || error_code FROM tb.agent_runs WHERE {mine}"), "timed_out deadline")
        transactions = int(self.node.sql(f"SELECT count(DISTINCT finished_at) FROM tb.agent_runs WHERE {mine}"))
        self.assertLess(transactions, 10)
        for run in runs[:1] + runs[-1:]:
            self.assertEqual(self.node.wait(run)["status"], "error")
        self.assertIn(self.cancel(hold)[0], (200, 202))


if __name__ == "__main__":
    unittest.main()
