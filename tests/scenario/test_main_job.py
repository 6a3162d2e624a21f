# SPDX-License-Identifier: Apache-2.0
"""The main job through the real programs: one message in, events and an answer out, every row in Postgres."""
import json
import os
import sys
import threading
import unittest

from invariants import violations
from node import Node, wait_for


def text_of(events):
    """What a reader of the stream has in the end: the contents joined, a reset voids the answer being built."""
    parts = []
    for _, _, e in events:
        if e["type"] != "assistant":
            continue
        if e.get("metadata", {}).get("reset"):
            while parts and parts[-1] is not None:
                parts.pop()
            continue
        parts.append(e.get("content", ""))
        if "metadata" in e:
            parts.append(None)
    return "".join(p for p in parts if p)


class WithNode(unittest.TestCase):
    """A class has a node of its own; where its module says `together`, one with those beside it whose node is made of the same, but for
    one that must be `alone`."""
    model = "offline"
    env = {}
    workers = 1
    as_root = False
    alone = False

    @classmethod
    def setUpClass(cls):
        module = sys.modules[cls.__module__]
        is_shared = getattr(module, "together", False) and not cls.alone
        nodes = vars(module).setdefault("nodes", {}) if is_shared else {}
        made_of = repr((cls.model, cls.env, cls.workers, cls.as_root))
        if made_of not in nodes:
            node = Node(model=cls.model, env=cls.env, workers=cls.workers, migrated=True, as_root=cls.as_root)
            (unittest.addModuleCleanup if is_shared else cls.addClassCleanup)(node.close)
            nodes[made_of] = node.start()
        cls.node = nodes[made_of]

    def tearDown(self):
        wait_for(lambda: self.node.sql("SELECT count(*) FROM tb.agent_run_queue") == "0", 60)
        self.assertEqual(violations(self.node), {})

    def run_row(self, run):
        return self.node.rows(f"SELECT * FROM tb.agent_runs WHERE run_id = '{run}'")[0]


