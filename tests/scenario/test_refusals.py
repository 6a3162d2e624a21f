# SPDX-License-Identifier: Apache-2.0
"""One row that the database refuses, one lane that another transaction holds, one commit that does not come back: whose row it is waits,
nobody else does, and nothing that was accepted is lost."""
import os
import signal
import threading
import time

from node import wait_for
from test_admin import WithAdmin
from test_journal_sql import Session


class Refusals(WithAdmin):
    seconds = 55

    def setUp(self):
        self.root = Session(self.node.cluster, f"host={self.node.cluster.socket} dbname=terabits user=postgres")
        self.addCleanup(self.root.close)

    def session_id(self, key):
        return self.node.sql(f"SELECT session_id FROM tb.agent_sessions WHERE session_key = '{key}'")

    def opened(self, key):
        """A session that has run."""
        self.node.wait(self.enqueue("first", key))
        return self.session_id(key)

    def plant(self, table, event, where, sqlstate, message="planted"):
        """Rows that meet `where` are refused; uproot() ends it."""
        self.root.ask(f"CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{message}'"
                      f" USING ERRCODE = '{sqlstate}'; END $$;"
                      f"CREATE TRIGGER planted BEFORE {event} ON tb.{table} FOR EACH ROW WHEN ({where}) EXECUTE FUNCTION public.refuse();")
        self.planted = table
        self.addCleanup(self.uproot)

    def uproot(self):
        if self.planted:
            self.root.ask(f"DROP TRIGGER planted ON tb.{self.planted}; DROP FUNCTION public.refuse();")
        self.planted = None

    def asked(self, message, key):
        """A run that waits for the model."""
        before = self.node.model_stats()["requests"]
        run = self.enqueue(message, key)
        wait_for(lambda: self.node.model_stats()["requests"] > before)
        return run

    def hold(self, session):
        """Its lane's row, until let_go()."""
        self.root.ask(f"BEGIN; SELECT FROM tb.lanes WHERE session_id = '{session}' FOR UPDATE;")
        self.addCleanup(self.let_go)

    def let_go(self):
        self.root.ask("ROLLBACK;")

    def waits_paused(self, key, message="behind a pause"):
        """A run whose start will be a claim, not a fused one."""
        self.ask("lane.pause", **self.lane(key))
        return self.enqueue(message, key)

    def post(self, key):
        """(status, headers, answer, seconds)"""
        began = time.monotonic()
        status, head, answer = self.node.post("/v1/agents/main/runs", {"message": "x", "sessionKey": key, "queueMode": "followup"})
        return status, head, answer, time.monotonic() - began

    def all_others_go_on(self, rounds=20):
        """Messages to other sessions, those that start by a claim among them; the longest wait for an answer."""
        runs, longest = [], 0
        for i in range(rounds):
            status, _, answer, seconds = self.post(f"{self.id()}-{i % 5}")
            self.assertEqual(status, 202, answer)
            longest = max(longest, seconds)
            runs.append(answer["runId"])
        for run in runs:
            self.assertEqual(self.node.wait(run)["status"], "ok")
        return longest

    def at_once(self, calls):
        """Threads that make them, and a list of what they returned, in their order, once they have."""
        answers = [None] * len(calls)

        def call(i):
            answers[i] = calls[i]()
        threads = [threading.Thread(target=call, args=(i,)) for i in range(len(calls))]
        for t in threads:
            t.start()
        return threads, answers

    def log_line(self, event, *parts):
        """The first of that event that has them all."""
        def found():
            return next((x for x in self.node.log().splitlines() if f"event={event}" in x and all(p in x for p in parts)), None)
        return wait_for(found, 30)

    def lane_pauses(self):
        return self.node.rows("SELECT object, paused_by FROM tb.queue_pauses WHERE scope = 'lane'")

    # ---- the row

    def test_a_refused_claim_pauses_its_lane_and_no_other(self):
        session = self.opened("bad")
        run = self.waits_paused("bad")
        self.plant("agent_run_queue", "UPDATE", f"NEW.run_id = '{run}'", "P0001", "this row is wrong")
        self.ask("lane.resume", **self.lane("bad"))
        self.all_others_go_on()
        wait_for(lambda: self.lane_pauses() == [{"object": session, "paused_by": "claim-refused P0001"}], 30)
        wait_for(lambda: self.ask("lane.show", **self.lane("bad"))["paused"])
        self.assertEqual(self.ask("run.why", run=run)["why"], "lane_paused")
        self.log_line("claim-refused", f"session={session}", f"run={run}", "tries=1", "sqlstate=P0001", "this row is wrong")
        paused_lines = lambda: [x for x in self.node.log().splitlines() if "event=lane-paused" in x and run in x]
        (line,) = paused_lines()
        for part in (f"session={session}", f"run={run}", "sqlstate=P0001", "this row is wrong", f"terabitsctl lane resume {session}"):
            self.assertIn(part, line)
        self.all_others_go_on(5)
        # Resumed too early it is tried again, and paused again.
        self.ask("lane.resume", **self.lane("bad"))
        wait_for(lambda: len(paused_lines()) == 2, 30)
        wait_for(lambda: len(self.lane_pauses()) == 1)
        self.uproot()
        p = self.node.ctl("lane", "resume", session)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.node.wait(run)["status"], "ok")

    def test_a_run_of_a_paused_lane_can_be_cancelled(self):
        self.opened("bad2")
        run = self.waits_paused("bad2")
        self.plant("agent_run_queue", "UPDATE", f"NEW.run_id = '{run}'", "22003")
        self.ask("lane.resume", **self.lane("bad2"))
        wait_for(lambda: len(self.lane_pauses()) == 1, 30)
        self.ask("run.cancel", run=run)
        self.uproot()
        self.ask("lane.resume", **self.lane("bad2"))
        self.assertEqual(self.run_row(run)["result"], "cancelled")

    def test_a_run_that_cannot_start_again_is_given_up(self):
        """As the log says: cancel it, then resume its lane; nothing was mended."""
        session = self.opened("bad4")
        run = self.asked("[hang] for ever", "bad4")
        behind = self.enqueue("behind it", "bad4")
        self.plant("agent_run_queue", "UPDATE", f"NEW.run_id = '{run}' AND NEW.fence <> OLD.fence", "23514", "not this one")
        self.node.kill("worker", self.ask("run.show", run=run)["worker"])
        line = self.log_line("lane-paused", run)
        self.assertIn(f"To give the run up: terabitsctl run cancel {run}, then: terabitsctl lane resume {session}", line)
        wait_for(lambda: len(self.lane_pauses()) == 1)
        wait_for(lambda: self.ask("run.why", run=run)["why"] == "lane_paused")
        p = self.node.ctl("run", "cancel", run)
        self.assertEqual((p.returncode, p.stdout.strip()), (0, f"run {run}: cancelled"), p.stderr)
        p = self.node.ctl("lane", "resume", session)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertEqual(self.node.wait(behind)["status"], "ok")
        row = self.run_row(run)
        self.assertEqual((row["result"], row["error_code"]), ("cancelled", "cancelled"))
        self.assertEqual(self.node.events(run)[-1][2]["metadata"], {"result": "cancelled", "code": "cancelled"})
        self.assertEqual(self.node.wait(run)["error"]["code"], "cancelled")
        self.assertEqual(self.lane_pauses(), [])

    def test_why_a_refused_run_does_not_start(self):
        session = self.opened("why")
        run = self.waits_paused("why")
        behind = self.enqueue("behind it", "why")
        self.plant("agent_run_queue", "UPDATE", f"NEW.run_id = '{run}'", "58030", "the disk is odd")
        self.ask("lane.resume", **self.lane("why"))
        why = wait_for(lambda: (w := self.ask("run.why", run=run)).get("tries", 0) >= 2 and w, 30)
        self.assertEqual((why["why"], why["sqlstate"]), ("refused", "58030"))
        self.assertIn("the database refused its start: the disk is odd (58030)", why["sentence"])
        self.assertLess(why["triedAgainInMs"], 5001)
        self.assertIn("another run of its session goes first: the database refused the start of that one",
                      self.ask("run.why", run=behind)["sentence"])
        self.assertIn("the disk is odd", self.node.ctl("run", "why", run).stdout)
        self.log_line("claim-refused", f"session={session}", f"run={run}", "the disk is odd")
        self.assertEqual(self.ask("queue.stats")["journal"]["parkedLanes"], 1)
        self.assertRegex(self.node.ctl("queue", "stats").stdout, r"lanes parked *1\n")
        self.uproot()
        for r in (run, behind):
            self.assertEqual(self.node.wait(r)["status"], "ok")
        self.assertEqual(self.ask("queue.stats")["journal"]["parkedLanes"], 0)

    def test_a_refused_message_is_its_senders(self):
        session = self.opened("bad3")
        self.plant("agent_run_queue", "INSERT", f"NEW.session_id = '{session}'", "22003")
        self.assertEqual(self.post("bad3")[0], 400)
        self.uproot()
        self.assertEqual(self.node.wait(self.enqueue("again", "bad3"))["status"], "ok")

    def test_a_run_without_its_message_is_buried(self):
        for others in (0, 2):
            key = f"empty{others}"
            session = self.opened(key)
            run = self.waits_paused(key)
            behind = self.enqueue("behind", key)
            for i in range(others):
                self.opened(f"empty-other{i}")
            rest = [self.waits_paused(f"empty-other{i}") for i in range(others)]
            self.node.sql(f"DELETE FROM tb.run_inputs WHERE run_id = '{run}'")
            self.ask("lane.resume", **self.lane(key))
            for i in range(others):
                self.ask("lane.resume", **self.lane(f"empty-other{i}"))
            for ok in [behind, *rest]:
                self.assertEqual(self.node.wait(ok)["status"], "ok")
            self.assertEqual(self.node.rows(f"SELECT reason, input FROM tb.dead_runs WHERE run_id = '{run}'"),
                             [{"reason": "no_input", "input": None}])
            self.assertEqual(self.run_row(run)["error_code"], "no_input")
            self.assertEqual(self.node.events(run)[-1][2]["metadata"]["result"], "dead")
            self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.session_messages WHERE session_id = '{session}'"), "4")

    # ---- the database's condition

    def test_a_full_disk_is_nobodys_fault(self):
        session = self.opened("full")
        run = self.waits_paused("full")
        for sqlstate in ("53100", "25006", "XX000"):
            self.plant("agent_run_queue", "INSERT", f"NEW.session_id = '{session}'", sqlstate)
            status, head, answer, _ = self.post("full")
            self.assertEqual((status, head.get("retry-after") is not None), (503, True), f"{sqlstate} {answer}")
            self.uproot()
        self.plant("agent_run_queue", "UPDATE", f"NEW.run_id = '{run}'", "58030")
        self.ask("lane.resume", **self.lane("full"))
        wait_for(lambda: self.node.log().count("event=claim-refused") >= 6, 60)
        self.assertEqual(self.lane_pauses(), [])
        self.uproot()
        self.assertEqual(self.node.wait(run)["status"], "ok")

    def test_a_drain_does_not_wait_for_a_refused_claim(self):
        self.opened("drain")
        run = self.waits_paused("drain")
        self.plant("agent_run_queue", "UPDATE", f"NEW.run_id = '{run}'", "53100")
        self.ask("lane.resume", **self.lane("drain"))
        wait_for(lambda: self.node.log().count("event=claim-refused") >= 3, 30)
        self.assertEqual(self.node.stop(seconds=20), 0)
        self.uproot()
        self.node.start_daemon()
        self.node.wait_ready()
        self.assertEqual(self.node.wait(run)["status"], "ok")

    # ---- the lock

    def test_a_held_lane_stops_no_other(self):
        session = self.opened("held")
        run = self.waits_paused("held")
        refused = []
        self.hold(session)
        self.ask("lane.resume", **self.lane("held"))  # its claim waits for the lock
        t = threading.Thread(target=lambda: refused.append(self.post("held")))
        t.start()
        longest = 0
        while t.is_alive():
            longest = max(longest, self.all_others_go_on(5))
        t.join()
        ((status, head, answer, seconds),) = refused
        self.assertEqual((status, head.get("retry-after") is not None), (503, True), answer)
        self.assertGreater(seconds, 4.9)
        self.assertLess(longest, 3)
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.agent_run_queue WHERE session_id = '{session}'"), "1")
        self.let_go()
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.node.wait(self.enqueue("after", "held"))["status"], "ok")
        self.assertEqual(self.lane_pauses(), [])

    def test_why_a_message_of_a_held_lane_is_not_accepted(self):
        session = self.opened("held2")
        self.hold(session)
        threads, answers = self.at_once([lambda: self.post("held2")])
        line = self.log_line("lane-locked", f"session={session}", "sqlstate=55P03")
        run = line.split(" run=")[1].split()[0]
        why = wait_for(lambda: (w := self.ask("run.why", run=run)).get("tries", 0) >= 2 and w)
        self.assertEqual(why["why"], "locked")
        self.assertIn("another transaction in the database holds its session and stops its acceptance", why["sentence"])
        self.assertEqual(self.ask("queue.stats")["journal"]["parkedLanes"], 1)
        self.let_go()
        threads[0].join()
        self.assertEqual((answers[0][0], answers[0][2]["runId"]), (202, run))
        self.assertEqual(self.node.wait(run)["status"], "ok")

    def test_cancels_of_a_held_lane_stop_no_other(self):
        session = self.opened("cancels")
        runs = [self.waits_paused("cancels")] + [self.enqueue(f"waits {i}", "cancels") for i in range(14)]
        self.hold(session)
        threads, answers = self.at_once([lambda r=r: self.node.admin("run.cancel", {"run": r}) for r in runs])
        longest = 0
        while any(t.is_alive() for t in threads):
            longest = max(longest, self.all_others_go_on(2))
        self.assertLess(longest, 1)
        for a in answers:
            self.assertEqual(a.get("code"), "unavailable", a)
            self.assertIn("another transaction in the database holds this session; nothing happened, ask again", a["error"])
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.agent_run_queue WHERE session_id = '{session}'"), "15")
        threads, answers = self.at_once([lambda r=r: self.node.admin("run.cancel", {"run": r}) for r in runs])
        self.let_go()
        for t in threads:
            t.join()
        self.assertEqual([a.get("status") for a in answers], ["cancelled"] * 15, answers)
        self.ask("lane.resume", **self.lane("cancels"))

    def test_deadlines_in_a_held_lane_stop_no_other(self):
        session, _ = self.opened("late"), self.opened("late2")
        runs = {"late": [], "late2": []}
        for key in runs:
            self.ask("lane.pause", **self.lane(key))
            for i in range(6):
                status, _, answer = self.node.post("/v1/agents/main/runs", {"message": "too late", "sessionKey": key, "queueMode": "followup",
                                                                            "deadlineMs": 1500})
                self.assertEqual(status, 202, answer)
                runs[key].append(answer["runId"])
        self.hold(session)
        longest, left = 0, set(runs["late2"])
        while left:
            longest = max(longest, self.all_others_go_on(2))
            left = {r for r in left if self.node.sql(f"SELECT count(*) FROM tb.agent_runs WHERE run_id = '{r}'") == "0"}
        self.assertLess(longest, 1)
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.agent_run_queue WHERE session_id = '{session}'"), "6")
        self.let_go()
        for run in runs["late"]:
            wait_for(lambda: self.node.sql(f"SELECT result FROM tb.agent_runs WHERE run_id = '{run}'") == "timed_out", 9)
        self.assertEqual([x for x in self.node.log().splitlines() if "event=expiry-refused" in x], [])
        for key in runs:
            self.ask("lane.resume", **self.lane(key))

    def test_messages_of_a_held_lane_keep_their_order(self):
        session = self.opened("order")
        answers = {}
        self.hold(session)

        def send(i):
            answers[i] = self.post("order")
        threads = []
        for i in range(5):
            threads.append(threading.Thread(target=send, args=(i,)))
            threads[-1].start()
            time.sleep(0.1)  # that is their order
        self.let_go()
        for t in threads:
            t.join()
        self.assertEqual([answers[i][0] for i in range(5)], [202] * 5, answers)
        for i in range(5):
            self.node.wait(answers[i][2]["runId"])
        order = [r["run_id"] for r in self.node.rows(f"SELECT run_id FROM tb.agent_runs WHERE session_id = '{session}' ORDER BY lane_pos")]
        self.assertEqual(order[1:], [answers[i][2]["runId"] for i in range(5)])

    def test_a_held_lane_stops_no_other_run_of_its_worker(self):
        """Their commits go as one batch."""
        for lost in (False, True):
            session = self.opened("commits")
            run = self.asked("[pause 300] one two three", "commits")
            self.hold(session)
            if lost:  # the connection goes while the commit waits: whether it landed is read under the same lock
                other = Session(self.node.cluster, f"host={self.node.cluster.socket} dbname=terabits user=postgres")
                self.addCleanup(other.close)
                wait_for(lambda: other.ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                                           " AND application_name = 'terabits-worker';") != "0", 20, 0)
            log = self.node.log()
            wait_for(lambda: self.node.log()[len(log):].count("lanes-not-read" if lost else "journal-refused") >= 3)
            self.assertLess(max(self.all_others_go_on(5) for _ in range(3)), 3)
            self.let_go()
            self.assertEqual(self.node.wait(run)["status"], "ok")
            self.assertEqual(self.run_row(run)["crashes"], 0)

    # ---- the worker's rows

    def test_a_worker_waits_for_the_database(self):
        session = self.opened("weather")
        run = self.asked("[pause 200] one two", "weather")
        self.plant("session_messages", "INSERT", f"NEW.session_id = '{session}'", "58030")
        wait_for(lambda: "sqlstate=58030" in self.node.log())
        self.all_others_go_on()
        self.uproot()
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual((self.run_row(run)["crashes"], self.run_row(run)["attempts"]), (0, 1))

    def test_a_resumed_run_that_cannot_be_read_pairs_its_calls(self):
        session = self.opened("unread")
        self.plant("session_messages", "INSERT", f"NEW.session_id = '{session}' AND NEW.role = 'tool'", "58030")
        run = self.enqueue('[tool memory_store {"text":"- unread","path":"unread.md"}] go', "unread")
        wait_for(lambda: self.node.sql(f"SELECT count(*) FROM tb.tool_executions WHERE run_id = '{run}' AND state = 'running'") == "1")
        self.root.ask("CREATE POLICY planted ON tb.session_messages AS RESTRICTIVE FOR SELECT TO tb_worker"
                      f" USING (1 / (run_id <> '{run}')::integer = 1);")
        self.addCleanup(self.root.ask, "DROP POLICY IF EXISTS planted ON tb.session_messages;")
        self.node.kill("worker", self.ask("run.show", run=run)["worker"])
        self.uproot()
        self.assertEqual(self.node.wait(run)["status"], "error")
        self.root.ask("DROP POLICY planted ON tb.session_messages;")
        row = self.run_row(run)
        self.assertEqual((row["result"], row["error_code"], row["crashes"]), ("failed", "internal", 1))
        self.assertIn("cannot be read", row["error"])
        self.assertEqual([m["role"] for m in self.node.rows(
            f"SELECT role FROM tb.session_messages WHERE run_id = '{run}' ORDER BY seq")], ["user", "assistant", "tool"])
        self.assertEqual(self.node.wait(self.enqueue("after", "unread"))["status"], "ok")

    # ---- the commit that does not come back

    def test_nothing_is_accepted_while_a_commit_stands_still(self):
        self.opened("still")
        pid = int(self.node.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'terabits journal'"))
        answers = []
        os.kill(pid, signal.SIGSTOP)
        try:
            t = threading.Thread(target=lambda: answers.append(self.post("still")))
            t.start()
            wait_for(lambda: self.node.get("/readyz")[0] == 503, 20)
            status, head, answer, seconds = self.post("another")
            self.assertEqual((status, head.get("retry-after") is not None), (503, True), answer)
            self.assertIn("database", str(answer))
            self.assertLess(seconds, 2)
        finally:
            os.kill(pid, signal.SIGCONT)
        t.join()
        self.assertEqual(answers[0][0], 202, answers)  # it was under way, and landed
        wait_for(lambda: self.node.get("/readyz")[0] == 200, 20)
        self.assertEqual(self.node.wait(answers[0][2]["runId"])["status"], "ok")
