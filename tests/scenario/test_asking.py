# SPDX-License-Identifier: Apache-2.0
"""How a run asks its models: parameters of the agent and of the message, the chain of fallbacks, and what follows each kind of failure."""
import http.server
import threading
import time

from node import Node, wait_for
from test_queue_modes import WithQueue

together = True


class Failing(http.server.BaseHTTPRequestHandler):
    """A provider that refuses everything, with what the test says."""
    status, body, headers, asked = 500, b"{}", {}, 0

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        type(self).asked += 1
        self.send_response(self.status)
        for name, value in self.headers_to_send.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args):
        pass


class WithTwo(WithQueue):
    """vllm answers, as the fake model does; openrouter refuses."""
    @classmethod
    def setUpClass(cls):
        cls.refusing = type("Refusing", (Failing,), {"headers_to_send": {}})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), cls.refusing)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        cls.node = Node(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start_fake()
        cls.node.env.update({
            "VLLM_BASE_URL": cls.node.env["OPENAI_BASE_URL"], "VLLM_API_KEY": cls.node.env["OPENAI_API_KEY"],
            "OPENROUTER_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}", "OPENROUTER_API_KEY": "sk-refused-for-ever",
            "LLAMACPP_BASE_URL": "http://127.0.0.1:1"})
        cls.node.start()

    def setUp(self):
        """Nobody remembers what was refused before."""
        self.node.sql("DELETE FROM tb.provider_cooldowns")
        time.sleep(1.1)  # what a worker knows of them is that old at most

    def cooldowns(self):
        return {(c["provider"], c["model"]): c["reason"] for c in self.node.rows("SELECT * FROM tb.provider_cooldowns WHERE until_at > now()")}

    def refuse(self, status, body=b"{}", **headers):
        self.refusing.status, self.refusing.body, self.refusing.headers_to_send, self.refusing.asked = status, body, headers, 0

    def ask(self, agent, message="hello", **members):
        status, _, answer = self.node.post(f"/v1/agents/{agent}/runs", {"message": message, "sessionKey": f"s-{agent}", **members})
        self.assertEqual(status, 202, answer)
        return answer["runId"]

    def failovers(self, run):
        return [e["body"]["metadata"] for e in self.node.rows(
            f"SELECT body FROM tb.run_events WHERE run_id = '{run}' AND type = 'lifecycle' ORDER BY ev_seq")
            if e["body"].get("phase") == "failover"]

    def used(self, run):
        return [(u["provider"], u["model"]) for u in self.node.rows(
            f"SELECT provider, model FROM tb.usage_ledger WHERE run_id = '{run}' ORDER BY step, call_no")]


class Chain(WithTwo):
    def test_a_key_that_is_refused(self):
        self.refuse(401, b'{"error":{"message":"no such key: sk-refused-for-ever","code":"invalid_api_key"}}')
        agent = self.agent(model="openrouter/a", fallbacks=["vllm/b"])
        run = self.ask(agent)
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        self.assertEqual(self.refusing.asked, 1)  # nobody asks again with a bad key
        self.assertEqual(self.used(run), [("vllm", "b")])
        (moved,) = self.failovers(run)
        self.assertEqual((moved["from"], moved["to"], moved["code"]), ("openrouter/a", "vllm/b", "model_auth"))
        self.assertNotIn("sk-refused", moved["message"])

    def test_one_that_is_overloaded(self):
        self.refuse(529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
        agent = self.agent(model="openrouter/a", fallbacks=["vllm/b"])
        run = self.ask(agent, "[tool memory_get {}]")
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        self.assertEqual(self.refusing.asked, 3)
        self.assertEqual(self.used(run), [("vllm", "b")] * 2)  # the run stays where it was answered
        self.assertEqual(len(self.failovers(run)), 1)

    def test_one_that_asks_for_a_long_pause(self):
        self.refuse(429, b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', **{"retry-after": "3600"})
        run = self.ask(self.agent(model="openrouter/a", fallbacks=["vllm/b"]))
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        self.assertEqual(self.refusing.asked, 1)

    def test_one_that_is_not_there(self):
        run = self.ask(self.agent(model="llamacpp/a", fallbacks=["nobody/x", "vllm/b"]))
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        self.assertEqual([m["code"] for m in self.failovers(run)], ["network", "model_config"])
        self.assertEqual(self.used(run), [("vllm", "b")])

    def test_a_question_that_is_refused_is_not_asked_elsewhere(self):
        self.refuse(400, b'{"error":{"message":"bad field","type":"invalid_request_error"}}')
        run = self.ask(self.agent(model="openrouter/a", fallbacks=["vllm/b"]))
        end = self.node.wait(run)
        self.assertEqual((end["status"], end["error"]["code"]), ("error", "model_bad_request"))
        self.assertIn("bad field", end["error"]["message"])
        self.assertEqual((self.refusing.asked, self.used(run)), (1, []))

    def test_who_chose_a_model_meant_that_one(self):
        self.refuse(401)
        agent = self.agent(model="vllm/b", fallbacks=["vllm/c"])
        run = self.ask(agent, model="openrouter/a")
        self.assertEqual(self.node.wait(run)["error"]["code"], "model_auth")
        self.assertEqual(self.used(run), [])
        run = self.ask(agent, model="openrouter/a", fallbacks=["vllm/d"])
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.used(run), [("vllm", "d")])
        run = self.ask(agent)  # of that message alone
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.used(run), [("vllm", "b")])

    def test_what_was_streamed_by_the_first_is_void(self):
        agent = self.agent(model="openai/a", fallbacks=["vllm/b"])
        run = self.ask(agent, "[chunks 8][pause 30][cut 3 3]once more with feeling")
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        self.assertEqual(self.node.sql("SELECT count(*) FROM tb.run_events WHERE type = 'assistant' AND body->'metadata'->>'reset' = 'true'"
                                       f" AND run_id = '{run}'"), "3")
        self.assertEqual(len(self.failovers(run)), 1)
        texts = self.node.rows(f"SELECT content FROM tb.session_messages WHERE run_id = '{run}' AND role = 'assistant'")
        self.assertEqual([b["text"] for t in texts for b in t["content"]["blocks"]], ["echo: once more with feeling"])


class Parameters(WithTwo):
    def asked(self):
        return self.node.fake_get("/last")

    def test_of_the_agent_and_of_the_message(self):
        schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False, "required": ["x"]}
        agent = self.agent(model="openai/m", systemPrompt="be kind", temperature=0.25, maxTokens=77, stop=["END"], reasoningEffort="low")
        self.assertEqual(self.node.wait(self.ask(agent))["status"], "ok")
        q = self.asked()
        self.assertEqual((q["temperature"], q["max_completion_tokens"], q["stop"], q["reasoning_effort"]), (0.25, 77, ["END"], "low"))
        self.assertEqual(q["messages"][0], {"role": "system", "content": "be kind"})
        self.assertNotIn("response_format", q)
        run = self.ask(agent, temperature=0, maxTokens=5, system="and brief", responseSchema=schema, tools=["memory_get", "group:filesystem"],
                       metadata={"ticket": 7})
        self.assertEqual(self.node.wait(run)["status"], "ok")
        q = self.asked()
        self.assertEqual((q["temperature"], q["max_completion_tokens"], q["stop"]), (0, 5, ["END"]))
        self.assertEqual(q["messages"][0]["content"], "be kind\n\nand brief")
        self.assertEqual(q["response_format"]["json_schema"]["schema"], schema)
        self.assertEqual({t["function"]["name"] for t in q["tools"]}, {"memory_get", "read", "write", "edit", "list_directory"})
        self.assertEqual(self.node.wait(self.ask(agent))["status"], "ok")
        q = self.asked()  # of the one message alone
        self.assertEqual((q["temperature"], q["max_completion_tokens"], q["messages"][0]["content"]), (0.25, 77, "be kind"))
        self.assertIn("memory_store", {t["function"]["name"] for t in q["tools"]})
        (kept,) = self.node.rows(f"SELECT content FROM tb.session_messages WHERE run_id = '{run}' AND role = 'user'")
        self.assertEqual(kept["content"]["overrides"]["metadata"], {"ticket": 7})

    def test_a_tool_that_the_message_leaves_out_is_not_run(self):
        run = self.ask(self.agent(model="openai/m"), '[tool memory_store {"text":"x"}]', tools=["memory_get"])
        self.assertEqual(self.node.wait(run)["status"], "ok")
        (row,) = self.node.rows(f"SELECT state, error_class, output FROM tb.tool_executions WHERE run_id = '{run}'")
        self.assertEqual((row["state"], row["error_class"]), ("error", "tool_denied"))
        self.assertIn("the message of this run leaves it out", row["output"]["error"])

    def test_images(self):
        dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        run = self.ask(self.agent(model="openai/m"), [{"type": "text", "text": "what is this?"},
                                                      {"type": "image", "mediaType": "image/png", "data": dot}])
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.asked()["messages"][-1]["content"][1]["image_url"]["url"], "data:image/png;base64," + dot)

    def test_what_is_wrong_is_named(self):
        agent = self.agent(model="openai/m")
        for member, value in (("model", "gpt"), ("temperature", 9), ("tools", ["hammer"]), ("reasoningEffort", 3), ("systemPrompt", "x")):
            status, _, answer = self.node.post(f"/v1/agents/{agent}/runs", {"message": "x", member: value})
            self.assertEqual((status, answer["error"]["param"]), (400, member), answer)
        run = self.ask(self.agent(model="openai/m", temperature="hot"))
        end = self.node.wait(run)
        self.assertEqual(end["error"]["code"], "model_config")
        self.assertIn("temperature must be a number from 0 to 2", end["error"]["message"])