class Offline(WithNode):
    def test_the_main_job_leaves_its_rows(self):
        n = self.node
        p = n.ctl("send", "--json", "--session", "job", "remember that the deploy is on Tuesday")
        self.assertEqual(p.returncode, 0, p.stderr)
        events = [json.loads(l) for l in p.stdout.splitlines()]
        self.assertEqual([e["type"] for e in events][0], "lifecycle")
        self.assertEqual(events[-1]["metadata"]["result"], "completed")
        run = events[0]["runId"]
        messages = n.rows(f"SELECT role, step, content FROM tb.session_messages WHERE run_id = '{run}' ORDER BY seq")
        self.assertEqual([m["role"] for m in messages], ["user", "assistant", "tool", "assistant"])
        self.assertEqual(messages[0]["content"]["blocks"][0]["text"], "remember that the deploy is on Tuesday")
        self.assertIn("Tuesday", messages[3]["content"]["blocks"][0]["text"])
        tools = n.rows(f"SELECT tool, state, effect, attempt, input, output FROM tb.tool_executions WHERE run_id = '{run}'")
        self.assertEqual(len(tools), 1)
        self.assertEqual((tools[0]["tool"], tools[0]["state"], tools[0]["effect"]), ("memory_store", "completed", "keyed"))
        self.assertEqual(tools[0]["input"], {"text": "- the deploy is on Tuesday"})
        row = self.run_row(run)
        self.assertEqual((row["result"], row["steps"], row["tool_calls"], row["attempts"], row["crashes"]),
                         ("completed", 2, 1, 1, 0))
        self.assertIn("the deploy is on Tuesday", n.sql("SELECT body FROM tb.agent_memory_entries WHERE path = 'MEMORY.md'"))
        usage = n.rows(f"SELECT step FROM tb.usage_ledger WHERE run_id = '{run}' ORDER BY step")
        self.assertEqual([u["step"] for u in usage], [1, 2])

    def test_what_was_remembered_is_found_in_another_session(self):
        self.node.run("remember that the cellar key hangs behind the clock", session="a")
        _, events = self.node.run("what do you know about the cellar?", session="b")
        self.assertIn("behind the clock", text_of(events))

    def test_the_stream_is_the_stored_events(self):
        run, events = self.node.run("hello", session="stream")
        stored = self.node.rows(f"SELECT ev_seq, type, body FROM tb.run_events WHERE run_id = '{run}' ORDER BY ev_seq")
        self.assertEqual(sorted({e["seq"] for _, _, e in events}), [s["ev_seq"] for s in stored])
        whole = [s["body"]["content"] for s in stored if s["type"] == "assistant"]
        self.assertEqual(text_of(events), "".join(whole))
        replayed = self.node.events(run)
        self.assertEqual(text_of(replayed), text_of(events))

    def test_a_stream_goes_on_from_any_event(self):
        run, events = self.node.run("hello again", session="resume")
        whole = text_of(events)
        shown = ""
        for id, _, e in events[:-1]:
            shown += e.get("content", "")
            rest = self.node.events(run, last=id)
            self.assertEqual(shown + text_of(rest), whole, f"after {id}")
            self.assertEqual(rest[-1][2]["phase"], "end")

    def test_wait_and_get(self):
        run = self.node.enqueue("remember milk", session="w")
        answer = self.node.wait(run)
        self.assertEqual(answer["status"], "ok")
        self.assertIn("milk", json.dumps(answer["result"]))
        status, _, got = self.node.get(f"/v1/runs/{run}")
        self.assertEqual((status, got["runId"]), (200, run))

    def test_the_same_key_is_the_same_run(self):
        h = {"Idempotency-Key": "k-1"}
        first = self.node.enqueue("hello", session="idem", headers=h)
        self.assertEqual(self.node.enqueue("hello", session="idem", headers=h), first)
        status, _, e = self.node.post("/v1/agents/main/runs", {"message": "other", "sessionKey": "idem"}, headers=h)
        self.assertEqual((status, e["error"]["code"]), (422, "idempotency_mismatch"))

    def test_terabitsctl_chat(self):
        p = self.node.ctl("chat", input="remember that Ada likes tea\nwhat do you know about Ada?\n")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("Ada likes tea", p.stdout)


