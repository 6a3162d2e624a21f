# SPDX-License-Identifier: Apache-2.0
"""What happens to a message that finds its lane busy, or its model failing: it is taken, waits, interrupts, is dropped, put off,
cancelled or expires; each accepted message ends exactly once."""
import json
import os
import subprocess
import time
import unittest
import uuid

from node import wait_for
from test_main_job import WithNode, text_of

together = True  # the classes share a node: one process

SKIPPED = "Skipped to process an incoming message."
STORE = '[tool memory_store {"text":"%s","path":"%s"}]'


class HeldTable:
    """While it is held nobody else reads or writes it; mode EXCLUSIVE: nobody writes."""

    def __init__(self, node, table, mode="ACCESS EXCLUSIVE"):
        psql = os.path.join(node.cluster.bin, "psql")
        self.session = subprocess.Popen([psql, "-X", "-q", "-At", "-h", node.cluster.socket, "-U", "postgres", "terabits"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.session.stdin.write(f"BEGIN; LOCK TABLE {table} IN {mode} MODE; SELECT 'held';\n")
        self.session.stdin.flush()
        if self.session.stdout.readline() != "held\n":
            raise AssertionError(f"{table} could not be locked")

    def release(self):
        if self.session.poll() is None:
            self.session.communicate("ROLLBACK;\n", timeout=10)


class WithQueue(WithNode):
    model = "fake"

    def post(self, message, session, mode="followup", agent="main", **options):
        status, _, answer = self.node.post(f"/v1/agents/{agent}/runs",
                                           {"message": message, "sessionKey": session, "queueMode": mode, **options})
        self.assertEqual(status, 202, answer)
        return answer["runId"]

    def cancel(self, run):
        """The HTTP status, and what the body says: its status, or the error's code."""
        status, _, answer = self.node.post(f"/v1/runs/{run}/cancel")
        return status, answer["error"]["code"] if "error" in answer else answer["status"]

    def asked(self, message, session, **options):
        """Posts it, and returns when the model was asked."""
        before = self.node.model_stats()["requests"]
        run = self.post(message, session, **options)
        wait_for(lambda: self.node.model_stats()["requests"] > before)
        return run

    def state(self, run):
        return self.node.sql(f"SELECT state FROM tb.agent_run_queue WHERE run_id = '{run}'")

    def ended(self, run, seconds=60):
        """Its row in the archive, once it is there."""
        rows = wait_for(lambda: self.node.rows(f"SELECT * FROM tb.agent_runs WHERE run_id = '{run}'"), seconds)
        return rows[0]

    def transcript(self, run):
        """The messages of that run's session."""
        return self.node.rows("SELECT m.seq, m.role, m.run_id, m.content FROM tb.session_messages m WHERE (tenant_id, session_id) ="
                              " (SELECT tenant_id, session_id FROM (SELECT tenant_id, session_id, run_id FROM tb.agent_runs UNION ALL"
                              f" SELECT tenant_id, session_id, run_id FROM tb.agent_run_queue) r WHERE run_id = '{run}') ORDER BY seq")

    def roles(self, run):
        return [m["role"] for m in self.transcript(run)]

    def calls(self, run):
        return [(r["tool"], r["state"]) for r in self.node.rows(
            f"SELECT tool, state FROM tb.tool_executions WHERE run_id = '{run}' ORDER BY step, call_no")]

    def user_messages(self, run):
        return int(self.node.sql(f"SELECT count(*) FROM tb.session_messages WHERE role = 'user' AND run_id = '{run}'"))

    def assert_taken(self, run, into):
        row = self.ended(run)
        self.assertEqual((row["result"], row["merged_into"]), ("superseded", into))
        self.assertEqual(self.user_messages(run), 1)
        events = self.node.rows(f"SELECT ev_seq, type, body FROM tb.run_events WHERE run_id = '{run}' ORDER BY ev_seq")
        self.assertEqual([(e["ev_seq"], e["type"]) for e in events], [(1, "lifecycle")])
        self.assertEqual(events[0]["body"]["metadata"], {"result": "superseded", "mergedInto": into})

    def agent(self, **config):
        """An agent of its own, with that configuration."""
        id, name = uuid.uuid4(), "agent-" + uuid.uuid4().hex[:8]
        settings = json.dumps(config).replace("'", "''")
        self.node.sql(f"INSERT INTO tb.agents (tenant_id, agent_id, name, revision) VALUES (1, '{id}', '{name}', 1);"
                      " INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by)"
                      f" VALUES (1, '{id}', 1, '{settings}', 'test');"
                      f" INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile) VALUES (1, '{id}', 'full')")
        return name

    def hold_memory(self):
        """Nobody's memory is written; runs begin by reading theirs."""
        return self.hold("tb.agent_memory_entries", "EXCLUSIVE")

    def hold(self, table, mode="ACCESS EXCLUSIVE"):
        held = HeldTable(self.node, table, mode)
        self.addCleanup(held.release)
        return held


class Steer(WithQueue):
    seconds = 30

    def test_a_memory_that_is_held_is_waited_for(self):
        """And nobody else waits meanwhile, on the same worker; it may be cancelled."""
        held = self.hold_memory()
        run = self.post(STORE % ("late", "held.md") + " go", "held")
        wait_for(lambda: self.calls(run) == [("memory_store", "running")])
        began = time.monotonic()
        other = self.post("[delay 1500] beside it", "held-not")
        self.assertEqual(self.node.wait(other)["status"], "ok")
        self.assertLess(time.monotonic() - began, 8)
        self.assertEqual(self.calls(run), [("memory_store", "running")])
        given_up = self.post(STORE % ("never", "held.md") + " go", "held-cancelled")
        wait_for(lambda: self.calls(given_up) == [("memory_store", "running")])
        self.cancel(given_up)
        self.assertEqual(self.ended(given_up)["result"], "cancelled")
        held.release()
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.calls(run), [("memory_store", "completed")])
        self.assertEqual(self.node.sql("SELECT string_agg(body, '') FROM tb.agent_memory_entries WHERE path = 'held.md'").strip(), "late")

    def test_into_a_run_with_tools(self):
        held = self.hold_memory()
        run = self.post(STORE % ("one", "steer-1.md") + STORE % ("two", "steer-2.md") + " go", "steer")
        wait_for(lambda: self.calls(run) == [("memory_store", "running"), ("memory_store", "pending")])
        steer = self.post("rather this", "steer", "steer")
        held.release()
        answer = self.node.wait(steer)
        self.assertEqual((answer["status"], answer["mergedInto"]), ("ok", run))
        self.assertIn("echo: rather this", json.dumps(answer["result"]))
        self.assertEqual(self.ended(run)["result"], "completed")
        self.assert_taken(steer, run)
        self.assertEqual(self.calls(run), [("memory_store", "completed"), ("memory_store", "cancelled")])
        messages = self.transcript(run)
        self.assertEqual([m["role"] for m in messages], ["user", "assistant", "tool", "tool", "user", "assistant"])
        self.assertEqual([m["run_id"] for m in messages], [run, run, run, run, steer, run])
        skipped = messages[3]["content"]["blocks"][0]
        self.assertEqual((skipped["text"], skipped["isError"]), (SKIPPED, True))
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.agent_memory_entries WHERE path = 'steer-2.md'"), "0")
        self.assertEqual(self.ended(steer)["input_seq"], messages[4]["seq"])
        asked = self.node.fake_get("/last")
        self.assertEqual([m["role"] for m in asked["messages"]][-5:], ["user", "assistant", "tool", "tool", "user"])

    def test_while_the_model_thinks(self):
        run = self.asked("[pause 100]" + STORE % ("x", "thinks.md") + " go", "thinks")
        steers = [self.post(f"rather {i}", "thinks", "steer") for i in range(3)]
        self.assertEqual(self.node.wait(run)["status"], "ok")
        for s in steers:
            self.assert_taken(s, run)
        self.assertEqual(self.calls(run), [("memory_store", "cancelled")])
        self.assertEqual(self.roles(run), ["user", "assistant", "tool", "user", "user", "user", "assistant"])
        self.assertEqual([m["run_id"] for m in self.transcript(run)][3:6], steers)

    def test_before_the_final_answer(self):
        run = self.asked("[delay 300] first", "final")
        with self.node.model_stopped():
            steer = self.post("second", "final", "steer")
        events = self.node.events(run)
        self.assertEqual(text_of(events), "echo: firstecho: second")
        self.assert_taken(steer, run)
        self.assertEqual(self.roles(run), ["user", "assistant", "user", "assistant"])
        self.assertEqual(self.ended(run)["output_seq"], 4)

    def test_as_a_run_ends(self):
        """The model's delay follows the outcome, so that the steer always arrives about when the run ends."""
        delay, into = 10, {}
        runs = []
        for i in range(300):
            run = self.post(f"[delay {delay}] run {i}", f"edge{i % 7}")
            steer = self.post(f"steer {i}", f"edge{i % 7}", "steer")
            answer = self.node.wait(steer)
            self.assertEqual(answer["status"], "ok")
            self.assertIn(answer.get("mergedInto"), (None, run))
            runs += [run, steer]
            into[steer] = answer.get("mergedInto")
            delay = max(0, delay + (-2 if into[steer] else 2))
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0")
        mine = "run_id IN (" + ",".join(f"'{r}'" for r in runs) + ")"
        ends = {r["run_id"]: r for r in self.node.rows(f"SELECT run_id, result, merged_into FROM tb.agent_runs WHERE {mine}")}
        self.assertEqual(set(ends), set(runs))
        for r in runs:
            want = ("superseded", into[r]) if into.get(r) else ("completed", None)
            self.assertEqual((ends[r]["result"], ends[r]["merged_into"]), want)
        said = self.node.rows(f"SELECT run_id FROM tb.session_messages WHERE role = 'user' AND {mine}")
        self.assertEqual(sorted(m["run_id"] for m in said), sorted(runs))
        self.assertIn(None, into.values())
        self.assertGreater(len([x for x in into.values() if x]), 0)

    def test_a_worker_killed_after_it_took(self):
        run = self.asked("[delay 300] first", "kill-taken")
        with self.node.model_stopped():
            steer = self.post("[pause 400] second answer in words", "kill-taken", "steer")
        self.ended(steer)
        with self.node.model_stopped():
            self.node.kill("worker")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assert_taken(steer, run)
        self.assertEqual(self.roles(run), ["user", "assistant", "user", "assistant"])
        self.assertEqual(text_of(self.node.events(run)), "echo: firstecho: second answer in words")
        self.assertEqual(self.ended(run)["crashes"], 1)
        follow = self.post("and after it", "kill-taken")
        self.assertEqual(self.node.wait(follow)["status"], "ok")


class Modes(WithQueue):
    def test_followups_have_runs_of_their_own(self):
        first = self.asked("[delay 200] first", "follow")
        rest = [self.post(f"follow {i}", "follow") for i in range(3)]
        for run in [first] + rest:
            self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.roles(first), ["user", "assistant"] * 4)
        self.assertEqual([m["run_id"] for m in self.transcript(first) if m["role"] == "user"], [first] + rest)

    def test_collect_makes_one_run_of_five(self):
        runs = [self.post(f"part {i}", "collect", "collect") for i in range(5)]
        answers = [self.node.wait(r) for r in runs]
        self.assertEqual({a["status"] for a in answers}, {"ok"})
        self.assertEqual({a.get("mergedInto", runs[0]) for a in answers}, {runs[0]})
        for r in runs[1:]:
            self.assert_taken(r, runs[0])
        self.assertEqual(self.ended(runs[0])["result"], "completed")
        self.assertEqual(self.roles(runs[0]), ["user"] * 5 + ["assistant"])
        self.assertEqual([m["run_id"] for m in self.transcript(runs[0])][:5], runs)
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.usage_ledger WHERE run_id = '{runs[0]}'"), "1")
        self.assertIn("echo: part 4", json.dumps(answers[0]["result"]))

    def test_interrupt(self):
        first = self.asked("[hang] first", "interrupt")
        follow = self.post("follow", "interrupt")
        now = self.post("now", "interrupt", "interrupt")
        self.assertEqual(self.node.wait(now)["status"], "ok")
        self.assertEqual(self.node.wait(follow)["status"], "ok")
        row = self.ended(first)
        self.assertEqual((row["result"], row["error_code"]), ("cancelled", "interrupted"))
        self.assertEqual(row["error"], "a newer message interrupted this run")
        self.assertEqual(self.node.wait(first)["status"], "cancelled")
        self.assertEqual([m["run_id"] for m in self.transcript(first) if m["role"] == "user"], [first, now, follow])


