# SPDX-License-Identifier: Apache-2.0
"""The network between a node and its models breaks in every way: a run comes through by asking again, or fails with the error that names
it; nothing half-streamed is taken for an answer, a reader is told what is void, and the session goes on."""
import os
import unittest

from node import Node
from test_main_job import WithNode, text_of

SILENCE = 2  # seconds: a busy machine stands still for one now and then
SLOWLY = "[chunks 8][pause 200][size 400]"  # so that a reader has seen some of it when it breaks
OFTEN = 1000

# directive: (the code of a run that meets it each time, whether a reader had seen something). %d: of how many requests.
FAULTS = {
    "[cut 4 %d]": ("model_broken_stream", True),
    "[cut 1 %d]": ("model_broken_stream", False),
    "[reset 4 %d]": ("model_broken_stream", True),
    "[stall 4 %d]": ("model_timeout", True),
    "[hang %d]": ("model_timeout", False),
    "[half-head %d]": ("model_broken_stream", False),
    "[garbage %d]": ("model_broken_stream", False),
    "[error 4 %d]": ("model_overloaded", True),
    "[status 503 %d]": ("model_overloaded", False),
    "[status 429 %d]": ("model_rate_limit", False),
}


PROVIDERS = ("openai", "openai-responses", "anthropic", "gemini")
BRIEFLY = ("[reset 4 %d]", "[error 4 %d]", "[status 429 %d]")  # of the others than openai, unless TB_LONG