class Fake(WithNode):
    model = "fake"

    def test_the_same_through_an_http_model(self):
        run, events = self.node.run('[tool memory_store {"text":"- over HTTP"}] please', session="http")
        self.assertEqual([(e["toolName"], e["toolState"]) for _, t, e in events if t == "tool"],
                         [("memory_store", "running"), ("memory_store", "completed")])
        self.assertTrue(text_of(events).startswith("done: "))
        self.assertEqual(self.run_row(run)["result"], "completed")
        asked = self.node.fake_get("/last")
        self.assertEqual([m["role"] for m in asked["messages"]][-3:], ["user", "assistant", "tool"])
        self.assertTrue(asked["stream"])

    def test_calls_of_one_answer(self):
        run, events = self.node.run('[tool memory_get {}][tool memory_store {"text":"x"}][tool memory_get {"path":"none.md"}]'
                                    '[tool nonsense {}][tool memory_store {"txet":1}][tool memory_get notjson] go', session="many")
        rows = self.node.rows(f"SELECT call_no, tool, state FROM tb.tool_executions WHERE run_id = '{run}' ORDER BY call_no")
        self.assertEqual([(r["tool"], r["state"]) for r in rows][1:],
                         [("memory_store", "completed"), ("memory_get", "error"), ("nonsense", "error"), ("memory_store", "error"),
                          ("memory_get", "error")])
        self.assertEqual(self.run_row(run)["result"], "completed")

    def test_excess_calls_are_refused_and_the_run_ends(self):
        run, _ = self.node.run("[loop memory_get {}] again", session="loop")
        row = self.run_row(run)
        self.assertEqual((row["result"], row["error_code"]), ("failed", "tool_loop"))
        done = self.node.sql(f"SELECT count(*) FROM tb.tool_executions WHERE run_id = '{run}' AND state = 'completed'")
        self.assertLessEqual(int(done), 10)

    def test_a_failing_model(self):
        cases = {"[status 400] x": "model_bad_request", "[status 401] x": "model_auth"}
        for message, code in cases.items():
            run, events = self.node.run(message, session="fail")
            row = self.run_row(run)
            self.assertEqual((row["result"], row["error_code"]), ("failed", code))
            self.assertEqual([e["type"] for _, _, e in events][-2:], ["error", "lifecycle"])
            self.assertEqual(self.node.wait(run)["status"], "error")

    def test_a_model_that_recovers(self):
        for i, message in enumerate(("[status 500 1] one", "[status 429 1] two", "[cut 2 1] three little words", "[cut 0 1] four")):
            run, events = self.node.run(message, session=f"recover{i}")
            self.assertEqual(self.run_row(run)["result"], "completed", message)
            self.assertEqual(text_of(events), "echo: " + message.split("] ")[1])

    def test_what_was_shown_before_a_cut_is_void(self):
        run, events = self.node.run("[pause 60][cut 3 1] these words come twice", session="void")
        self.assertTrue(any(e.get("metadata", {}).get("reset") for _, _, e in events))
        self.assertEqual(text_of(events), "echo: these words come twice")
        self.assertEqual(text_of(self.node.events(run)), "echo: these words come twice")

    def test_a_large_answer_streams_whole(self):
        _, events = self.node.run("[size 200000][chunks 9] x", session="large")
        self.assertEqual(len(text_of(events)), 200000)

    def test_a_lane_is_serial_and_in_order(self):
        runs = [self.node.enqueue(f"[delay 5] message {i}", session="lane", mode="followup") for i in range(15)]
        for r in runs:
            self.assertEqual(self.node.wait(r)["status"], "ok")
        order = self.node.rows("SELECT m.run_id FROM tb.session_messages m JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                               " WHERE s.session_key = 'lane' AND m.role = 'user' ORDER BY seq")
        self.assertEqual([o["run_id"] for o in order], runs)

    def test_a_full_lane_refuses(self):
        before = self.node.model_stats()["requests"]
        first = self.node.enqueue("[hang] hold", session="full")
        wait_for(lambda: self.node.model_stats()["requests"] > before)  # until then it takes what comes
        for i in range(20):
            self.node.enqueue("x", session="full")
        status, head, e = self.node.post("/v1/agents/main/runs", {"message": "x", "sessionKey": "full"})
        self.assertEqual((status, e["error"]["code"]), (429, "lane_full"))
        self.assertGreaterEqual(int(head["retry-after"]), 1)
        self.assertEqual(self.node.post(f"/v1/runs/{first}/cancel")[0], 202)

    def test_many_lanes_at_once(self):
        failures = []

        def one(i):
            try:
                _, events = self.node.run(f"[chunks 3] lane {i}", session=f"wide{i}")
                if text_of(events) != f"echo: lane {i}":
                    failures.append((i, text_of(events)))
            except Exception as e:  # noqa: BLE001 - reported by the assertion below
                failures.append((i, repr(e)))
        threads = [threading.Thread(target=one, args=(i,)) for i in range(60)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])

    def test_secrets_stay_where_they_belong(self):
        self.node.run("hello", session="secrets")
        places = [self.node.log()]
        for pid in sum(self.node.pids().values(), []):
            for name in ("environ", "cmdline"):
                try:
                    with open(f"/proc/{pid}/{name}", errors="replace") as f:
                        places.append(f.read())
                except PermissionError:  # not dumpable: only root may look
                    self.assertNotEqual(os.getuid(), 0)
        for role in ("tb_supervisor", "tb_edge", "tb_worker"):
            with open(os.path.join(self.node.state, "secrets", role)) as f:
                password = f.read().split("password=")[1].split()[0].strip("'")
            self.assertFalse(any(password in p for p in places), role)
        self.assertFalse(any("test-key" in p for p in places))
        self.assertFalse(any(self.node.token().rsplit(".", 1)[1] in p for p in places))


if __name__ == "__main__":
    unittest.main()