class Circles(WithTwo):
    def agent_with(self, limit):
        """One that may make so many calls."""
        agent = self.agent(model="openai/m")
        self.node.sql(f"UPDATE tb.agent_tool_policies SET max_calls_per_turn = {limit} WHERE agent_id ="
                      f" (SELECT agent_id FROM tb.agents WHERE name = '{agent}')")
        return agent

    def circling(self, limit):
        run = self.ask(self.agent_with(limit), '[loop memory_get {"path":"nothing.md"}]')
        return run, self.node.wait(run)

    def test_the_same_call_for_ever(self):
        run, end = self.circling(1000)
        self.assertEqual((end["status"], end["error"]["code"]), ("error", "tool_loop"), end)
        rows = self.node.rows(f"SELECT step, error_class FROM tb.tool_executions WHERE run_id = '{run}' ORDER BY step")
        self.assertEqual([r["error_class"] for r in rows[:20]], ["tool_failed"] * 20)  # made: there is no such note
        self.assertEqual([r["error_class"] for r in rows[20:]], ["tool_loop"] * 11)  # ten refused, with one the run ended
        said = [b["text"] for m in self.transcript(run) if m["role"] == "tool" for b in m["content"]["blocks"]]
        self.assertEqual([i for i, t in enumerate(said, 1) if "this very result" in t][0], 10)
        self.assertEqual(len(said), 31)  # each call has its result
        after = self.ask(self.agent(model="openai/m"), "on we go")
        self.assertEqual(self.node.wait(after)["status"], "ok")

    def test_a_circle_goes_on_after_a_crash(self):
        """What was done before the worker died counts: also as Postgres gives arguments and results back."""
        agent = self.agent_with(1000)
        run = self.ask(agent, '[delay 40][loop memory_get {"path":"nothing.md"}]')
        for made in (12, 24):
            wait_for(lambda: int(self.node.sql(f"SELECT count(*) FROM tb.tool_executions WHERE run_id = '{run}'")) >= made, every=0.01)
            worker = self.node.sql(f"SELECT worker FROM tb.agent_run_queue WHERE run_id = '{run}'")
            self.node.kill("worker", int(worker))
        end = self.node.wait(run)
        self.assertEqual((end["status"], end["error"]["code"]), ("error", "tool_loop"), end)
        rows = self.node.rows(f"SELECT error_class FROM tb.tool_executions WHERE run_id = '{run}' ORDER BY step")
        self.assertEqual([r["error_class"] for r in rows], ["tool_failed"] * 20 + ["tool_loop"] * 11)

    def test_calls_beyond_the_limit_are_a_circle_too(self):
        run, end = self.circling(2)
        self.assertEqual(end["error"]["code"], "tool_loop")
        self.assertLess(int(self.node.sql(f"SELECT count(*) FROM tb.usage_ledger WHERE run_id = '{run}'")), 40)


