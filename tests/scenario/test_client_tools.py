# SPDX-License-Identifier: Apache-2.0
"""Tools of the client through the real programs: the model calls one, the run ends, the next message brings the result. Whoever dies in
between, each call has one result."""
import json
import os
import random
import sys
import uuid

from node import Node, ROOT, own, wait_for
from test_conversations import REMOTE
from test_main_job import text_of
from test_step_request import WithRecorder

sys.path.insert(0, os.path.join(ROOT, "tests", "chaos"))
from faults import DIE, Faults  # noqa: E402

LOOKUP = {"name": "lookup", "description": "looks it up", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}
BARE = {"name": "ring"}
NO_RESULT = "no result was given"


class WithClient(WithRecorder):
    def post(self, want=202, key=None, agent="main", **body):
        status, _, answer = self.node.post(f"/v1/agents/{agent}/runs", {"sessionKey": key or self.key, **body})
        self.assertEqual(status, want, answer)
        return answer.get("runId", answer)

    def ends(self, run, code=None):
        end = self.node.wait(run)
        self.assertEqual((end["status"], (end.get("error") or {}).get("code")), ("error" if code else "ok", code), (end, self.node.tail()))
        return end

    def turn(self, code=None, **body):
        """(its run, how it ended)."""
        run = self.post(**body)
        return run, self.ends(run, code)

    def open_calls(self, message='[tool lookup {"n":1}] hello', tools=(LOOKUP,), **body):
        """A turn that ends with calls of the client's: (its run, their ids)."""
        run, end = self.turn(message=message, clientTools=list(tools), **body)
        self.assertEqual(end["stop"], "client_tools")
        return run, [c["id"] for c in end["pendingToolCalls"]]

    def blocks(self, key=None):
        """(role, block) of the session, ids by the order of the calls."""
        rows = self.node.rows("SELECT role, content FROM tb.session_messages JOIN tb.agent_sessions USING (tenant_id, session_id)"
                              f" WHERE session_key = '{key or self.key}' ORDER BY seq")
        ids, out = {}, []
        for row in rows:
            for b in row["content"]["blocks"] or [None]:
                for private in ("opaque", "provider"):
                    (b or {}).pop(private, None)
                if b and "callId" in b:
                    b["callId"] = ids.setdefault(b["callId"], len(ids))
                out.append((row["role"], b))
        return out

    def results(self, key=None):
        """(call, its text, whether it failed), in the transcript's order."""
        return [(b["callId"], b["text"], b["isError"]) for role, b in self.blocks(key) if role == "tool"]

    def session(self, key=None):
        return self.node.sql(f"SELECT session_id FROM tb.agent_sessions WHERE session_key = '{key or self.key}'")

    def job(self, path, body=None, want=202):
        """A change of the transcript, to its end: its run."""
        status, _, answer = self.node.post(f"/v1/sessions/{self.session()}/{path}", body)
        self.assertEqual(status, want, answer)
        return answer

    def last_question(self):
        return json.loads(self.recorder.seen[-1][2])


def give(id, content, **members):
    return {"toolCallId": id, "content": content, **members}


