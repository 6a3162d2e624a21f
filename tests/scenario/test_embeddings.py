# SPDX-License-Identifier: Apache-2.0
"""Texts to vectors through the real programs: by the providers' servers, and by words alone."""
import base64
import math
import struct
import threading
import time
import unittest
import uuid

from node import Node, wait_for
from test_main_job import WithNode

REMOTE = ("openai/text-embedding-3-small", "ollama/nomic", "gemini/gemini-embedding-001")


def floats(text):
    data = base64.b64decode(text, validate=True)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def near(a, b):
    return sum(x * y for x, y in zip(a, b))


class WithEmbeddings(WithNode):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start_fake_for_all()
        cls.node.env["OLLAMA_BASE_URL"] = f"http://127.0.0.1:{cls.node.fake_port}/v1"
        cls.node.start()

    def embed(self, input, model="offline", want=200, **members):
        status, _, answer = self.node.post("/v1/embeddings", {"model": model, "input": input, **members})
        self.assertEqual(status, want, (answer, self.node.tail()))
        return answer

    def vectors(self, input, model="offline", **members):
        answer = self.embed(input, model, **members)
        self.assertEqual([d["index"] for d in answer["data"]], list(range(len(answer["data"]))))
        return [d["embedding"] for d in answer["data"]]

    def refused(self, want, code, input="x", model="offline", **members):
        return self.error(self.embed(input, model, want, **members), code)

    def error(self, answer, code):
        self.assertEqual(answer["error"]["code"], code, answer)
        return answer["error"]

    def ledger(self, model):
        return self.node.rows(f"SELECT provider, tokens_in, tokens_out, cost_micros, user_id FROM tb.usage_ledger WHERE model = '{model}' ORDER BY at")