class Cancel(WithQueue):
    def assert_cancelled(self, run):
        self.assertEqual(self.node.wait(run, 20000)["status"], "cancelled")
        row = self.ended(run)
        self.assertEqual((row["result"], row["error_code"]), ("cancelled", "cancelled"))

    def test_a_queued_run(self):
        hold = self.asked("[hang] hold", "queued")
        run, last = self.post("never", "queued"), self.post("after", "queued")
        self.assertEqual(self.cancel(run), (200, "cancelled"))
        self.assert_cancelled(run)
        self.assertEqual(self.user_messages(run), 0)
        self.assertEqual(self.cancel(hold), (202, "cancelling"))
        self.assert_cancelled(hold)
        self.assertEqual(self.node.wait(last)["status"], "ok")

    def test_in_the_model(self):
        run = self.asked("[hang] x", "in-model")
        self.assertEqual(self.cancel(run), (202, "cancelling"))
        self.assert_cancelled(run)
        events = self.node.events(run)
        self.assertEqual(events[-1][2]["metadata"]["result"], "cancelled")
        self.assertEqual([e["type"] for _, _, e in events].count("error"), 1)
        self.assertEqual(self.roles(run), ["user"])

    def test_in_a_stream(self):
        run = self.asked("[pause 40][chunks 500][size 5000] x", "in-stream")
        self.assertEqual(self.cancel(run)[0], 202)
        self.assert_cancelled(run)

    def test_in_a_tool(self):
        held = self.hold_memory()
        run = self.post(STORE % ("one", "cancel-1.md") + STORE % ("two", "cancel-2.md") + " go", "in-tool")
        wait_for(lambda: self.calls(run) == [("memory_store", "running"), ("memory_store", "pending")])
        self.assertEqual(self.cancel(run), (202, "cancelling"))
        self.assert_cancelled(run)  # nothing is written while it is held: there is nothing to wait for
        held.release()
        self.assertEqual(self.calls(run), [("memory_store", "cancelled"), ("memory_store", "cancelled")])
        messages = self.transcript(run)
        self.assertEqual([m["role"] for m in messages], ["user", "assistant", "tool", "tool"])
        self.assertEqual(messages[3]["content"]["blocks"][0]["text"], "cancelled")

    def test_twice(self):
        run = self.asked("[hang] x", "twice")
        self.assertEqual(self.cancel(run)[0], 202)
        status, answer = self.cancel(run)
        if status == 409:  # it had ended meanwhile
            self.assertEqual(self.ended(run)["result"], "cancelled")
        else:
            self.assertEqual((status, answer), (202, "cancelling"))
        self.assert_cancelled(run)

    def test_after_the_end(self):
        run = self.post("hello", "after-end")
        self.node.wait(run)
        self.assertEqual(self.cancel(run), (409, "conflict"))
        self.assertEqual(self.ended(run)["result"], "completed")
        self.assertEqual(self.cancel("0192f3a0-0000-7000-8000-0000000000ff"), (404, "not_found"))

    def test_as_it_ends(self):
        """Whoever comes first: the answer and the archive agree, and it ends once."""
        delay, cancelled = 10, 0
        for i in range(100):
            run = self.post(f"[delay {delay}] run {i}", f"race{i % 5}")
            status, _ = self.cancel(run)
            self.assertIn(status, (200, 202, 409))
            result = self.node.wait(run)["status"]
            self.assertIn(result, ("ok",) if status == 409 else ("ok", "cancelled"))
            cancelled += result == "cancelled"
            delay = max(0, delay + (-2 if result == "cancelled" else 2))
        self.assertGreater(cancelled, 0)

    def test_of_a_run_whose_worker_died(self):
        run = self.asked("[hang] x", "died")
        self.node.kill("worker")
        self.assertEqual(self.cancel(run), (202, "cancelling"))
        self.assert_cancelled(run)