class Faults(WithNode):
    """All runs begin at once, for most of the time is pauses; the tests look at their ends. Each asks a model of its own: one that
    refuses is left alone for a while by all."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True, env={"TERABITS_MODEL_SILENCE_SECONDS": str(SILENCE)})
        cls.addClassCleanup(cls.node.close)
        cls.node.start_fake_for_all()
        port = cls.node.fake_port
        cls.node.env["VLLM_BASE_URL"] = f"https://127.0.0.1:{port}/v1"  # plain bytes answer what it says first
        cls.node.env["LLAMACPP_BASE_URL"] = "http://127.0.0.1:1/v1"     # nobody is there
        cls.node.start()
        cases = [(p, d) for p in PROVIDERS for d in FAULTS if p == "openai" or d in BRIEFLY or os.environ.get("TB_LONG")]
        # The queue tries none of these again: they fail when the pauses inside them are used up.
        attempts = "ALTER TABLE tb.agent_run_queue ALTER COLUMN max_attempts SET DEFAULT %d"
        cls.node.sql(attempts % 1)
        cls.vain = {(p, d): cls.ask(f"{SLOWLY}{d % OFTEN} {p}", f"vain {p} {d}", f"{p}/vain-{n}") for n, (p, d) in enumerate(cases)}
        cls.away = {m: cls.ask("hello", m, m) for m in ("vllm/x", "llamacpp/x")}
        cls.node.sql(attempts % 5)
        cls.once = {(p, d): cls.ask(f"{SLOWLY}{d % 1} {p}", f"once {p} {d}", f"{p}/once-{n}") for n, (p, d) in enumerate(cases)}
        cls.chain = cls.ask("hello", "chain", "vllm/chain", fallbacks=["llamacpp/chain", "openai/last"])
        cls.dripping = "w" * 1500
        cls.drip = cls.ask(f"[drip 2][chunks 2]{cls.dripping}", "drip")  # takes longer than a silence may
        cls.tools = cls.ask('[tool memory_store {"text":"once and no more","path":"faults.md"}][chunks 6][pause 10][cut 4 1]x', "tools", "openai/tools")
        cls.late = cls.ask('[late][reset 2 2][tool memory_store {"text":"once, too","path":"late.md"}][chunks 6][pause 10] x', "late", "openai/late")
        cls.put_off = cls.ask(f"{SLOWLY}[reset 4 4]", "put off", "openai/off")

    @classmethod
    def ask(cls, message, session, model="openai/m", **members):
        status, _, answer = cls.node.post("/v1/agents/main/runs", {"message": message, "sessionKey": session, "model": model, **members})
        if status != 202:
            raise AssertionError(answer)
        return answer["runId"]

    def ended(self, run, code=None):
        end = self.node.wait(run)
        self.assertEqual((end["status"], (end.get("error") or {}).get("code")), ("error" if code else "ok", code), (end, self.node.tail()))
        return end

    def texts(self, where):
        rows = self.node.rows(f"SELECT m.content FROM tb.session_messages m WHERE m.role = 'assistant' AND {where} ORDER BY m.seq")
        return ["".join(b.get("text", "") for b in r["content"]["blocks"]) for r in rows]

    def answers(self, run):
        """The texts of what was stored as the model's."""
        return self.texts(f"m.run_id = '{run}'")

    def resets(self, events):
        return sum(1 for _, _, e in events if e["type"] == "assistant" and e.get("metadata", {}).get("reset"))

    def go_on(self, past):
        """Of each session another message is answered, and before it stands that of the model's and no more.
        past: {(session, provider): texts}"""
        runs = {(s, p): self.ask(f"and now {s}?", s, f"{p}/on") for s, p in past}
        for (session, provider), run in runs.items():
            self.ended(run)
            own = f"(SELECT session_id FROM tb.session_messages WHERE run_id = '{run}' LIMIT 1)"
            self.assertEqual(self.texts(f"m.session_id = {own}"), past[session, provider] + [f"echo: and now {session}?"])

    def test_asked_again(self):
        past, seen = {}, 0
        for (provider, d), run in self.once.items():
            with self.subTest(provider, fault=d):
                self.ended(run)
                (answer,) = self.answers(run)
                self.assertEqual(len(answer), 400)
                events = self.node.events(run)
                self.assertEqual(text_of(events), answer)
                seen += self.resets(events) if FAULTS[d][1] else 0
                self.assertEqual(self.node.sql(f"SELECT max(step) FROM tb.usage_ledger WHERE run_id = '{run}'"), "1")
                past[f"once {provider} {d}", provider] = [answer]
        self.assertGreaterEqual(seen, 1)  # not each: on a busy machine it may break before a reader was told anything
        self.go_on(past)

    def test_in_vain(self):
        for (provider, d), run in self.vain.items():
            with self.subTest(provider, fault=d):
                self.ended(run, FAULTS[d][0])
                self.assertEqual(self.answers(run), [])
                if FAULTS[d][1]:  # what a reader saw is void in the end
                    self.assertEqual(text_of(self.node.events(run)), "")
        self.go_on({(f"vain {p} {d}", p): [] for p, d in self.vain})

    def test_no_tls_and_nobody_there(self):
        for run in self.away.values():
            self.assertIn("cannot be reached", self.ended(run, "network")["error"]["message"])
        self.ended(self.chain)
        self.assertEqual(self.answers(self.chain), ["echo: hello"])
        used = self.node.rows(f"SELECT provider, model FROM tb.usage_ledger WHERE run_id = '{self.chain}'")
        self.assertEqual(used, [{"provider": "openai", "model": "last"}])
        self.go_on({(m, "openai"): [] for m in self.away})

    def test_slowly_is_not_silent(self):
        self.ended(self.drip)
        self.assertEqual(self.answers(self.drip), [f"echo: {self.dripping}"])
        self.assertEqual(self.resets(self.node.events(self.drip)), 0)

    def test_inside_a_run_with_tools(self):
        """The answer that calls them breaks: they run once, when it is whole."""
        self.ended(self.tools)
        self.assertEqual(self.node.sql(f"SELECT string_agg(state::text, ',') FROM tb.tool_executions WHERE run_id = '{self.tools}'"), "completed")
        self.ended(self.late)  # the answer to their results breaks: they are not run again
        for path, text in (("faults.md", "once and no more"), ("late.md", "once, too")):
            self.assertEqual(self.node.sql(f"SELECT body FROM tb.agent_memory_entries WHERE path = '{path}'").count(text), 1)

    def test_put_off(self):
        """More of them than a run bears in one go: the queue tries it again, and a reader of its stream is told."""
        self.ended(self.put_off)
        row = self.node.rows(f"SELECT attempts, result FROM tb.agent_runs WHERE run_id = '{self.put_off}'")[0]
        self.assertEqual((row["attempts"], row["result"]), (2, "completed"))
        (answer,) = self.answers(self.put_off)
        events = self.node.events(self.put_off)
        self.assertEqual(text_of(events), answer)
        self.assertGreaterEqual(self.resets(events), 1)


class Storm(WithNode):
    model = "fake"

    def test_429_for_everybody(self):
        n = self.node
        n.fake_get("/control?storm=6&status=429")
        runs = [n.enqueue(f"hello {i}", f"storm {i}") for i in range(5)]
        for i, run in enumerate(runs):
            self.assertEqual(n.wait(run)["status"], "ok", n.tail())
            (row,) = n.rows(f"SELECT content FROM tb.session_messages WHERE run_id = '{run}' AND role = 'assistant'")
            self.assertEqual(row["content"]["blocks"][0]["text"], f"echo: hello {i}")
        self.assertEqual(n.model_stats()["requests"], 11)


if __name__ == "__main__":
    unittest.main()
