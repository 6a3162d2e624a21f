# SPDX-License-Identifier: Apache-2.0
"""Sessions that outgrow their model's window: compaction, memory flush, overflow, and what is still known afterwards. The fake model counts a
token per four bytes of the request; its part in summaries is tests/fakes/fake_context.h."""
import os
import signal
import unittest
import uuid

from node import Node, wait_for
from test_queue_modes import WithQueue

together = True
FILLER = "all work and no play makes a long conversation of it "


class WithContext(WithQueue):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start_fake()
        cls.node.start()

    def session(self, name, **config):
        """An agent with a small window, and a session of its own."""
        self.key = name
        self.name = self.agent(**{"model": "openai/fake", "contextWindow": 8000, "tools": [], **config})

    def start(self, message):
        status, _, answer = self.node.post(f"/v1/agents/{self.name}/runs", {"message": message, "sessionKey": self.key})
        self.assertEqual(status, 202, answer)
        return answer["runId"]

    def say(self, message):
        run = self.start(message)
        answer = self.node.wait(run)
        self.assertEqual(answer["status"], "ok", (answer, self.node.tail()))
        return run, answer["result"]

    def one(self, text):
        (row,) = self.node.rows(text)
        return row

    def session_id(self):
        return self.one(f"SELECT session_id FROM tb.agent_sessions WHERE session_key = '{self.key}'")["session_id"]

    def snapshots(self):
        return self.node.rows(f"SELECT version, from_seq, to_seq, summary_seq, tokens_before, tokens_after, why FROM tb.agent_context_snapshots"
                              f" WHERE session_id = '{self.session_id()}' ORDER BY version")

    def phases(self, run):
        return [(e["body"]["phase"], e["body"].get("metadata")) for e in self.node.rows(
            f"SELECT body FROM tb.run_events WHERE run_id = '{run}' AND type = 'lifecycle' ORDER BY ev_seq")]

    def messages(self):
        return [(m["seq"], m["role"], m["content"]) for m in self.node.rows(
            f"SELECT seq, role, content FROM tb.session_messages WHERE session_id = '{self.session_id()}' ORDER BY seq")]

    def used(self):
        return [m[2]["context"]["used"] for m in self.messages() if m[1] == "assistant"]