class Drops(WithQueue):
    def full(self, agent, session, waiting):
        """A lane whose model hangs, and that many runs behind it."""
        hold = self.asked("[hang] hold", session, agent=agent)
        return hold, [self.post(f"wait {i}", session, agent=agent) for i in range(waiting)]

    def test_old(self):
        agent = self.agent(queueDrop="old", queueCap=3)
        hold, waiting = self.full(agent, "old", 3)
        waiting.append(self.post("wait 3", "old", agent=agent))
        row = self.ended(waiting[0])
        self.assertEqual((row["result"], row["error_code"]), ("dropped", "lane_full"))
        self.assertEqual(self.node.wait(waiting[0])["status"], "error")
        self.cancel(hold)
        for run in waiting[1:]:
            self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual([m["run_id"] for m in self.transcript(hold) if m["role"] == "user"], [hold] + waiting[1:])

    def test_summarize(self):
        agent = self.agent(queueDrop="summarize", queueCap=2)
        hold, waiting = self.full(agent, "fold", 2)
        waiting += [self.post(f"wait {i}", "fold", agent=agent) for i in (2, 3)]
        wait_for(lambda: self.node.sql(f"SELECT count(*) FROM tb.agent_run_queue WHERE folded AND run_id IN ('{waiting[0]}',"
                                       f" '{waiting[1]}')") == "2")
        self.cancel(hold)
        for run in waiting:
            self.assertEqual(self.node.wait(run)["status"], "ok")
        first, second = self.ended(waiting[0]), self.ended(waiting[1])
        self.assertEqual([(r["result"], r["merged_into"]) for r in (first, second)], [("superseded", waiting[2])] * 2)
        self.assertEqual(first["input_seq"], second["input_seq"])
        users = [m for m in self.transcript(hold) if m["role"] == "user"]
        self.assertEqual([m["run_id"] for m in users], [hold, waiting[2], waiting[0], waiting[3]])
        self.assertEqual(users[2]["content"]["blocks"][0]["text"],
                         "Messages that arrived while this session's queue was full:\n- wait 0\n- wait 1")

    def test_reject(self):
        agent = self.agent(queueDrop="reject", queueCap=1)
        hold, waiting = self.full(agent, "reject", 1)
        status, _, answer = self.node.post(f"/v1/agents/{agent}/runs",
                                           {"message": "x", "sessionKey": "reject", "queueMode": "followup"})
        self.assertEqual((status, answer["error"]["code"]), (429, "lane_full"))
        self.cancel(hold)
        self.assertEqual(self.node.wait(waiting[0])["status"], "ok")


