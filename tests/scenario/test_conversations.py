# SPDX-License-Identifier: Apache-2.0
"""One conversation is the same conversation whichever provider's words it is held in: the transcript, what a reader sees, what it cost;
and a session moves from one provider to another in the middle of it."""
import http.client
import itertools
import json
import unittest

from node import Node
from test_main_job import WithNode, text_of

REMOTE = ("openai/m", "openai-responses/gpt-5", "anthropic/claude-sonnet-4-5", "gemini/gemini-3-pro")
ALL = REMOTE + ("offline/rules",)

# What the offline model answers by its rules, and the others by script: two messages, each with a call.
SAID = {
    "remember that the deploy is on Tuesday":
        '[plain][tool memory_store {"text":"- the deploy is on Tuesday"}] I will remember: the deploy is on Tuesday.',
    "what do you know about the deploy?":
        '[plain][tool memory_get {"path":"MEMORY.md"}] This is what I remember:\n- the deploy is on Tuesday',
}
PARALLEL = '[say 30][tool memory_store {"text":"one","path":"%s-a.md"}][tool memory_get {"path":"none.md"}][chunks 3] hello'


class WithProviders(WithNode):
    env = {}

    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True, env=cls.env)
        cls.addClassCleanup(cls.node.close)
        cls.node.start_fake_for_all()
        cls.node.start()

    def fake_post(self, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.node.fake_port, timeout=10)
        try:
            c.request("POST", path, json.dumps(body))
            self.assertEqual(c.getresponse().status, 200)
        finally:
            c.close()

    def enqueue(self, message, session, model, **members):
        status, _, answer = self.node.post("/v1/agents/main/runs", {"message": message, "sessionKey": session, "model": model, **members})
        self.assertEqual(status, 202, answer)
        return answer["runId"]

    def ended(self, run, code=None):
        end = self.node.wait(run)
        self.assertEqual((end["status"], (end.get("error") or {}).get("code")), ("error" if code else "ok", code), (end, self.node.tail()))
        return run

    def say(self, message, session, model, **members):
        return self.ended(self.enqueue(message, session, model, **members))

    def transcript(self, session):
        """Roles and blocks, ids by the order of the calls, without what one provider alone wants back."""
        rows = self.node.rows("SELECT role, content FROM tb.session_messages JOIN tb.agent_sessions USING (tenant_id, session_id)"
                              f" WHERE session_key = '{session}' ORDER BY seq")
        ids = {}
        out = []
        for row in rows:
            for b in row["content"]["blocks"]:
                b.pop("opaque", None)
                b.pop("provider", None)
                if "callId" in b:
                    b["callId"] = ids.setdefault(b["callId"], len(ids))
            out.append((row["role"], row["content"]["blocks"]))
        return out

    def usage(self, run):
        return self.node.rows(f"SELECT provider, model, step FROM tb.usage_ledger WHERE run_id = '{run}' ORDER BY step, call_no")


class Same(WithProviders):
    def test_two_calls_with_all_five(self):
        self.fake_post("/answers", SAID)
        told = {}
        for model in ALL:
            self.node.sql("DELETE FROM tb.agent_memory_entries")
            runs = [self.say(message, f"five {model}", model) for message in SAID]
            told[model] = (self.transcript(f"five {model}"), [text_of(self.node.events(r)) for r in runs])
            used = [u for r in runs for u in self.usage(r)]
            self.assertEqual([f"{u['provider']}/{u['model']}" for u in used], [model] * 4)
        for model in REMOTE:
            self.assertEqual(told[model], told[ALL[-1]], model)
        transcript, _ = told[ALL[-1]]
        self.assertEqual([[(role, b["type"]) for b in blocks] for role, blocks in transcript],
                         [[("user", "text")], [("assistant", "tool_call")], [("tool", "tool_result")], [("assistant", "text")]] * 2)

    def test_two_calls_beside_each_other(self):
        """The offline model makes one call at a time; the others make both in one answer."""
        told = []
        for n, model in enumerate(REMOTE):
            session = f"both {model}"
            self.say(PARALLEL % "both", session, model)
            self.say("and one more", session, model)
            self.node.sql("DELETE FROM tb.agent_memory_entries")
            told.append(self.transcript(session))
            self.assertEqual(told[n], told[0], model)
        self.assertEqual([[b["type"] for b in blocks] for _, blocks in told[0]],
                         [["text"], ["text", "tool_call", "tool_call"], ["tool_result"], ["tool_result"], ["text"], ["text"], ["text"]])
        self.assertEqual(told[0][-1][1][0]["text"], "echo: and one more")

    def test_thoughts_go_back_to_who_had_them(self):
        for model in REMOTE:
            session = f"thought {model}"
            self.say('[think 40][tool memory_get {"path":"none.md"}] x', session, model)
            self.say("[think 30] and again", session, model)
            self.say("and more", session, model)
            kinds = [b["type"] for role, blocks in self.transcript(session) if role == "assistant" for b in blocks]
            self.assertEqual(kinds, ["reasoning", "tool_call", "reasoning", "text", "reasoning", "text", "text"], model)

    def test_the_reported_tokens_are_the_ledgers(self):
        for model in REMOTE:
            before = self.node.model_stats()
            run = self.say('[think 40][tool memory_get {"path":"none.md"}][chunks 5] x', f"tokens {model}", model)
            after = self.node.model_stats()
            (row,) = self.node.rows("SELECT sum(tokens_in) AS i, sum(tokens_out) AS o FROM tb.usage_ledger"
                                    f" WHERE run_id = '{run}'")
            self.assertEqual((row["i"], row["o"]), (after["told_in"] - before["told_in"], after["told_out"] - before["told_out"]), model)