class Embeddings(WithEmbeddings):
    def test_both_forms_of_each(self):
        for model in REMOTE:
            answer = self.embed(["one", "three"], model)
            self.assertEqual((answer["object"], answer["model"], [d["object"] for d in answer["data"]]), ("list", model, ["embedding"] * 2))
            numbers = self.vectors(["one", "three"], model, encoding_format="float")
            self.assertEqual([(len(v), v[0], round(v[1], 6)) for v in numbers], [(8, 3, 0.5), (8, 5, 0.5)])
            packed = self.vectors(["one", "three"], model, encoding_format="base64")
            for v, text in zip(numbers, packed):
                self.assertEqual([round(x, 6) for x in v], [round(x, 6) for x in floats(text)], model)
        self.assertEqual(self.vectors("alone", "openai/m")[0][0], 5)
        self.assertEqual(len(self.vectors("x", "openai/m", dimensions=3)[0]), 3)

    def test_many_come_in_their_order(self):
        texts = ["x" * (1 + i % 50) for i in range(700)]
        for form in ("float", "base64"):
            before = self.node.model_stats()["requests"]
            got = self.vectors(texts, "openai/m", encoding_format=form)
            self.assertEqual([len(t) for t in texts], [int((floats(v) if form == "base64" else v)[0]) for v in got])
            self.assertEqual(self.node.model_stats()["requests"] - before, 8 if form == "float" else 3)

    def test_servers_of_their_own_mind(self):
        for first in ("[floats]", "[swap]"):
            got = self.vectors([first + "a", first + "bb"], "openai/m", encoding_format="base64")
            self.assertEqual([int(floats(v)[0]) for v in got], [len(first) + 1, len(first) + 2])
        got = self.vectors(["[swap]a", "[swap]bb"], "openai/m")
        self.assertEqual([int(v[0]) for v in got], [7, 8])
        self.assertIn("more or less", self.refused(502, "model_broken_stream", ["[fewer]a", "b"], "openai/m")["message"])

    def test_what_providers_refuse(self):
        for status, want, code in ((400, 400, "model_bad_request"), (401, 502, "model_auth"), (429, 429, "model_rate_limit"),
                                   (503, 503, "model_overloaded")):
            said = self.refused(want, code, f"[status {status}]", "openai/refused")
            self.assertIn("no embeddings of that", said["message"])
        self.assertEqual(self.ledger("refused"), [])
        self.refused(400, "model_config", model="anthropic/claude-sonnet-4-5")
        self.refused(400, "model_config", model="nobody/x")
        self.refused(404, "model_not_found", model="text-embedding-3-small")

    def test_the_ledger_and_budgets(self):
        self.embed(["four", "fourfour"], "openai/text-embedding-3-large", user="u1")
        (row,) = self.ledger("text-embedding-3-large")
        self.assertEqual(row, {"provider": "openai", "tokens_in": 12, "tokens_out": 0, "cost_micros": 2, "user_id": "u1"})
        self.node.sql("SELECT tb.budget_set(1, 'user', 'poor', 'day', 60, NULL, NULL, NULL, gen_random_uuid(), 'test')")
        self.embed("x" * 30, "openai/budgeted", user="poor")
        used = lambda: self.node.rows("SELECT x FROM jsonb_array_elements(tb.budget_report(1, 'user', 'poor')) x")[0]["x"]["used"]
        self.assertEqual((used()["tokens"], used()["calls"]), (30, 1))
        said = self.refused(429, "budget_tokens", "x" * 100, "openai/budgeted", user="poor")
        self.assertIn("does not hold", said["message"])
        self.refused(400, "model_bad_request", "[status 400]", "openai/budgeted", user="poor")
        self.assertEqual((used()["tokens"], used()["calls"]), (30, 1))  # what failed is taken back
        self.embed("x" * 100, "openai/budgeted", user="rich")

    def test_an_agent_as_the_model(self):
        """As in OpenAI's other APIs: the header's model, the agent's, or words alone."""
        self.assertEqual(self.embed("x", "main")["model"], self.embed("x", "offline")["model"])
        self.assertEqual(self.embed("x", "default")["data"], self.embed("x", "agent/main")["data"])
        status, _, answer = self.node.post("/v1/agents", {"name": "embeds", "embeddingModel": "openai/of-the-agent"})
        self.assertEqual(status, 201, answer)
        self.assertEqual(self.embed("x", "embeds")["model"], "openai/of-the-agent")
        status, _, answer = self.node.post("/v1/embeddings", {"model": "embeds", "input": "x"}, headers={"x-openclaw-model": "openai/of-the-header"})
        self.assertEqual((status, answer["model"]), (200, "openai/of-the-header"))
        self.refused(404, "model_not_found", model="nobody")
        for wrong in ("openai/", "small", 7, ""):
            status, _, answer = self.node.post("/v1/agents", {"name": "wrong", "embeddingModel": wrong})
            self.assertEqual((status, answer["error"]["param"]), (400, "embeddingModel"), answer)
        self.assertEqual(len(self.embed(["x" * 600] * 2048)["data"]), 2048)  # as many, and as long together, as may come

    def test_model_tokens_of_a_token(self):
        limited, free = (self.node.post("/v1/tokens", {"scopes": ["run"], **more})[2]["token"] for more in ({"limits": {"tokensPerMinute": 50}}, {}))
        ask = lambda token: self.node.post("/v1/embeddings", {"model": "openai/counted", "input": "x" * 60}, token=token)
        self.assertEqual(ask(limited)[0], 200)
        _, head, answer = wait_for(lambda: (lambda got: got[0] == 429 and got)(ask(limited)), 5, 0.2)
        self.assertEqual((answer["error"]["code"], head["x-ratelimit-limit-tokens"]), ("rate_limited", "50"))
        self.assertIn("this token", answer["error"]["message"])
        self.assertEqual(ask(free)[0], 200)

    def test_a_key_of_the_tenant(self):
        status, _, key = self.node.post("/v1/providers/openai/keys", {"key": "sk-of-the-tenant-0001"})
        self.assertEqual(status, 201, key)
        try:
            self.node.fake_get("/control?key=sk-of-the-tenant-0001")
            self.embed("x", "openai/keyed")
        finally:
            self.node.fake_get("/control?key=")
            self.node.request("DELETE", f"/v1/providers/openai/keys/{key['id']}")

    # ---- by words alone

    def test_what_shares_words_is_near(self):
        cat, kitten, stock, same = self.vectors(["the cat sat on the mat", "a cat lay on the mat", "shares fell at an exchange", "The CAT sat on the mat!"])
        self.assertEqual(len(cat), 512)
        for v in (cat, kitten, stock):
            self.assertAlmostEqual(math.sqrt(near(v, v)), 1, 4)
        self.assertGreater(near(cat, kitten), near(cat, stock) + 0.2)
        self.assertAlmostEqual(near(cat, same), 1, 4)
        again = self.vectors("the cat sat on the mat", encoding_format="base64")[0]
        self.assertEqual([round(x, 6) for x in floats(again)], [round(x, 6) for x in cat])
        self.assertEqual(self.vectors("...")[0], self.vectors("...")[0])
        self.assertEqual(self.embed("x", "offline", dimensions=512)["usage"]["total_tokens"], 1)

    def test_long_ones_hold_nobody_up(self):
        """Bodies of half a megabyte, and beside them a run of the same worker."""
        big = [" ".join(str(uuid.uuid4()) for _ in range(2000))] * 4
        done = []
        threads = [threading.Thread(target=lambda: done.append(len(self.vectors(big, encoding_format="base64")))) for _ in range(3)]
        for t in threads:
            t.start()
        began = time.monotonic()
        run = self.node.enqueue("hello", session="beside")
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertLess(time.monotonic() - began, 10)
        for t in threads:
            t.join()
        self.assertEqual(done, [4] * 3)

    def test_what_is_wrong(self):
        for body, param in (({"input": ""}, "input"), ({"input": []}, "input"), ({"input": [""]}, "input[0]"), ({"input": [1, 2]}, "input[0]"),
                            ({"input": ["a", [1, 2]]}, "input[1]"), ({"input": ["a"] * 2049}, "input"), ({"input": 7}, "input"),
                            ({"input": "x", "encoding_format": "hex"}, "encoding_format"), ({"input": "x", "dimensions": 0}, "dimensions"),
                            ({"input": "x", "size": 1}, "size"), ({"model": "", "input": "x"}, "model")):
            status, _, answer = self.node.post("/v1/embeddings", {"model": "offline", **body})
            self.assertEqual((status, answer["error"]["param"]), (400, param), answer)
        self.assertIn("tokens", self.refused(400, "bad_request", [[1, 2]])["message"])
        self.refused(400, "bad_request", dimensions=256)
        self.assertEqual(self.node.post("/v1/embeddings", {"model": "offline"})[0], 400)
        self.assertEqual(self.node.request("POST", "/v1/embeddings", {"model": "offline", "input": "x"}, token="tb_none")[0], 401)
        self.assertEqual(len(self.vectors(["a"] * 2048, encoding_format="base64")), 2048)


if __name__ == "__main__":
    unittest.main()