class Time(WithQueue):
    seconds = 30

    def test_a_failing_model_waits_in_the_queue(self):
        run = self.post("[status 500 4] at last", "retry")
        follow = self.post("behind it", "retry")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        row = self.ended(run)
        self.assertEqual((row["result"], row["attempts"], row["crashes"]), ("completed", 2, 0))
        self.assertEqual(self.node.wait(follow)["status"], "ok")
        self.assertEqual(self.node.sql(f"SELECT started_at >= '{row['finished_at']}' FROM tb.agent_runs WHERE run_id = '{follow}'"),
                         "t")  # the lane waited for it
        self.assertEqual([m["run_id"] for m in self.transcript(run)], [run, run, follow, follow])
        self.assertEqual(text_of(self.node.events(run)), "echo: at last")

    def test_what_was_shown_before_a_retry_is_void(self):
        run, events = self.node.run("[pause 30][cut 2 3] three little words", session="void-retry")
        self.assertEqual(self.ended(run)["attempts"], 2)
        self.assertEqual(text_of(events), "echo: three little words")
        self.assertEqual(text_of(self.node.events(run)), "echo: three little words")

    def test_the_last_attempt(self):
        hold = self.asked("[hang] hold", "dead")
        run = self.post("[status 500] never", "dead")
        self.node.sql(f"UPDATE tb.agent_run_queue SET max_attempts = 2 WHERE run_id = '{run}'")
        self.cancel(hold)
        self.assertEqual(self.node.wait(run)["status"], "error")
        row = self.ended(run)
        self.assertEqual((row["result"], row["error_code"], row["attempts"]), ("dead", "model_overloaded", 2))
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.dead_runs WHERE run_id = '{run}'"), "1")

    def test_a_final_error_is_not_tried_again(self):
        run = self.post("[status 400] x", "final-error")
        self.assertEqual(self.node.wait(run)["status"], "error")
        self.assertEqual((self.ended(run)["result"], self.ended(run)["attempts"]), ("failed", 1))

    def limited(self, session):
        """A run whose model limits the rate; others' models do not."""
        self.limits = self.agent(model=f"openai/limits-{session}")
        return self.post("[status 429][retry-after 3000] x", session, agent=self.limits)

    def test_cancel_while_it_waits_for_its_retry(self):
        run = self.limited("retry-cancel")
        wait_for(lambda: self.state(run) == "retry_wait")
        late = float(self.node.sql(f"SELECT extract(epoch FROM run_at - now()) FROM tb.agent_run_queue WHERE run_id = '{run}'"))
        self.assertGreater(late, 2900)
        self.assertEqual(self.cancel(run), (202, "cancelling"))
        self.assertEqual(self.node.wait(run, 20000)["status"], "cancelled")

    def test_interrupt_while_it_waits_for_its_retry(self):
        run = self.limited("retry-interrupt")
        wait_for(lambda: self.state(run) == "retry_wait")
        now = self.post("now", "retry-interrupt", "interrupt", agent=self.limits, model="openai/free")
        self.assertEqual(self.node.wait(now)["status"], "ok")
        self.assertEqual(self.ended(run)["result"], "cancelled")

    def test_a_deadline_is_no_matter_of_a_retry(self):
        run = self.post("[status 503 1][retry-after 9] again", "retry-deadline", deadlineMs=5000)
        wait_for(lambda: self.state(run) == "retry_wait")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        row = self.ended(run)
        self.assertEqual((row["result"], row["attempts"]), ("completed", 2))
        late = self.node.sql(f"SELECT finished_at > enqueued_at + interval '5 s' FROM tb.agent_runs WHERE run_id = '{run}'")
        self.assertEqual(late, "t")  # it went past its deadline on the way

    def test_a_deadline(self):
        hold = self.asked("[hang] hold", "deadline")
        run = self.post("too late", "deadline", deadlineMs=300)
        row = self.ended(run, 20)
        self.assertEqual((row["result"], row["error_code"]), ("timed_out", "deadline"))
        self.assertEqual(self.node.wait(run)["status"], "error")
        self.assertEqual(self.user_messages(run), 0)
        in_time = self.post("in time", "deadline", deadlineMs=60000)
        self.cancel(hold)
        self.assertEqual(self.node.wait(in_time)["status"], "ok")

    def test_a_delay(self):
        run = self.post("later", "delay", delayMs=1500)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.node.sql(f"SELECT due_at > enqueued_at AND started_at >= due_at FROM tb.agent_runs WHERE run_id = '{run}'"), "t")
        waited = float(self.node.sql("SELECT extract(epoch FROM started_at - enqueued_at) FROM tb.agent_runs"
                                     f" WHERE run_id = '{run}'"))
        self.assertGreater(waited, 0.5)  # counted from when the door read it, a little before it was accepted
        self.assertLess(waited, 10)

    def test_cancel_before_it_is_due(self):
        run = self.post("never", "delay-cancel", delayMs=3600000)
        self.assertEqual(self.state(run), "scheduled")
        self.assertEqual(self.cancel(run), (200, "cancelled"))
        self.assertEqual(self.node.wait(run)["status"], "cancelled")


if __name__ == "__main__":
    unittest.main()