class Turns(WithClient):
    def test_call_result_and_on_with_all_four(self):
        told = {}
        for model in REMOTE:
            key = self.key = uuid.uuid4().hex
            run, end = self.turn(message='[say 20][tool lookup {"n":7}] hello', clientTools=[LOOKUP, BARE], model=model)
            (call,) = end["pendingToolCalls"]
            self.assertEqual((end["stop"], call["name"], call["arguments"]), ("client_tools", "lookup", {"n": 7}))
            got = self.node.get(f"/v1/runs/{run}")[2]
            self.assertEqual((got["status"], got["stop"], got["pendingToolCalls"]), ("completed", "client_tools", [call]))
            events = [e for _, _, e in self.node.events(run)]
            (asked,) = [e for e in events if e["type"] == "tool"]
            self.assertEqual((asked["toolName"], asked["toolState"], asked["toolInput"]), ("lookup", "pending", {"n": 7}))
            self.assertEqual((asked["metadata"]["callId"], asked["metadata"]["clientSide"]), (call["id"], True))
            self.assertEqual((events[-1]["phase"], events[-1]["metadata"]["stop"]), ("end", "client_tools"))
            self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.tool_executions WHERE run_id = '{run}'"), "0")
            again, end = self.turn(toolResults=[give(call["id"], "it rains")], clientTools=[LOOKUP, BARE], model=model)
            self.assertNotIn("stop", end)
            self.assertEqual(end["result"]["text"], "done: it rains")
            body = json.dumps(self.last_question())
            self.assertEqual(body.count("it rains"), 1)
            self.assertIn('"ring"', body)
            told[model] = self.blocks(key)
            for r in (run, again):
                status, _, asked = self.node.get(f"/v1/runs/{r}/steps/1/request")
                self.assertEqual((status, asked["exact"]), (200, True), asked)
        for model in REMOTE:
            self.assertEqual(told[model], told[REMOTE[0]], model)
        self.assertEqual([(role, b and b["type"]) for role, b in told[REMOTE[0]]],
                         [("user", "text"), ("assistant", "text"), ("assistant", "tool_call"), ("user", None), ("tool", "tool_result"),
                          ("assistant", "text")])

    def test_beside_a_tool_of_the_runtime(self):
        """Its call is carried out first; the message behind the results is shown behind them; what has no result failed."""
        run, ids = self.open_calls('[tool lookup {"n":1}][tool memory_store {"text":"x","path":"%s.md"}][tool lookup {"n":2}] hi' % self.key)
        self.assertEqual(len(ids), 2)
        self.assertEqual(self.node.rows(f"SELECT tool, call_no, state FROM tb.tool_executions WHERE run_id = '{run}'"),
                         [{"tool": "memory_store", "call_no": 1, "state": "completed"}])
        self.assertEqual([(e["toolName"], e["toolState"]) for _, _, e in self.node.events(run) if e["type"] == "tool"],
                         [("memory_store", "running"), ("memory_store", "completed"), ("lookup", "pending"), ("lookup", "pending")])
        _, end = self.turn(message="thanks", toolResults=[give(ids[1], [{"type": "text", "text": "two"}], isError=True)])
        self.assertEqual(end["result"]["text"], "echo: thanks")
        self.assertEqual(self.results()[1:], [(0, NO_RESULT, True), (2, "two", True)])
        shown = [m["role"] for m in self.last_question()["messages"] if m["role"] != "system"]
        self.assertEqual(shown, ["user", "assistant", "tool", "tool", "tool", "user"])

    def test_without_any_result(self):
        self.open_calls()
        run, end = self.turn(message="never mind")
        self.assertEqual(end["result"]["text"], "echo: never mind")
        self.assertEqual(self.results(), [(0, NO_RESULT, True)])

    def test_results_of_no_open_call(self):
        _, (id,) = self.open_calls()
        run, end = self.turn("bad_request", toolResults=[give(id, "right"), give("nobody", "x")])
        self.assertIn("nobody", end["error"]["message"])
        self.assertEqual(self.results(), [])
        self.turn(toolResults=[give(id, "right")])
        _, end = self.turn("bad_request", toolResults=[give(id, "wrong")])
        self.assertIn("another result", end["error"]["message"])
        self.turn(message="again", toolResults=[give(id, "right")])  # as who sends again what failed behind it
        self.assertEqual(self.results(), [(0, "right", False)])

    def test_an_image_as_result(self):
        _, (id,) = self.open_calls(model="anthropic/claude-sonnet-4-5")
        self.turn(toolResults=[give(id, [{"type": "text", "text": "look"}, {"type": "image", "mediaType": "image/png", "data": "iVBORw0K"}])],
                  model="anthropic/claude-sonnet-4-5")
        self.assertIn("iVBORw0K", json.dumps(self.last_question()))

    def test_a_chosen_tool(self):
        said = {"openai/m": ("tool_choice", {"type": "function", "function": {"name": "lookup"}}),
                "openai-responses/gpt-5": ("tool_choice", {"type": "function", "name": "lookup"}),
                "anthropic/claude-sonnet-4-5": ("tool_choice", {"type": "tool", "name": "lookup"}),
                "gemini/gemini-3-pro": ("toolConfig", {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["lookup"]}})}
        for model, (member, value) in said.items():
            self.key = uuid.uuid4().hex
            self.recorder.seen.clear()
            self.turn(message='[tool memory_get {"path":"none.md"}] x', clientTools=[LOOKUP], toolChoice={"name": "lookup"}, model=model)
            asked = [json.loads(body).get(member) for _, _, body in self.recorder.seen]
            self.assertEqual(asked, [value, None], model)  # forced once, or the run would not end
        _, end = self.turn("bad_request", agent=self.agent(tools=[]), message="x", toolChoice={"name": "memory_get"})
        self.assertIn("memory_get", end["error"]["message"])

    def test_a_message_that_is_steered_in(self):
        """The calls are not handed out: something else was said meanwhile."""
        before = self.node.model_stats()["requests"]
        run = self.post(message='[delay 700][tool lookup {}] first', clientTools=[LOOKUP])
        wait_for(lambda: self.node.model_stats()["requests"] > before)
        self.post(message="second", queueMode="steer")
        end = self.ends(run)
        self.assertNotIn("stop", end)
        self.assertEqual(end["result"]["text"], "echo: second")
        self.assertEqual(self.results(), [(0, "Skipped to process an incoming message.", True)])

    def test_no_policy_is_asked(self):
        """The agent has no tool of the runtime; its client's are not its own."""
        _, ids = self.open_calls(agent=self.agent(tools=[]))
        self.assertEqual(len(ids), 1)

    def test_what_is_wrong_is_refused(self):
        for body, param in (({"clientTools": [{"name": "bash"}]}, "clientTools[0].name"), ({"toolChoice": {"name": "x"}}, "toolChoice"),
                            ({"toolResults": [{"toolCallId": "a"}]}, "toolResults[0].content"),
                            ({"clientTools": [], "queueMode": "steer"}, "queueMode")):
            answer = self.post(400, message="x", **body)
            self.assertEqual(answer["error"]["param"], param)

    # ---- what is done to a session whose last turn left calls open

    def test_regenerate_and_edit(self):
        self.open_calls()
        run = self.job("regenerate")["runId"]
        (call,) = self.ends(run)["pendingToolCalls"]
        self.turn(message="so?", toolResults=[give(call["id"], "rain")])
        self.ends(self.job("regenerate")["runId"])  # the result is the message's: it is brought again
        self.assertEqual(self.results(), [(0, "rain", False)] * 2)
        end = self.ends(self.job("edit", {"message": "and now?"})["runId"])
        self.assertEqual(end["result"]["text"], "echo: and now?")
        self.assertEqual(self.results(), [(0, "rain", False)] * 3)

    def test_fork_export_and_import(self):
        _, (id,) = self.open_calls()
        self.ends(self.job("fork", {"sessionKey": self.key + "-fork"})["runId"])
        status, _, lines = self.node.get(f"/v1/sessions/{self.session()}/export")
        self.assertEqual(status, 200)
        for key in (self.key + "-fork", self.key):
            self.turn(key=key, toolResults=[give(id, "rain")])
            self.assertEqual(self.results(key), [(0, "rain", False)])

    def test_compact(self):
        self.turn(message="before")
        _, (id,) = self.open_calls()
        self.ends(self.job("compact", {"keepRecentMessages": 0})["runId"])
        self.turn(message="go on", toolResults=[give(id, "rain")])
        self.assertEqual(self.results(), [(0, "rain", False)])
        shown = [m["role"] for m in self.last_question()["messages"] if m["role"] != "system"]
        self.assertEqual(shown[-3:], ["assistant", "tool", "user"])

    def test_append_and_reset(self):
        _, (id,) = self.open_calls()
        self.ends(self.job("append", {"role": "assistant", "message": "a note"})["runId"])
        self.turn(toolResults=[give(id, "rain")])
        self.assertEqual(self.results(), [(0, "rain", False)])
        _, (id,) = self.open_calls()
        self.ends(self.job("reset")["runId"])
        self.turn("bad_request", toolResults=[give(id, "rain")])
        self.turn(message="anew")