class Compaction(WithContext):
    def talk(self, turns, window):
        """Each turn plants a fact; returns the facts."""
        facts = []
        for i in range(turns):
            facts.append(f"fact-{i}-of-{self.key}")
            self.say(f"Note this: {facts[-1]}. " + FILLER * (window // 300))
        return facts

    def check_facts(self, facts, window):
        _, answer = self.say("[recall] what do you know?")
        known = answer["text"].split() if isinstance(answer, dict) else str(answer).split()
        self.assertEqual([f for f in facts if f not in known], [], answer)
        for used in self.used():
            self.assertLess(used, window)

    def test_facts_outlive_compactions(self):
        self.session("facts")
        facts = self.talk(25, 8000)
        self.check_facts(facts, 8000)
        made = self.snapshots()
        self.assertGreaterEqual(len(made), 3, made)
        roles = {seq: role for seq, role, _ in self.messages()}
        before = 0
        for s in made:
            self.assertEqual((s["why"], roles[s["summary_seq"]]), ("full", "summary"))
            self.assertGreater(s["to_seq"], before)  # each goes further
            self.assertGreater(s["tokens_before"], s["tokens_after"])
            self.assertGreaterEqual(s["tokens_before"], 6000)
            before = s["to_seq"]
        self.assertEqual(sorted(roles), list(range(1, len(roles) + 1)))  # nothing is gone
        calls = self.node.rows(f"SELECT call_no, tokens_in FROM tb.usage_ledger WHERE session_id = '{self.session_id()}' AND call_no > 0")
        self.assertGreaterEqual(len(calls), len(made))
        self.assertTrue(all(c["tokens_in"] > 0 for c in calls))

    @unittest.skipUnless(os.environ.get("TB_LONG"), "500 turns take some minutes")
    def test_five_hundred_turns(self):
        self.session("long", contextWindow=32768)
        self.check_facts(self.talk(500, 32768 // 8), 32768)

    def test_events(self):
        self.session("events")
        facts = 0
        while True:
            run, _ = self.say(f"fact-e-{facts} " + FILLER * 30)
            facts += 1
            names = [p for p, _ in self.phases(run)]
            if "compacting" in names:
                break
            self.assertLess(facts, 20)
        self.assertEqual(names, ["start", "compacting", "compacted", "end"])
        done = dict(self.phases(run))["compacted"]
        (made,) = self.snapshots()
        self.assertEqual((done["tokensBefore"], done["tokensAfter"], done["why"]), (made["tokens_before"], made["tokens_after"], "full"))
        self.assertEqual(done["calls"], int(self.node.sql(
            f"SELECT count(*) FROM tb.usage_ledger WHERE run_id = '{run}' AND call_no > 0")))

    def test_a_summary_that_fails(self):
        """History untouched, the run goes on with what fits, and the next ones too."""
        for word in ("summary-fails", "summary-is-empty", "summary-is-long"):
            with self.subTest(word):
                self.session(word)
                failed = 0
                for i in range(12):
                    run, answer = self.say(f"{word} fact-f-{i} " + FILLER * 30)
                    failed += "compaction_failed" in [p for p, _ in self.phases(run)]
                self.assertGreaterEqual(failed, 1)
                self.assertEqual(self.snapshots(), [])
                self.assertNotIn("summary", [role for _, role, _ in self.messages()])
                self.assertTrue(all(used < 8000 for used in self.used()), self.used())

    def compact(self, **wish):
        status, _, answer = self.node.post(f"/v1/agents/{self.name}/sessions/{self.key}/compact", wish)
        self.assertEqual(status, 202, answer)
        return answer["runId"], self.node.wait(answer["runId"])

    def test_on_demand(self):
        self.session("asked")
        for i in range(8):
            self.say(f"Note this: fact-a-{i}. " + FILLER * 4)
        run, end = self.compact(focus="fact-a-3 above all", keepRecentMessages=4)
        self.assertEqual(end["status"], "ok", end)
        (made,) = self.snapshots()
        self.assertEqual((made["why"], made["to_seq"], made["summary_seq"]), ("asked", 12, 17))
        asked = self.node.sql(f"SELECT count(*) FROM tb.usage_ledger WHERE run_id = '{run}' AND tokens_in > 0")
        self.assertEqual(asked, "1")
        _, answer = self.say("[recall] what do you know?")
        known = str(answer).split()
        self.assertEqual([i for i in range(8) if not any(f"fact-a-{i}" in w for w in known)], [], answer)
        # Everything is as recent as that: there is nothing to do, and that is no failure.
        _, end = self.compact(keepRecentMessages=50)
        self.assertEqual((end["status"], len(self.snapshots())), ("ok", 1), end)

    def test_on_demand_in_vain(self):
        self.session("asked-in-vain")
        for i in range(6):
            self.say(f"summary-fails fact-v-{i} " + FILLER * 4)
        before = self.messages()
        _, end = self.compact(keepRecentMessages=2)
        self.assertEqual((end["status"], end["error"]["code"]), ("error", "unavailable"), end)
        self.assertEqual((self.snapshots(), self.messages()), ([], before))
        self.say("on we go")

    def test_an_overflow(self):
        """Whatever the window is believed to be: the provider says no, then it is compacted and asked again."""
        self.session("overflow", contextWindow=None)
        overflows = []
        for i in range(12):
            run, _ = self.say(f"window-3000 fact-o-{i} " + FILLER * 20)
            overflows += [m for p, m in self.phases(run) if p == "compacted" and m["why"] == "overflow"]
        self.assertGreaterEqual(len(overflows), 1)
        self.check_facts([f"fact-o-{i}" for i in range(12)], 3000)

    def test_what_never_fits(self):
        self.session("never")
        run = self.start("window-100 " + FILLER * 20)
        answer = self.node.wait(run)
        self.assertEqual((answer["status"], answer["error"]["code"]), ("error", "model_context"), answer)
        self.assertIn("does not fit", answer["error"]["message"])

    def test_a_worker_that_dies_in_it(self):
        self.session("killed")
        for i in range(20):
            run = self.start(f"summary-is-slow fact-k-{i} " + FILLER * 30)
            names = []
            wait_for(lambda: (names := [p for p, _ in self.phases(run)]) and ("compacting" in names or "end" in names))
            if "compacting" in [p for p, _ in self.phases(run)]:
                break
        self.node.kill("worker", sig=signal.SIGKILL)
        answer = self.node.wait(run)
        self.assertEqual(answer["status"], "ok", (answer, self.node.tail(40)))
        names = [p for p, _ in self.phases(run)]
        self.assertEqual(names.count("compacting"), 2, names)
        self.assertEqual(names.count("compacted"), 1, names)
        self.assertEqual(len(self.snapshots()), 1)
        self.check_facts([f"fact-k-{n}" for n in range(i + 1)], 8000)

    def test_memory_is_saved_first(self):
        """Once between two compactions; what was saved is in no message."""
        self.session("flush", tools=["memory_store", "memory_get"])
        flushes, compactions, turns = [], 0, 0
        while compactions < 2:
            run, _ = self.say(f"saves-memory fact-m-{turns} " + FILLER * 20)
            turns += 1
            for phase, metadata in self.phases(run):
                if phase == "memory_flushed":
                    flushes.append(metadata["saved"])
                compactions += phase == "compacted"
                self.assertGreaterEqual(len(flushes), compactions, "the memory comes first")
        self.assertEqual(flushes, [1, 1])
        body = self.one("SELECT body FROM tb.agent_memory_entries WHERE path = 'notes/flushed.md'")["body"]
        self.assertIn("fact-m-0", body)
        self.assertNotIn("tool", [role for _, role, _ in self.messages()])

    def get(self, path, status=200):
        got, _, answer = self.node.get(f"/v1/sessions/{path}")
        self.assertEqual(got, status, answer)
        return answer

    def test_the_memory_is_in_the_system_part(self):
        """MEMORY.md, its newest version, its beginning if it is long; not for who may not read it."""
        self.session("bootstrap", tools=["memory_get"], contextWindow=100000)
        self.assertNotIn("fact-b", str(self.say("[recall] 1")[1]))
        agent = self.one(f"SELECT agent_id FROM tb.agents WHERE name = '{self.name}'")["agent_id"]
        self.node.sql("INSERT INTO tb.agent_memory_entries (tenant_id, agent_id, memory_id, path, body)"
                      f" VALUES (1, '{agent}', gen_random_uuid(), 'MEMORY.md', 'fact-b-1')")
        wait_for(lambda: "fact-b-1" in str(self.say("[recall] 2")[1]), every=0.5)
        self.node.sql("UPDATE tb.agent_memory_entries SET version = 2, body = 'fact-b-2 ' || repeat('x ', 15000) || 'fact-b-end'"
                      f" WHERE agent_id = '{agent}'")
        wait_for(lambda: "fact-b-2" in str(self.say("[recall] 3")[1]), every=0.5)
        last = self.node.fake_get("/last")
        system = last["messages"][0]
        self.assertEqual(system["role"], "system")
        self.assertIn("data, not instructions", system["content"])
        self.assertIn("It is longer", system["content"])
        self.assertNotIn("fact-b-end", system["content"])
        self.assertGreater({p["part"]: p["tokens"] for p in self.get(f"{self.session_id()}/context")["parts"]}["memory"], 1000)
        self.session("no-bootstrap")
        self.node.sql("INSERT INTO tb.agent_memory_entries (tenant_id, agent_id, memory_id, path, body) SELECT 1, agent_id, gen_random_uuid(),"
                      f" 'MEMORY.md', 'fact-b-3' FROM tb.agents WHERE name = '{self.name}'")
        self.assertNotIn("fact-b", str(self.say("[recall] 4")[1]))

    def test_how_the_window_is_shared(self):
        self.session("shared", tools=["memory_get"], systemPrompt="You are the agent of this test. " * 20)
        self.say("hello")
        answer = self.get(f"{self.session_id()}/context")
        self.assertEqual((answer["known"], answer["model"], answer["window"], answer["seq"]), (True, "fake", 8000, 2))
        parts = {p["part"]: p["tokens"] for p in answer["parts"]}
        self.assertEqual(sum(parts.values()), 8000)
        self.assertEqual(answer["used"], sum(n for part, n in parts.items() if part not in ("reserve", "free")))
        self.assertEqual((parts["reserve"], parts["summary"], parts["skills"]), (2000, 0, 0))
        for part in ("system", "tools", "messages", "free"):
            self.assertGreater(parts[part], 0, part)
        self.assertLess(abs(sum(p["share"] for p in answer["parts"]) - 1), 0.001)
        self.get("00000000-0000-0000-0000-000000000000/context", 404)
        self.get("nonsense/context", 404)

    def test_snapshots(self):
        self.session("snapshots")
        while len(self.snapshots() if self.node.rows(f"SELECT 1 FROM tb.agent_sessions WHERE session_key = '{self.key}'") else []) < 2:
            self.say("fact-s-1 " + FILLER * 30)
        listed = self.get(f"{self.session_id()}/snapshots")["snapshots"]
        rows = self.snapshots()
        self.assertEqual([s["version"] for s in listed], [2, 1])
        self.assertEqual([(s["toSeq"], s["summarySeq"], s["tokensBefore"]) for s in reversed(listed)],
                         [(r["to_seq"], r["summary_seq"], r["tokens_before"]) for r in rows])
        page = self.get(f"{self.session_id()}/snapshots?limit=1")
        self.assertEqual(page, {"snapshots": listed[:1], "next": 2})
        self.assertEqual(self.get(f"{self.session_id()}/snapshots?limit=1&before={page['next']}"), {"snapshots": listed[1:]})
        for query in ("limit=0", "limit=201", "before=x", "before=0", "after=1"):
            self.get(f"{self.session_id()}/snapshots?{query}", 400)
        one = self.get(f"{self.session_id()}/snapshots/1")
        self.assertIn("fact-s-1", one["summary"])
        self.assertEqual({k: v for k, v in one.items() if k != "summary"}, listed[1])
        for version in ("3", "0", "x", "99999999999"):
            self.get(f"{self.session_id()}/snapshots/{version}", 404)
        context = self.get(f"{self.session_id()}/context")
        self.assertEqual((context["fromSeq"], context["summarySeq"]), (rows[1]["to_seq"] + 1, rows[1]["summary_seq"]))

    def test_a_restoration(self):
        """The context is again as before that compaction, by a version more; nothing is gone."""
        self.session("restored", contextWindow=20000)
        turns = 0
        while len(self.snapshots() if turns else []) < 2:
            self.say(f"fact-r-{turns} " + FILLER * 60)
            turns += 1
        first, second = self.snapshots()
        before = len(self.messages())
        for version, to, summary in ((2, first["to_seq"], first["summary_seq"]), (1, 0, 0)):
            self.node.sql("SELECT tb.act_restore(1, l.session_id, gen_random_uuid(), l.head_seq, '{\"version\": %d}') FROM tb.lanes l"
                          " WHERE l.session_id = '%s'" % (version, self.session_id()))
            newest = self.snapshots()[-1]
            self.assertEqual((newest["why"], newest["to_seq"], newest["summary_seq"]), ("restored", to, summary))
            self.assertEqual(self.get(f"{self.session_id()}/context")["summarySeq"], summary)
        self.assertEqual((len(self.messages()), len(self.snapshots())), (before, 4))
        self.assertEqual(self.get(f"{self.session_id()}/snapshots")["snapshots"][0]["restored"], 1)

    def test_an_old_session(self):
        """Of 20,000 messages those are read and shown that stand behind the summary; what the run began with as well."""
        self.session("old")
        self.say("fact-first of all")
        id, count = self.session_id(), 20000
        self.node.sql(f"""INSERT INTO tb.session_messages (tenant_id, session_id, seq, role, content) SELECT 1, '{id}', n,
            CASE n % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
            jsonb_build_object('blocks', jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'fact-old-' || n)))
            FROM generate_series(3, {count}) n;
            INSERT INTO tb.session_messages (tenant_id, session_id, seq, role, content) VALUES (1, '{id}', {count + 1}, 'summary',
            '{{"blocks": [{{"type": "text", "text": "fact-of-the-summary"}}]}}');
            UPDATE tb.lanes SET head_seq = {count + 1} WHERE session_id = '{id}';
            SELECT tb.act_compact(1, '{id}', gen_random_uuid(), {count + 1}, '{{"to": {count - 4}, "why": "asked"}}')""")
        _, answer = self.say("[recall] all")
        known = str(answer.get("text", answer)).split()
        self.assertEqual([k for k in known if k.startswith("fact-")],
                         ["fact-of-the-summary"] + [f"fact-old-{n}" for n in range(count - 3, count + 1)])
        self.assertEqual(int(self.node.sql(f"SELECT tb.history_start(1, '{id}', {count + 2}, 4194304)")), count - 3)


class Restoration(WithContext):
    """What a compaction took from the model is given back by a job of the lane."""

    def talk(self, name, turns=6):
        self.session(name, contextWindow=100000)
        self.name_of, self.texts = name, [f"Note this: fact-{name}-{i}." for i in range(turns)]
        for text in self.texts:
            self.say(text)
        self.compact()

    def job(self, what, body=None, want=202, **more):
        status, _, answer = self.node.request("POST", f"/v1/sessions/{self.session_id()}/{what}", body, **more)
        self.assertEqual(status, want, answer)
        return answer

    def done(self, what, body=None):
        answer = self.job(what, body)
        self.assertEqual(self.node.wait(answer["runId"])["status"], "ok", self.node.tail())
        return answer

    def compact(self):
        return self.done("compact", {"keepRecentMessages": 2})

    def restore(self, version):
        answer = self.done(f"snapshots/{version}/restore")
        self.assertEqual(answer["job"], "restore")
        return answer["runId"]

    def refused(self, version):
        """The words of a restoration that cannot be done."""
        end = self.node.wait(self.job(f"snapshots/{version}/restore")["runId"])
        self.assertEqual((end["status"], end["error"]["code"]), ("error", "conflict"), end)
        return end["error"]["message"]

    def shown(self):
        """Of what was said first, what the model is shown with one more question; and whether it is shown a summary."""
        self.say("and now?")
        said = [m["content"] for m in self.node.fake_get("/last")["messages"] if m["role"] == "user"]
        return [t for t in self.texts if t in said], any(f"fact-{self.name_of}-0" in t and t not in self.texts for t in said)

    def test_the_old_messages_are_shown_again(self):
        self.talk("given-back")
        before = self.messages()
        self.assertEqual(self.shown(), (self.texts[-1:], True))
        run = self.restore(1)
        self.assertEqual(self.shown(), (self.texts, False))
        self.assertEqual(self.messages()[:len(before)], before)  # nothing is gone
        listed = self.node.get(f"/v1/sessions/{self.session_id()}/snapshots")[2]["snapshots"]
        self.assertEqual([(s["version"], s["why"], s.get("restored")) for s in listed], [(2, "restored", 1), (1, "asked", None)])
        self.assertEqual(listed[0]["runId"], run)
        # A restoration is a version as well, and can be undone.
        self.restore(2)
        self.assertEqual(self.shown(), (self.texts[-1:], True))
        self.restore(3)
        self.assertEqual(self.shown(), (self.texts, False))
        self.compact()
        self.assertEqual(self.shown()[1], True)
        self.assertEqual([s["why"] for s in self.snapshots()], ["asked", "restored", "restored", "restored", "asked"])

    def test_what_cannot_be_restored(self):
        self.session("never-compacted", contextWindow=100000)
        self.say("hello")
        self.assertIn("nothing of this session has been compacted", self.refused(1))
        self.talk("once-compacted", 3)
        before = self.snapshots()
        self.assertIn("there is no snapshot 2: the last one of this session is 1", self.refused(2))
        for version in ("0", "-1", "x", "99999999999"):
            self.job(f"snapshots/{version}/restore", want=404)
        self.job("snapshots/1/restore", {"version": 1}, want=400)
        id, secret = uuid.uuid4(), uuid.uuid4().hex
        self.node.sql("INSERT INTO tb.tenants (tenant_id, slug) VALUES (4242, 'foreign'); INSERT INTO tb.api_tokens (tenant_id, token_id,"
                      f" secret_sha256, scopes) VALUES (4242, '{id}', sha256('{secret}'), '{{run,read,write}}')")
        self.job("snapshots/1/restore", want=404, token=f"tb1.4242.{id}.{secret}")
        self.assertEqual(self.snapshots(), before)

    def test_it_is_done_once(self):
        self.talk("keyed", 3)
        runs = {self.job("snapshots/1/restore", headers={"Idempotency-Key": "once"})["runId"] for _ in range(3)}
        self.assertEqual(len(runs), 1)
        self.job("snapshots/2/restore", want=422, headers={"Idempotency-Key": "once"})
        self.node.wait(runs.pop())
        self.assertEqual(len(self.snapshots()), 2)

    def test_it_waits_for_its_turn(self):
        self.talk("waiting")
        with self.node.model_stopped():
            run = self.start("a question")
            wait_for(lambda: self.state(run) == "running")
            job = self.job("snapshots/1/restore")["runId"]
            after = self.post("one more", self.key, agent=self.name)
            self.assertEqual(self.state(job), "queued")
            self.assertEqual(len(self.snapshots()), 1)
        for id in (run, job, after):
            self.assertEqual(self.node.wait(id)["status"], "ok")
        asked = [m["content"] for m in self.node.fake_get("/last")["messages"] if m["role"] == "user"]
        self.assertEqual(asked, self.texts + ["a question", "one more"])

    def test_what_a_reset_hid_stays_hidden(self):
        self.talk("reset-since")
        self.done("reset")
        self.restore(1)
        self.assertEqual(self.shown(), ([], False))
        answer = self.node.get(f"/v1/sessions/{self.session_id()}")[2]
        self.assertEqual(answer["contextFrom"], next(seq for seq, role, _ in self.messages() if role == "reset"))

    def test_a_fork_has_the_context_of_its_place(self):
        self.talk("forked")
        compacted = len(self.messages())
        self.say("between")
        self.restore(1)
        self.say("behind")
        name = self.name_of
        for key, up_to, shown in (("forked-whole", None, (self.texts, False)), ("forked-compacted", compacted, (self.texts[-1:], True)),
                                  ("forked-before", compacted - 1, (self.texts, False))):
            with self.subTest(key):
                self.key = name
                self.done("fork", {"sessionKey": key, **({"upToSeq": up_to} if up_to else {})})
                self.key = key
                self.assertEqual(self.shown(), shown)

    def test_on_the_command_line(self):
        self.talk("by-command", 3)
        id = self.session_id()
        for where in ([id], [self.key, "--agent", self.name]):
            listed = self.node.ctl("session", "snapshots", *where)
            self.assertEqual(listed.returncode, 0, listed.stderr)
            self.assertIn("asked", listed.stdout)
        done = self.node.ctl("session", "restore", self.key, "1", "--agent", self.name)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("restored by job", done.stdout)
        self.assertEqual(self.shown(), (self.texts, False))
        failed = self.node.ctl("session", "restore", id, "9")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("there is no snapshot 9", failed.stderr)
        for path in ("snapshots", "snapshots/1", "context"):
            by_id, by_key = (self.node.get(f"{where}/{path}") for where in
                             (f"/v1/sessions/{id}", f"/v1/agents/{self.name}/sessions/{self.key}"))
            self.assertEqual((by_id[0], by_id[2]), (by_key[0], by_key[2]))
        self.assertEqual(self.node.get(f"/v1/agents/{self.name}/sessions/nobody/snapshots")[0], 404)


if __name__ == "__main__":
    unittest.main()
