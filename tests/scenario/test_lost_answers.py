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
        node.cluster.sql("CREATE TABLE IF NOT EXISTS probe (x int)", "template1")
        self.probes = []
        node.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        node.sql("SELECT pg_reload_conf()")
        wait_for(self.is_held)

    def is_held(self):
        """Commits wait from when the checkpointer has heard of it: found out by one."""
        if not self.probes or self.probes[-1].poll() is not None:
            psql = os.path.join(self.node.cluster.bin, "psql")
            self.probes.append(subprocess.Popen([psql, "-XAtq", "-h", self.node.cluster.socket, "-U", "postgres", "-d", "template1",
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
    seconds = 55
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

    def let_in(self, may):
        """Whether the supervisor may connect, by a commit that is not held."""
        self.node.sql(f"SET synchronous_commit = local; ALTER ROLE tb_supervisor {'LOGIN' if may else 'NOLOGIN'}")

    def asker(self, command, **args):
        """A thread that asks, and the list its answer comes to."""
        told = []
        t = threading.Thread(target=lambda: told.append(self.node.admin(command, args)))
        t.start()
        return t, told

    def lost_for_good(self, commits, command, **args):
        """What who asks is told: it lands, and no answer comes in his time."""
        t, told = self.asker(command, **args)
        wait_for(lambda: commits.waiting(JOURNAL))
        self.let_in(False)
        self.addCleanup(self.let_in, True)
        commits.lose(JOURNAL)
        t.join(30)
        self.assertEqual(told[0].get("code"), "unavailable", told)
        return told[0]["error"]

    def test_a_redrive_whose_answer_is_lost_makes_one_heir(self):
        run = self.post("once", "heirs")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.node.admin("lane.pause", {"agent": "main", "session": "heirs"})
        commits = self.hold_commits()
        told = self.lost_for_good(commits, "run.retry", run=run)
        self.let_in(True)
        wait_for(lambda: commits.waiting(JOURNAL))  # it goes on
        t, again = self.asker("run.retry", run=run, tenant=1)  # as the person does who was told that
        wait_for(lambda: sum(f"run:{run}" in x for x in self.node.log().splitlines()) == 2)
        commits.release()
        t.join(30)
        live = lambda: [r["run_id"] for r in self.node.rows(f"SELECT run_id FROM tb.agent_run_queue WHERE retry_of = '{run}'")]
        (heir,) = live()
        self.assertEqual(again, [{"run": heir}])
        self.assertIn(heir, told)
        later = self.node.admin("run.retry", {"run": run})
        self.assertEqual(later.get("code"), "conflict", later)
        self.assertIn(f"redriven before, as run {heir}", later["error"])
        self.assertEqual(live(), [heir])
        self.node.admin("lane.resume", {"agent": "main", "session": "heirs"})
        self.assertEqual(self.node.wait(heir)["status"], "ok")

    def test_a_pause_whose_answer_is_lost(self):
        """Memory comes to say what the database says."""
        self.assertEqual(self.node.wait(self.post("hello", "lost pause"))["status"], "ok")
        session = self.node.sql("SELECT session_id FROM tb.agent_sessions WHERE session_key = 'lost pause'")
        for scope, noun, args in (("lane", "lane", {"session": session}), ("tenant", "queue", {"scope": "tenant", "tenant": 1})):
            for verb, paused in (("pause", 1), ("resume", 0)):
                commits = self.hold_commits()
                self.lost_for_good(commits, f"{noun}.{verb}", **args)
                self.let_in(True)
                commits.release()
                wait_for(lambda: len(self.node.admin("queue.stats")["pauses"]) == paused)
                self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.queue_pauses WHERE scope = '{scope}'"), str(paused))
                wait_for(lambda: self.node.get("/readyz")[0] == 200)
        self.assertEqual(self.node.wait(self.post("hello", "lost pause"))["status"], "ok")

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