class Deaths(WithClient):
    """The worker dies at each instant of a turn that leaves calls open, and of the one that answers them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.stop()
        cls.faults = Faults(cls.node.dir)
        own(cls.node.dir)
        cls.node.env.update(cls.faults.env())
        cls.addClassCleanup(cls.faults.close)
        cls.node.start_daemon()
        cls.node.wait_ready()

    def tearDown(self):
        self.faults.disarm()
        super().tearDown()

    def strike(self, point, **body):
        before = self.faults.hits(point)
        self.faults.arm(point, DIE)
        run, end = self.turn(**body)
        self.assertEqual(self.faults.hits(point), before + 1, point)
        return end

    def some(self, points):
        """One of them, unless there is time."""
        return points if os.environ.get("TB_LONG") else [random.choice(points)]

    def test_a_turn_that_leaves_calls_open(self):
        mixed = '[tool lookup {"n":1}][tool memory_store {"text":"x","path":"%s.md"}] hello'
        for point in self.some(["worker.start", "worker.t2.send", "worker.t2.landed", "worker.t3.landed", "worker.t5.send",
                                "worker.t5.landed"]):
            self.key = uuid.uuid4().hex
            end = self.strike(point, message=mixed % self.key, clientTools=[LOOKUP])
            self.assertEqual([c["name"] for c in end["pendingToolCalls"]], ["lookup"], point)
            self.turn(toolResults=[give(end["pendingToolCalls"][0]["id"], "rain")])
            self.assertEqual([(c, t) for c, t, _ in self.results() if c == 0], [(0, "rain")], point)

    def test_a_turn_that_answers_them(self):
        for point in ["worker.results.landed"] + self.some(["worker.start", "worker.t5.send", "worker.t5.landed"]) * bool(os.environ.get("TB_LONG")):
            self.key = uuid.uuid4().hex
            _, (id,) = self.open_calls()
            self.strike(point, toolResults=[give(id, "rain")], clientTools=[LOOKUP])
            self.assertEqual(self.results(), [(0, "rain", False)], point)
            body = json.dumps(self.last_question())
            self.assertEqual((body.count("rain"), body.count('"lookup"') > 0), (1, True), point)
