# SPDX-License-Identifier: Apache-2.0
"""The same conversation with every provider: one transcript, whatever its words on the wire; and every provider goes on with what any other
began. The model server refuses what a real one would: results without calls, signatures that are not its own, ids that come twice."""
import json
import unittest

from node import Node
from test_main_job import WithNode

MODELS = ("openai/m", "vllm/m", "openai-responses/m", "anthropic/claude-opus-4-6", "gemini/gemini-3-pro")
CALLS = '[think 30][say 40][tool memory_get {"path":"MEMORY.md"}][tool memory_get {"path":"no-such.md"}]'


class WithProviders(WithNode):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start_fake_for_all()
        cls.node.env["VLLM_BASE_URL"] = cls.node.env["OPENAI_BASE_URL"]
        cls.node.start()
        cls.node.wait(cls.node.post("/v1/agents/main/runs", {"message": '[tool memory_store {"text":"- one"}]', "sessionKey": "first",
                                                             "model": MODELS[0]})[2]["runId"])

    def say(self, session, model, message):
        status, _, answer = self.node.post("/v1/agents/main/runs", {"message": message, "sessionKey": session, "model": model})
        self.assertEqual(status, 202, answer)
        end = self.node.wait(answer["runId"])
        self.assertEqual(end["status"], "ok", (model, message, end, self.node.tail()))

    def blocks(self, session):
        rows = self.node.rows("SELECT m.role, m.content FROM tb.session_messages m JOIN tb.agent_sessions s USING (session_id)"
                              f" WHERE s.session_key = '{session}' ORDER BY m.seq")
        return [(row["role"], block) for row in rows for block in row["content"]["blocks"]]

    def told(self, session):
        """What was said and done, without whose words it was in."""
        own = ("callId", "provider", "opaque")
        return [(role, {k: v for k, v in block.items() if k not in own}) for role, block in self.blocks(session)
                if block["type"] != "reasoning"]


class Conversations(WithProviders):
    def test_one_transcript(self):
        for i, model in enumerate(MODELS):
            key = f"same-{i}"
            self.say(key, model, CALLS + " first")
            self.say(key, model, "second")
        want = self.told("same-0")
        self.assertEqual([block["type"] for _, block in want],
                         ["text", "text", "tool_call", "tool_call", "tool_result", "tool_result", "text", "text", "text"])
        for i, model in enumerate(MODELS):
            with self.subTest(model):
                self.assertEqual(self.told(f"same-{i}"), want)
                ids = [b["callId"] for _, b in self.blocks(f"same-{i}") if b["type"] == "tool_call"]
                self.assertEqual(len(set(ids)), 2)

    def test_thoughts_are_kept(self):
        for i, model in enumerate(MODELS[2:]):
            key = f"thinks-{i}"
            self.say(key, model, CALLS + " first")
            provider = model.split("/")[0]
            opaque = [b for _, b in self.blocks(key) if b.get("opaque")]
            self.assertTrue(opaque, (model, self.blocks(key)))
            self.assertEqual({b["provider"] for b in opaque}, {provider})

    def test_one_goes_on_with_what_another_began(self):
        """Each turn by another provider, with calls: all of them read the whole."""
        for turn, model in enumerate(MODELS + MODELS[::-1]):
            self.say("mixed", model, f"{CALLS} turn {turn}")
        self.say("mixed", MODELS[0], "the end")
        calls = [b["callId"] for _, b in self.blocks("mixed") if b["type"] == "tool_call"]
        self.assertEqual((len(calls), len(set(calls))), (20, 20))

    def test_an_image_that_a_tool_returned(self):
        """Imported, exported the same, and taken by each provider in its form; a model that takes none is not shown it."""
        data = "iVBORw0KGgo" + "A" * 41
        blocks = (("user", [{"type": "text", "text": "look"}]),
                  ("assistant", [{"type": "tool_call", "callId": "c1", "name": "read", "arguments": {"path": "a.png"}}]),
                  ("tool", [{"type": "tool_result", "callId": "c1", "name": "read", "isError": False, "text": "[image/png 1x1]"},
                            {"type": "image", "mediaType": "image/png", "data": data}]),
                  ("assistant", [{"type": "text", "text": "a dot"}]))
        lines = "\n".join(json.dumps({"seq": i + 1, "role": role, "step": 0, "createdAt": "2026-11-30T13:55:19.548471Z", "content": {"blocks": b}})
                          for i, (role, b) in enumerate(blocks))
        for i, model in enumerate(MODELS):
            with self.subTest(model):
                session = self.node.post("/v1/agents/main/sessions", {"sessionKey": f"image-{i}"})[2]["sessionId"]
                status, _, answer = self.node.post(f"/v1/sessions/{session}/import", lines)
                self.assertEqual((status, self.node.wait(answer["runId"])["status"]), (202, "ok"), answer)
                self.assertEqual(self.blocks(f"image-{i}")[3], ("tool", blocks[2][1][1]))
                self.say(f"image-{i}", model, "what was it?")
                self.assertEqual(json.dumps(self.node.fake_get("/last")).count(data), 0 if model == "vllm/m" else 1)
                self.assertIn(data, str(self.node.get(f"/v1/sessions/{session}/export")[2]))


if __name__ == "__main__":
    unittest.main()