class Moving(WithProviders):
    def test_from_any_to_any(self):
        """Each pair of neighbours once: calls, thoughts and signatures of one in the history that the other is shown."""
        session, seen = "moving", set()
        walk = list(itertools.chain.from_iterable((a, b) for a, b in itertools.combinations(ALL, 2))) + [ALL[0]]
        for n, model in enumerate(walk):
            offline = model.startswith("offline")
            message = f"remember thing {n}" if offline else '[think 20]%s' % (PARALLEL % f"moving-{n}")
            run = self.say(message, session, model)
            seen.add((walk[n - 1], model))
            self.assertEqual({f"{u['provider']}/{u['model']}" for u in self.usage(run)}, {model})
        self.assertEqual(len([1 for role, _ in self.transcript(session) if role == "user"]), len(walk))

    def test_in_the_middle_of_a_run(self):
        """The first fails for good when its call is done: the next of the chain goes on from there, and no call is made twice."""
        runs = {}
        for n, (first, then) in enumerate(zip(REMOTE, REMOTE[1:] + REMOTE[:1])):
            for fault in ("[status 503 4]", "[cut 2 4]"):
                message = f'[late]{fault}[tool memory_store {{"text":"of {n}","path":"middle-{n}{fault[1]}.md"}}][chunks 4] x'
                runs[first, then, fault] = self.enqueue(message, f"middle {first} {fault}", first, fallbacks=[then])
        for (first, then, fault), run in runs.items():
            self.ended(run)
            self.assertEqual([b["type"] for _, blocks in self.transcript(f"middle {first} {fault}") for b in blocks],
                             ["text", "tool_call", "tool_result", "text"])
            used = [f"{u['provider']}/{u['model']}" for u in self.usage(run)]  # what broke off in the middle may have cost, too
            self.assertEqual((used[0], used[-1], set(used)), (first, then, {first, then}))
        for n in range(len(REMOTE)):
            for f in "sc":
                body = self.node.sql(f"SELECT body FROM tb.agent_memory_entries WHERE path = 'middle-{n}{f}.md'")
                self.assertEqual(body.count(f"of {n}"), 1)


class Broken(WithProviders):
    def test_a_cut_a_429_and_an_overload(self):
        runs = {}
        for model in REMOTE:
            for fault in ("[cut 3 1]", "[reset 3 1]", "[status 429 1]", "[status 529 1]", "[error 3 1]"):
                runs[model, fault] = self.enqueue(f"[chunks 6][pause 100]{fault} a few words of {model}", f"{model} {fault}", model)
        for (model, fault), run in runs.items():
            with self.subTest(model, fault=fault):
                self.ended(run)
                events = self.node.events(run)
                self.assertEqual(text_of(events), f"echo: a few words of {model}")
                resets = sum(1 for _, _, e in events if e["type"] == "assistant" and e.get("metadata", {}).get("reset"))
                self.assertEqual(resets, 0 if "status" in fault else 1)
                blocks = [b for role, bs in self.transcript(f"{model} {fault}") if role == "assistant" for b in bs]
                self.assertEqual([b["type"] for b in blocks], ["text"])

    def test_what_is_final(self):
        for model in REMOTE:
            with self.subTest(model):
                self.ended(self.enqueue("[quota] x", f"final {model}", model), "model_billing")
                self.ended(self.enqueue("[window 5] x", f"final {model}", model), "model_context")
                self.ended(self.enqueue("[status 400] x", f"final {model}", model), "model_bad_request")
                self.ended(self.enqueue("[status 401] x", f"final {model}", model), "model_auth")
                self.say("and on it goes", f"final {model}", model)


if __name__ == "__main__":
    unittest.main()
