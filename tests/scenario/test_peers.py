# SPDX-License-Identifier: Apache-2.0
"""What other queues test with care, and what users of a peer complained about, through the real programs; where each comes from stands in
docs/queue-peers.md."""
import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import unittest
import uuid

from invariants import violations
from node import wait_for
from test_queue_modes import STORE, WithQueue

AWAY = (OSError, http.client.HTTPException)


def at_once(jobs):
    """Their results, each from a thread of its own; the first error of one is the caller's."""
    results, errors = [None] * len(jobs), []

    def one(i):
        try:
            results[i] = jobs[i]()
        except BaseException as e:  # noqa: BLE001 - raised below
            errors.append(e)
    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return results


class Watch:
    """Asks the database for one number again and again, until its end; `seen` are the answers."""

    def __init__(self, node, query):
        psql = os.path.join(node.cluster.bin, "psql")
        self.query, self.seen, self.stop = query, [], threading.Event()
        self.session = subprocess.Popen([psql, "-X", "-q", "-At", "-h", node.cluster.socket, "-U", "postgres", "terabits"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.go, daemon=True)
        self.thread.start()

    def go(self):
        while not self.stop.is_set():
            self.session.stdin.write(self.query + ";\n")
            self.session.stdin.flush()
            self.seen.append(int(self.session.stdout.readline()))

    def end(self):
        self.stop.set()
        self.thread.join(10)
        self.session.communicate(timeout=10)
        return self.seen


class WithPeers(WithQueue):
    workers = 2

    @classmethod
    def tearDownClass(cls):
        broken = violations(cls.node)  # once for all tests: it takes a second
        if broken:
            raise AssertionError(f"violated: {broken}")

    def setUp(self):
        self.ready_again()

    def tearDown(self):
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0", 60)

    def ask(self, command, **args):
        answer = self.node.admin(command, args)
        self.assertNotIn("code", answer, f"{command} {args}: {answer}")
        return answer

    def insist(self, message, session, agent="main", mode="followup", key=None, **options):
        """Posts until it is accepted, as a client does that is told to come again."""
        body = {"message": message, "sessionKey": session, "queueMode": mode, **options}
        headers = {"Idempotency-Key": key} if key else None

        def accepted():
            status, _, answer = self.node.post(f"/v1/agents/{agent}/runs", body, headers=headers)
            self.assertIn(status, (202, 429, 503), answer)
            return answer["runId"] if status == 202 else None
        return wait_for(accepted, 30, 0.05)

    def wait_whatever_happens(self, run, seconds=60):
        """The answer of the wait for its end, over a time in which the node goes away and comes back."""
        def answered():
            try:
                status, _, answer = self.node.get(f"/v1/runs/{run}/wait?timeoutMs=20000")
            except AWAY:
                return None
            return answer if status == 200 and answer["status"] != "timeout" else None
        return wait_for(answered, seconds, 0.05)

    def children(self):
        return self.node.admin("status")["children"]

    def ready_again(self):
        wait_for(lambda: all(c["state"] == "ready" for c in self.children()), 30)

    def worker_of(self, run):
        """(ordinal, pid) of the worker that runs it."""
        def found():
            shown = self.ask("run.show", run=run)
            if shown["state"] != "running":
                return None
            return [(c["ordinal"], c["pid"]) for c in self.children() if c["kind"] == "worker" and c["ordinal"] == shown["worker"]]
        return wait_for(found, 30)[0]

    def results(self, runs):
        """The rows of those that ended."""
        ids = ",".join(f"'{r}'" for r in runs)
        return {r["run_id"]: r for r in self.node.rows(f"SELECT * FROM tb.agent_runs WHERE run_id IN ({ids})")}

    def said(self, session):
        """The runs of a session's user messages, in order."""
        return [r["run_id"] for r in self.node.rows("SELECT m.run_id FROM tb.session_messages m JOIN tb.agent_sessions s USING (tenant_id,"
                                                    f" session_id) WHERE s.session_key = '{session}' AND m.role = 'user' ORDER BY seq")]

    def lines(self, path):
        return self.node.sql(f"SELECT body FROM tb.agent_memory_entries WHERE path = '{path}'").split()

    def starts(self, session):
        """How often runs of that lane were started: its fence."""
        return int(self.node.sql("SELECT fence FROM tb.lanes JOIN tb.agent_sessions USING (tenant_id, session_id)"
                                 f" WHERE session_key = '{session}'"))

    def assert_completed_in_order(self, session, runs):
        self.assertEqual({r["result"] for r in self.results(runs).values()}, {"completed"})
        self.assertEqual(self.said(session), runs)

    def restart(self):
        wait_for(lambda: not self.node.all_pids(), 10)
        self.node.start_daemon()
        self.node.wait_ready()


class Peers(WithPeers):
    seconds = 65

    # ---- lanes, keys, pauses, cancels

    def test_one_key_from_many_clients_is_one_run(self):
        runs = at_once([lambda: self.insist("hello", "one-key", key="peers-1")] * 20)
        self.assertEqual(len(set(runs)), 1)
        self.assertEqual(self.node.wait(runs[0])["status"], "ok")
        self.assertEqual(self.said("one-key"), runs[:1])
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.agent_runs r JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                                       " WHERE s.session_key = 'one-key'"), "1")

    def test_one_key_of_two_tenants_is_two_runs(self):
        for command in (("tenant", "create", "peers"), ("agent", "create", "main", "--tenant", "peers"),
                        ("token", "create", "--tenant", "peers", "--scopes", "run,read")):
            p = self.node.ctl(*command)
            self.assertEqual(p.returncode, 0, p.stderr)
        tokens, body = (None, p.stdout.strip()), {"message": "hello", "sessionKey": "two-keys"}

        def one(token):
            status, _, answer = self.node.post("/v1/agents/main/runs", body, token=token, headers={"Idempotency-Key": "peers-2"})
            self.assertEqual(status, 202, answer)
            return answer["runId"]
        runs = at_once([lambda t=t: one(t) for t in tokens * 5])
        self.assertEqual([len(set(runs[0::2])), len(set(runs[1::2])), len(set(runs))], [1, 1, 2])
        wait_for(lambda: len(self.results(runs)) == 2)
        ends = self.results(runs)
        self.assertEqual({r["result"] for r in ends.values()}, {"completed"})
        self.assertNotEqual(ends[runs[0]]["tenant_id"], ends[runs[1]]["tenant_id"])

    def test_a_hundred_posts_to_one_session_have_one_runner(self):
        agent = self.agent(queueCap=100)
        running = Watch(self.node, "SELECT count(*) FROM tb.agent_run_queue q JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                                   " WHERE s.session_key = 'crowd' AND q.state = 'running'")
        try:
            runs = at_once([lambda i=i: self.insist(f"message {i}", "crowd", agent=agent) for i in range(100)])
            wait_for(lambda: len(self.results(runs)) == 100, 60)
        finally:
            seen = running.end()
        self.assertEqual(max(seen), 1)
        ends = sorted(self.results(runs).values(), key=lambda r: r["lane_seq"])
        self.assertEqual([(r["lane_seq"], r["result"]) for r in ends], [(i + 1, "completed") for i in range(100)])
        for before, after in zip(ends, ends[1:]):
            self.assertLessEqual(before["finished_at"], after["started_at"])
        messages = self.transcript(runs[0])
        self.assertEqual([(m["role"], m["run_id"]) for m in messages],
                         [(role, r["run_id"]) for r in ends for role in ("user", "assistant")])
        for question, answer in zip(messages[0::2], messages[1::2]):
            self.assertEqual(answer["content"]["blocks"][0]["text"], "echo: " + question["content"]["blocks"][0]["text"])

    def test_a_message_in_the_very_moment_a_run_ends(self):
        """After each of a run's events in turn the next message is posted: none waits on an idle lane."""
        def rounds(lane):
            states, runs = [], []
            for i in range(50):
                stream = self.node.sse("/v1/agents/main/runs", method="POST",
                                       body={"message": f"run {i}", "sessionKey": f"moment{lane}", "queueMode": "followup", "stream": True})
                for n, (_, _, event) in enumerate(stream):
                    if n == i % 4 or event.get("phase") == "end":
                        break
                status, _, answer = self.node.post("/v1/agents/main/runs", {"message": f"behind {i}", "sessionKey": f"moment{lane}",
                                                                            "queueMode": "followup"})
                self.assertEqual(status, 202, answer)
                stream.close()
                states.append(answer["status"])
                runs += [event["runId"], answer["runId"]]
                self.assertEqual(self.node.wait(answer["runId"], 10000)["status"], "ok", (i, answer))
            self.assert_completed_in_order(f"moment{lane}", runs)
            return states
        states = set(sum(at_once([lambda n=n: rounds(n) for n in range(4)]), []))
        self.assertLessEqual({"queued", "running"}, states)  # both sides of the moment were met

    def test_a_slow_session_blocks_nobody(self):
        hold = self.asked("[hang] hold", "slow")
        behind = [self.post(f"behind {i}", "slow") for i in range(10)]
        others = at_once([lambda i=i: self.insist("quick", f"quick{i}") for i in range(20)])
        for r in others:
            self.assertEqual(self.node.wait(r, 20000)["status"], "ok")
        self.assertEqual((self.state(hold), self.state(behind[0])), ("running", "queued"))
        self.assertEqual(self.ask("run.why", run=behind[0])["other"], hold)
        self.cancel(hold)
        for r in behind:
            self.assertEqual(self.node.wait(r)["status"], "ok")
        self.assertEqual(self.said("slow"), [hold] + behind)

    def test_followups_do_not_starve_what_comes_in(self):
        first = self.asked("[delay 500] first", "inbound")
        with self.node.model_stopped():
            follow = [self.post(f"follow {i}", "inbound") for i in range(10)]
            steer = self.post("rather this", "inbound", "steer")
        self.assertEqual(self.node.wait(steer)["mergedInto"], first)
        for r in follow:
            self.assertEqual(self.node.wait(r)["status"], "ok")
        self.assertEqual(self.said("inbound"), [first, steer] + follow)

    def test_no_delay_is_no_wait(self):
        status, _, answer = self.node.post("/v1/agents/main/runs", {"message": "now", "sessionKey": "no-delay", "delayMs": 0})
        self.assertEqual((status, answer["status"]), (202, "running"))
        self.assertEqual(self.node.wait(answer["runId"])["status"], "ok")
        self.assertIsNone(self.ended(answer["runId"])["due_at"])

    def test_what_waits_under_a_pause_may_expire_and_be_cancelled(self):
        tenant = int(self.node.sql("SELECT tenant_id FROM tb.tenants WHERE slug = 'default'"))
        self.assertTrue(self.ask("queue.pause", scope="tenant", tenant=tenant)["changed"])
        try:
            late = self.post("too late", "paused", deadlineMs=300)
            never, stays = self.post("never", "paused"), self.post("stays", "paused")
            self.assertEqual(self.cancel(never), (200, "cancelled"))
            row = self.ended(late, 20)
            self.assertEqual((row["result"], row["error_code"], row["attempts"]), ("timed_out", "deadline", 0))
            self.assertEqual(self.state(stays), "queued")
        finally:
            self.assertTrue(self.ask("queue.resume", scope="tenant", tenant=tenant)["changed"])
        self.assertEqual(self.node.wait(stays)["status"], "ok")
        self.assertEqual(self.said("paused"), [stays])

    def test_cancel_in_the_pause_between_two_tries(self):
        retries = self.node.log().count("event=model-retry")
        run = self.post("[status 500][retry-after 7] x", "try-pause")
        wait_for(lambda: self.node.log().count("event=model-retry") > retries)
        asked, began = self.node.model_stats()["requests"], time.monotonic()
        self.assertEqual(self.state(run), "running")
        self.assertEqual(self.cancel(run), (202, "cancelling"))
        self.assertEqual(self.node.wait(run, 20000)["status"], "cancelled")
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(self.node.model_stats()["requests"], asked)

    def test_abort_timeout_and_redrive(self):
        """An aborted run and one whose provider times out let go of their lane; the dead one's redrive is its heir, at the lane's end."""
        agent = self.agent(queueCap=30)
        hold = self.asked("[hang] hold", "heir", agent=agent)
        dead, after = self.post("[status 408 3] once more", "heir", agent=agent), self.post("after it", "heir", agent=agent)
        self.node.sql(f"UPDATE tb.agent_run_queue SET max_attempts = 1 WHERE run_id = '{dead}'")
        self.assertEqual(self.cancel(hold)[0], 202)
        self.assertEqual(self.node.wait(dead)["status"], "error")
        self.assertEqual(self.node.wait(after)["status"], "ok")
        row = self.ended(dead)
        self.assertEqual((row["result"], row["error_code"]), ("dead", "model_timeout"))
        hold2 = self.asked("[hang] hold again", "heir", agent=agent)
        before = self.post("before the heir", "heir", agent=agent)
        again = self.ask("dead.redrive", run=dead, tenant=1)["redriven"][0]["as"]
        last = self.post("last", "heir", agent=agent)
        self.assertEqual(self.cancel(hold2)[0], 202)
        for r in (before, again, last):
            self.assertEqual(self.node.wait(r)["status"], "ok")
        heir = self.ended(again)
        self.assertEqual((heir["retry_of"], heir["attempts"], heir["crashes"]), (dead, 1, 0))
        for what in ("session_id", "agent_id", "user_id", "kind"):
            self.assertEqual(heir[what], row[what], what)
        self.assertEqual(self.said("heir"), [hold, dead, after, hold2, before, again, last])
        content = {m["run_id"]: m["content"] for m in self.transcript(again) if m["role"] == "user"}
        self.assertEqual(content[again], content[dead])
        self.assertIn("echo: once more", json.dumps(self.node.get(f"/v1/runs/{again}")[2]))

    # ---- deaths

    def test_a_retry_keeps_lane_and_configuration(self):
        """Neither the worker it is moved off nor the one that dies is an attempt of it."""
        agent = self.agent(queueCap=30)
        run = self.post("[status 503 1][retry-after 9]" + STORE % ("kept", "keeps.md") + " go", "keeps", agent=agent, priority=7)
        follow = self.post("behind it", "keeps", agent=agent)
        wait_for(lambda: self.state(run) == "retry_wait")
        held = self.hold_memory()
        self.node.sql("INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by) SELECT tenant_id, agent_id, 2,"
                      f" '{{}}', 'test' FROM tb.agents WHERE name = '{agent}'; UPDATE tb.agents SET revision = 2 WHERE name = '{agent}'")
        wait_for(lambda: self.calls(run) == [("memory_store", "running")], 40)
        session = self.node.sql("SELECT session_id FROM tb.agent_sessions WHERE session_key = 'keeps'")
        here, _ = self.worker_of(run)
        slot = self.ask("worker.pin", session=session, worker=1 - here)["slot"]
        with self.node.model_stopped():
            held.release()
            wait_for(lambda: self.worker_of(run)[0] == 1 - here)
            os.kill(self.worker_of(run)[1], signal.SIGKILL)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        row = self.ended(run)
        self.assertEqual((row["attempts"], row["crashes"], row["agent_revision"], row["lane_seq"]), (2, 1, 1, 1))
        self.assertEqual(self.lines("keeps.md"), ["kept"])
        self.assertEqual(self.node.wait(follow)["status"], "ok")
        self.assertEqual((self.ended(follow)["attempts"], self.ended(follow)["agent_revision"]), (1, 2))
        self.assertEqual(self.said("keeps"), [run, follow])
        self.ask("worker.pin", slot=slot, worker=None)

    def test_counters_match_while_workers_are_killed(self):
        """Random programs: each lane's messages append to objects that all lanes share, each message is posted twice by its client."""
        seed = int(os.environ.get("TB_SEED", time.time_ns() % 1000000))
        print(f"TB_SEED={seed}", file=sys.stderr)
        dice = random.Random(seed)
        programs = [[[(f"l{lane}m{m}c{c}", f"object{dice.randrange(5)}.md") for c in range(dice.randint(1, 3))] for m in range(6)]
                    for lane in range(6)]
        runs = {}

        def client(lane):
            for m, calls in enumerate(programs[lane]):
                message = "[delay 150]" + "".join(STORE % c for c in calls) + " go"
                first, second = (self.insist(message, f"counter{lane}", key=f"{seed}-{lane}-{m}") for _ in range(2))
                self.assertEqual(first, second)
                runs[lane, m] = first
            for m in range(6):
                self.assertEqual(self.wait_whatever_happens(runs[lane, m])["status"], "ok")

        def killer():
            for kill, calls in enumerate((5, 15, 25)):
                wait_for(lambda: int(self.node.sql("SELECT count(*) FROM tb.tool_executions WHERE state = 'completed'"
                                                   " AND input->>'path' LIKE 'object%'")) >= calls, 60)
                self.node.kill("worker", kill % 2)
                self.ready_again()
        at_once([lambda n=n: client(n) for n in range(6)] + [killer])
        self.assertGreater(sum(self.starts(f"counter{n}") for n in range(6)), len(runs))  # the kills met runs
        wanted = {}
        for line, path in itertools.chain(*(calls for program in programs for calls in program)):
            wanted.setdefault(path, []).append(line)
        for path, lines in wanted.items():
            written = self.lines(path)
            self.assertEqual(sorted(written), sorted(lines), path)
            for lane in range(6):  # one lane's calls arrive in its order
                self.assertEqual([w for w in written if w.startswith(f"l{lane}m")], [w for w in lines if w.startswith(f"l{lane}m")], path)

    def test_no_lane_stays_busy_when_its_runner_dies(self):
        """Lanes as full as they may be, of every mode, and all workers are killed."""
        lanes = {}
        for mode in ("followup", "steer", "collect"):
            head = self.asked(f"[hang 1] {mode}", f"full-{mode}")
            lanes[mode] = [head] + at_once([lambda m=mode, i=i: self.insist(f"{m} {i}", f"full-{m}", mode=m) for i in range(20)])
        for pid in self.node.pids()["worker"]:
            os.kill(pid, signal.SIGKILL)
        for mode, runs in lanes.items():
            wait_for(lambda: len(self.results(runs)) == 21, 60)
            ends = self.results(runs)
            self.assertEqual((ends[runs[0]]["result"], ends[runs[0]]["attempts"]), ("completed", 1))
            self.assertGreater(self.starts(f"full-{mode}"), len([r for r in ends.values() if r["started_at"]]))
            allowed = {"completed"} if mode == "followup" else {"completed", "superseded"}
            self.assertLessEqual({r["result"] for r in ends.values()}, allowed, mode)
            self.assertEqual(self.said(f"full-{mode}"), sorted(runs, key=lambda r: ends[r]["lane_seq"]))
            self.assertEqual(self.node.wait(self.post("still there?", f"full-{mode}"))["status"], "ok")

    def test_a_stopped_worker_has_no_second_effect(self):
        """It wakes when its lane has a newer fence: what it holds of the run is worth nothing."""
        run = self.asked("[delay 500]" + STORE % ("zombie", "zombie.md") + " go", "zombie")
        with self.node.model_stopped():
            pid = self.worker_of(run)[1]
            fence = int(self.node.sql(f"SELECT fence FROM tb.agent_run_queue WHERE run_id = '{run}'"))
            os.kill(pid, signal.SIGSTOP)
            self.node.sql("UPDATE tb.lanes SET fence = fence + 1 WHERE session_id = (SELECT session_id FROM tb.agent_run_queue"
                          f" WHERE run_id = '{run}'); UPDATE tb.agent_run_queue SET fence = fence + 1 WHERE run_id = '{run}'")
            os.kill(pid, signal.SIGCONT)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.lines("zombie.md"), ["zombie"])
        self.assertEqual(self.roles(run), ["user", "assistant", "tool", "assistant"])
        self.assertEqual(self.starts("zombie"), fence + 2)
        self.assertIn(pid, self.node.pids()["worker"])  # it lives and works on
        self.assertEqual(self.ended(run)["crashes"], 0)

    def test_a_worker_that_stays_stopped(self):
        self.node.wait(self.insist("hello", "elsewhere"))
        slot = int(self.node.sql("SELECT slot FROM tb.agent_sessions WHERE session_key = 'elsewhere'"))
        run = self.asked("[delay 500]" + STORE % ("stays", "stopped.md") + " go", "stopped")
        with self.node.model_stopped():
            ordinal, pid = self.worker_of(run)
            self.ask("worker.pin", slot=slot, worker=1 - ordinal)
            os.kill(pid, signal.SIGSTOP)
        self.assertEqual(self.node.wait(self.insist("meanwhile", "elsewhere"), 4000)["status"], "ok")
        self.assertEqual(self.state(run), "running")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertNotIn(pid, self.node.pids()["worker"])
        self.assertEqual((self.lines("stopped.md"), self.ended(run)["attempts"]), (["stays"], 1))
        self.assertIn(self.starts("stopped"), (2, 3))  # again elsewhere; and once more when its own worker is back
        self.ask("worker.pin", slot=slot, worker=None)

    def test_a_stop_in_the_middle_of_everything(self):
        """SIGTERM while clients post and runs start and end: what was accepted goes on after the start."""
        accepted = {lane: [] for lane in range(6)}

        def client(lane):
            while True:
                try:
                    status, _, answer = self.node.post("/v1/agents/main/runs", {"message": "[delay 60] go on", "sessionKey": f"stop{lane}",
                                                                                "queueMode": "followup"})
                except AWAY:
                    return
                if status == 202:
                    accepted[lane].append(answer["runId"])
                elif answer["error"]["code"] != "lane_full":
                    return

        def stop():
            wait_for(lambda: min(len(runs) for runs in accepted.values()) >= 8)
            self.assertEqual(self.node.stop(signal.SIGTERM), 0)
        at_once([lambda n=n: client(n) for n in accepted] + [stop])
        runs = sum(accepted.values(), [])
        self.assertGreater(int(self.node.sql("SELECT count(*) FROM tb.agent_run_queue WHERE state = 'queued'")), 0)
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.agent_run_queue WHERE state <> 'queued'"), "0")
        self.restart()
        wait_for(lambda: len(self.results(runs)) == len(runs), 60)
        for lane, mine in accepted.items():
            said = self.said(f"stop{lane}")  # a run whose acceptance was not heard of may be among them
            self.assertEqual([r for r in said if r in set(mine)], mine)
        self.assertEqual({(r["result"], r["attempts"], r["crashes"]) for r in self.results(runs).values()}, {("completed", 1, 0)})

    def test_a_killed_supervisor_forgets_nothing(self):
        """Fifty queued, five at their models, one put off, one to be retried; who waits for an end hears of it."""
        later = self.post("later", "lost-later", delayMs=3600000)
        retried = self.post("[status 429 1][retry-after 10] again", "lost-retry", model="openai/limited")
        wait_for(lambda: self.state(retried) == "retry_wait")
        due = self.node.sql(f"SELECT run_at FROM tb.agent_run_queue WHERE run_id = '{retried}'")
        lanes = {f"lost{n}": [self.asked(f"[hang 1] {n}", f"lost{n}")] for n in range(5)}
        for session, runs in lanes.items():
            runs += at_once([lambda s=session: self.insist(f"{uuid.uuid4()}", s)] * 10)
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.agent_run_queue WHERE state = 'queued'"), "50")

        def kill():
            self.node.daemon.kill()
            self.node.daemon.wait()
            self.restart()
        answers = at_once([lambda r=r: self.wait_whatever_happens(r) for r in sum(lanes.values(), [])] + [kill])[:-1]
        self.assertEqual({a["status"] for a in answers}, {"ok"})
        for session, runs in lanes.items():
            ends = self.results(runs)
            self.assert_completed_in_order(session, sorted(runs, key=lambda r: ends[r]["lane_seq"]))
            self.assertEqual({r["attempts"] for r in ends.values()}, {1})
        self.assertEqual(self.state(later), "scheduled")
        self.assertEqual(self.cancel(later), (200, "cancelled"))
        self.assertEqual(self.node.wait(retried)["status"], "ok")
        self.assertEqual(self.ended(retried)["attempts"], 2)
        early = self.node.sql(f"SELECT count(*) FROM tb.usage_ledger WHERE run_id = '{retried}' AND at < '{due}'")
        self.assertEqual(early, "0")


if __name__ == "__main__":
    unittest.main()