class Cooldowns(WithTwo):
    def test_what_one_run_was_refused_no_other_asks(self):
        self.refuse(429, b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', **{"retry-after": "60"})
        agent = self.agent(model="openrouter/a", fallbacks=["vllm/b"])
        self.assertEqual(self.node.wait(self.ask(agent))["status"], "ok")
        self.assertEqual(self.cooldowns(), {("openrouter", "a"): "model_rate_limit"})
        others = [self.ask(self.agent(model="openrouter/a", fallbacks=["vllm/b"])) for _ in range(10)]
        for run in others:
            self.assertEqual(self.node.wait(run)["status"], "ok")
            self.assertEqual([m["code"] for m in self.failovers(run)], ["model_rate_limit"])
        self.assertEqual(self.refusing.asked, 1)
        run = self.ask(self.agent(model="openrouter/other", fallbacks=["vllm/b"]))  # of that model alone
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.assertEqual(self.refusing.asked, 2)

    def test_a_key_that_is_refused_is_for_all_models(self):
        self.refuse(401)
        self.assertEqual(self.node.wait(self.ask(self.agent(model="openrouter/a", fallbacks=["vllm/b"])))["status"], "ok")
        self.assertEqual(self.cooldowns(), {("openrouter", ""): "model_auth"})
        self.assertEqual(self.node.wait(self.ask(self.agent(model="openrouter/z", fallbacks=["vllm/b"])))["status"], "ok")
        self.assertEqual(self.refusing.asked, 1)
        # Where there is no other model it is asked: the key may have been mended meanwhile.
        self.assertEqual(self.node.wait(self.ask(self.agent(model="openrouter/a")))["error"]["code"], "model_auth")
        self.assertEqual(self.refusing.asked, 2)

    def test_without_another_model_the_run_waits_as_long(self):
        self.refuse(429, **{"retry-after": "100"})
        first, second = (self.ask(self.agent(model="openrouter/a")) for _ in range(2))
        for run in (first, second):
            wait_for(lambda: self.node.sql(f"SELECT state FROM tb.agent_run_queue WHERE run_id = '{run}'") == "retry_wait")
            left = float(self.node.sql(f"SELECT extract(epoch FROM run_at - now()) FROM tb.agent_run_queue WHERE run_id = '{run}'"))
            self.assertTrue(95 < left < 125, left)
            self.node.post(f"/v1/runs/{run}/cancel")
        self.assertLessEqual(self.refusing.asked, 2)  # both may have been under way

    def test_a_success_ends_it(self):
        self.node.sql("INSERT INTO tb.provider_cooldowns (tenant_id, provider, model, key_id, until_at, reason) VALUES"
                      " (0, 'openai', 'm', '00000000-0000-0000-0000-000000000000', now() + interval '1 hour', 'model_overloaded')")
        self.assertEqual(self.node.wait(self.ask(self.agent(model="openai/m")))["status"], "ok")
        wait_for(lambda: self.cooldowns() == {})
