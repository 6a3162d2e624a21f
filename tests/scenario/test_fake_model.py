# SPDX-License-Identifier: Apache-2.0
"""The scripted model server itself: one script means the same in every wire format, and what a provider would refuse is refused."""
import http.client
import json
import os
import socket
import ssl
import subprocess
import unittest

from node import default_build, wait_for


def sse(text):
    """(event name or None, data as dict or text) of a stream; one kind of line end per stream."""
    out = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in fields:
            data = fields["data"]
            try:
                data = json.loads(data)
            except ValueError:
                pass
            out.append((fields.get("event"), data))
    return out


class Format:
    """One wire format, as a client writes and reads it. A transcript is a list of ("user", text), ("calls", [(id, name, args, extra)]),
    ("text", text) and ("results", [(id, name, text)])."""
    headers = {"Authorization": "Bearer k"}


class OpenAI(Format):
    path = "/v1/chat/completions"

    def body(self, transcript):
        messages = [{"role": "system", "content": "be brief"}]
        for kind, value in transcript:
            if kind == "user":
                messages.append({"role": "user", "content": value})
            elif kind == "text":
                messages.append({"role": "assistant", "content": value})
            elif kind == "calls":
                messages.append({"role": "assistant", "content": None, "tool_calls": [
                    {"id": i, "type": "function", "function": {"name": n, "arguments": json.dumps(a)}} for i, n, a, _ in value]})
            else:
                messages += [{"role": "tool", "tool_call_id": i, "content": t} for i, _, t in value]
        return {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "messages": messages}

    def read(self, events):
        text, thought, calls, usage = "", "", {}, None
        for _, e in events:
            if e == "[DONE]":
                continue
            usage = e.get("usage", usage)
            for choice in e["choices"]:
                delta = choice["delta"]
                text += delta.get("content") or ""
                thought += delta.get("reasoning_content", "")
                for c in delta.get("tool_calls", []):
                    call = calls.setdefault(c["index"], {"id": c.get("id"), "name": c["function"].get("name"), "args": ""})
                    call["args"] += c["function"]["arguments"]
        return {"text": text, "thought": thought, "in": usage["prompt_tokens"], "out": usage["completion_tokens"],
                "calls": [(c["id"], c["name"], json.loads(c["args"]), None) for c in calls.values()]}


class Anthropic(Format):
    path = "/v1/messages"
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}

    def body(self, transcript):
        messages = []

        def add(role, blocks):
            if messages and messages[-1]["role"] == role:
                messages[-1]["content"] += blocks
            else:
                messages.append({"role": role, "content": blocks})
        for kind, value in transcript:
            if kind == "user":
                add("user", [{"type": "text", "text": value}])
            elif kind == "text":
                add("assistant", [{"type": "text", "text": value}])
            elif kind == "calls":
                add("assistant", [{"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a, _ in value])
            else:
                add("user", [{"type": "tool_result", "tool_use_id": i, "content": t} for i, _, t in value])
        return {"model": "m", "stream": True, "max_tokens": 100, "messages": messages}

    def read(self, events):
        blocks, usage = {}, None
        for event, e in events:
            assert event == e["type"]
            if event == "content_block_start":
                blocks[e["index"]] = dict(e["content_block"], json="")
            elif event == "content_block_delta":
                for key, value in e["delta"].items():
                    if key == "partial_json":
                        blocks[e["index"]]["json"] += value
                    elif key != "type":
                        blocks[e["index"]][key] += value
            elif event == "message_delta":
                usage = e["usage"]
        assert events[0][0] == "message_start" and events[-1][0] == "message_stop"
        said = lambda kind: [b for b in blocks.values() if b["type"] == kind]
        return {"text": "".join(b["text"] for b in said("text")), "thought": "".join(b["thinking"] for b in said("thinking")),
                "blocks": list(blocks.values()), "out": usage["output_tokens"],
                "in": usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"],
                "calls": [(b["id"], b["name"], json.loads(b["json"] or "{}"), None) for b in said("tool_use")]}


class Gemini(Format):
    path = "/v1beta/models/m:streamGenerateContent?alt=sse"
    headers = {"x-goog-api-key": "k"}

    def body(self, transcript):
        contents = []
        for kind, value in transcript:
            if kind == "user":
                contents.append({"role": "user", "parts": [{"text": value}]})
            elif kind == "text":
                contents.append({"role": "model", "parts": [{"text": value}]})
            elif kind == "calls":
                contents.append({"role": "model", "parts": [
                    {"functionCall": {"name": n, "args": a}, **({"thoughtSignature": s} if s else {})} for _, n, a, s in value]})
            else:
                contents.append({"role": "user", "parts": [{"functionResponse": {"name": n, "response": {"output": t}}}
                                                           for _, n, t in value]})
        return {"contents": contents}

    def read(self, events):
        parts, last = [], None
        for event, e in events:
            assert event is None
            parts += e["candidates"][0]["content"]["parts"]
            last = e
        assert last["candidates"][0]["finishReason"] == "STOP"
        usage = last["usageMetadata"]
        assert usage["totalTokenCount"] == sum(usage.get(k, 0) for k in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"))
        return {"text": "".join(p["text"] for p in parts if "text" in p and not p.get("thought")), "parts": parts,
                "thought": "".join(p["text"] for p in parts if p.get("thought")), "in": usage["promptTokenCount"],
                "out": usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0),
                "calls": [(None, p["functionCall"]["name"], p["functionCall"]["args"], p.get("thoughtSignature"))
                          for p in parts if "functionCall" in p]}


class Responses(Format):
    path = "/v1/responses"

    def body(self, transcript):
        items = []
        for kind, value in transcript:
            if kind == "user":
                items.append({"role": "user", "content": [{"type": "input_text", "text": value}]})
            elif kind == "text":
                items.append({"role": "assistant", "content": [{"type": "output_text", "text": value}]})
            elif kind == "calls":
                items += [{"type": "function_call", "call_id": i, "name": n, "arguments": json.dumps(a)} for i, n, a, _ in value]
            else:
                items += [{"type": "function_call_output", "call_id": i, "output": t} for i, _, t in value]
        return {"model": "m", "stream": True, "store": False, "input": items, "include": ["reasoning.encrypted_content"]}

    def read(self, events):
        deltas = {}
        for n, (event, e) in enumerate(events):
            assert event == e["type"] and e["sequence_number"] == n, e
            if event.endswith(".delta"):
                deltas[e["item_id"]] = deltas.get(e["item_id"], "") + e["delta"]
        response = events[-1][1]["response"]
        assert [e for e, _ in events[:2]] == ["response.created", "response.in_progress"] and events[-1][0] == "response.completed"
        items = response["output"]
        done = [e["item"] for event, e in events if event == "response.output_item.done"]
        assert items == done
        texts = {i["id"]: i["content"][0]["text"] for i in items if i["type"] == "message"}
        args = {i["id"]: i["arguments"] for i in items if i["type"] == "function_call"}
        thoughts = {i["id"]: i["summary"][0]["text"] for i in items if i["type"] == "reasoning"}
        assert deltas == {**texts, **args, **thoughts}
        return {"text": "".join(texts.values()), "thought": "".join(thoughts.values()), "items": items,
                "in": response["usage"]["input_tokens"], "out": response["usage"]["output_tokens"],
                "calls": [(i["call_id"], i["name"], json.loads(i["arguments"]), None) for i in items if i["type"] == "function_call"]}


FORMATS = (OpenAI(), Anthropic(), Gemini(), Responses())


class FakeModel(unittest.TestCase):
    def setUp(self):
        p = subprocess.Popen([os.path.join(default_build(), "bin", "fake-model")], stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, p)
        self.port = int(p.stdout.readline().split()[1])

    def end(self, p):
        p.terminate()
        self.assertEqual(p.wait(20), 0)
        p.stdout.close()

    def ask(self, method, path, body=None, headers=None):
        """(status, headers by lower-case name, text)"""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            c.request(method, path, json.dumps(body) if body is not None else None, headers or {})
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read().decode()
        finally:
            c.close()

    def get(self, path):
        return json.loads(self.ask("GET", path)[2])

    def post(self, f, transcript, **change):
        return self.ask("POST", f.path, {**f.body(transcript), **change}, f.headers)

    def answer(self, f, transcript):
        status, _, text = self.post(f, transcript)
        self.assertEqual(status, 200, text)
        return f.read(sse(text))

    def refused(self, f, status, words, transcript, **change):
        got, head, text = self.post(f, transcript, **change)
        self.assertEqual(got, status, text)
        self.assertIn(words, text)
        return head, json.loads(text)

    def test_one_script_in_every_format(self):
        script = '[think 60][say 40][tool add {"a":1,"b":"ü\\n"}][tool now] go'
        for f in FORMATS:
            with self.subTest(f.path):
                answer = self.answer(f, [("user", script)])
                self.assertEqual([c[1:3] for c in answer["calls"]], [("add", {"a": 1, "b": "ü\n"}), ("now", {})])
                self.assertEqual((len(answer["text"]), len(answer["thought"])), (40, 60))
                ids = [c[0] for c in answer["calls"]]
                self.assertEqual(len(set(ids)), 1 if isinstance(f, Gemini) else 2)
                calls = [(i or f"x{n}", name, args, extra) for n, (i, name, args, extra) in enumerate(answer["calls"])]
                results = [(i, name, f"{name} says so") for i, name, _, _ in calls]
                turn = [("user", script), ("calls", calls), ("results", results)]
                self.assertEqual(self.answer(f, turn)["text"], "done: now says so")
                answer = self.answer(f, turn + [("user", "and this?")])
                self.assertEqual((answer["text"], answer["calls"]), ("echo: and this?", []))
                answer = self.answer(f, turn + [("text", "done."), ("user", "[size 999][chunks 7]")])
                self.assertEqual((len(answer["text"]), answer["out"]), (999, 7))
                self.assertEqual(answer["in"], len(json.dumps(f.body(turn + [("text", "done."), ("user", "[size 999][chunks 7]")]))) // 4)

    def test_what_was_told_is_counted(self):
        told = {"in": 0, "out": 0}
        for f in FORMATS:
            answer = self.answer(f, [("user", "[chunks 9][think 50] hello")])
            told = {k: told[k] + answer[k] for k in told}
            self.post(f, [("user", "[status 500] x")])
        stats = self.get("/stats")
        self.assertEqual((stats["told_in"], stats["told_out"]), (told["in"], told["out"]))

    def test_pairs(self):
        a, b = ("a", "add", {}, None), ("b", "now", {}, None)
        ra, rb = ("a", "add", "1"), ("b", "now", "2")
        for f in FORMATS:
            if isinstance(f, Gemini):
                a = a[:3] + ("skip_thought_signature_validator",)
            start = [("user", "x")]
            good = start + [("calls", [a, b]), ("results", [ra, rb])]
            self.answer(f, good)
            for wrong in (start + [("calls", [a, b]), ("results", [ra])], start + [("calls", [a, b])],
                          start + [("results", [ra])], start + [("calls", [a, b]), ("results", [ra]), ("user", "y")],
                          start + [("calls", [a]), ("results", [ra, ra])], start + [("calls", [a]), ("results", [rb])], start[1:]):
                if not wrong and isinstance(f, OpenAI):
                    continue  # a system message is enough
                with self.subTest(f.path, wrong=wrong):
                    status, _, text = self.post(f, wrong)
                    self.assertEqual(status, 400, text)
                    error = json.loads(text)["error"]
                    self.assertIn("INVALID_ARGUMENT" if isinstance(f, Gemini) else "invalid_request_error",
                                  (error.get("status"), error.get("type")))
            if isinstance(f, (Anthropic, Responses)):  # all of the conversation's
                self.refused(f, 400, "", good + [("text", "x"), ("user", "y")] + good[1:])
            if not isinstance(f, Gemini):  # whose calls have no ids
                self.refused(f, 400, "", start + [("calls", [a, a]), ("results", [ra])])

    def test_anthropics_own_rules(self):
        f = FORMATS[1]
        user = ("user", "x")
        m = lambda *messages: {"messages": [{"role": r, "content": c} for r, c in messages]}
        self.refused(f, 400, "alternate", [], **m(("user", "x"), ("user", "y")))
        self.refused(f, 400, "alternate", [], **m(("assistant", "x"), ("user", "y")))
        self.refused(f, 400, "last one", [], **m(("user", "x"), ("assistant", "y")))
        self.refused(f, 400, "non-empty", [], **m(("user", "")))
        self.refused(f, 400, "non-empty", [], **m(("user", [])))
        self.refused(f, 400, "come first", [], **m(("user", "x"), ("assistant", [{"type": "tool_use", "id": "a", "name": "n", "input": {}}]), (
            "user", [{"type": "text", "text": "y"}, {"type": "tool_result", "tool_use_id": "a", "content": "r"}])))
        self.refused(f, 400, "dictionary", [], **m(("user", "x"), (
            "assistant", [{"type": "tool_use", "id": "a", "name": "n", "input": "s"}]), ("user", "x")))
        self.refused(f, 400, "does not match", [], **m(("user", "x"), (
            "assistant", [{"type": "tool_use", "id": "a:b", "name": "n", "input": {}}]), ("user", "x")))
        self.refused(f, 400, "max_tokens", [user], max_tokens=None)
        self.refused(f, 400, "input_schema", [user], tools=[{"name": "n", "input_schema": {}}])
        mark = {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}
        self.refused(f, 400, "Found 5", [user], system=[mark] * 5)
        status, _, text = self.ask("POST", f.path, f.body([user]), {"x-api-key": "k"})
        self.assertEqual((status, "anthropic-version" in text), (400, True))
        answer = self.answer(f, [("user", "[think 30] hm")])
        thought = {k: answer["blocks"][0][k] for k in ("type", "thinking", "signature")}
        history = lambda t: m(("user", "x"), ("assistant", [t, {"type": "text", "text": "y"}]), ("user", "z"))
        self.assertEqual(self.post(f, [], **history(thought))[0], 200)
        self.refused(f, 400, "signature", [], **history({**thought, "thinking": "something else"}))
        self.refused(f, 400, "signature", [], **history({k: v for k, v in thought.items() if k != "signature"}))

    def test_gemini_wants_its_signatures_back(self):
        f = FORMATS[2]
        script = ("user", "[tool add][tool now] go")
        calls = self.answer(f, [script])["calls"]
        self.assertTrue(calls[0][3])
        self.assertIsNone(calls[1][3])
        results = ("results", [(None, "add", "1"), (None, "now", "2")])
        self.answer(f, [script, ("calls", calls), results])
        dummy = [calls[0][:3] + ("skip_thought_signature_validator",), calls[1]]
        self.answer(f, [script, ("calls", dummy), results])
        for first in (None, calls[0][3][:-1], "A" + calls[0][3]):
            self.refused(f, 400, "ignature", [script, ("calls", [calls[0][:3] + (first,), calls[1]]), results, ("text", "y"), ("user", "z")])
        self.refused(f, 400, "Struct", [], contents=[script_content(script[1])] + [
            {"role": "model", "parts": [{"functionCall": {"name": "add", "args": {}}, "thoughtSignature": calls[0][3]}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "add", "response": "text"}}]}])
        self.refused(f, 400, "valid role", [], contents=[{"role": "assistant", "parts": [{"text": "x"}]}])
        status, _, text = self.post(f, [("user", "x")])
        self.assertTrue("\r\n\r\n" in text and "\n\n" not in text.replace("\r\n", ""))
        self.assertEqual(self.ask("POST", f.path.split("?")[0], f.body([script]), f.headers)[0], 400)

    def test_responses_own_rules(self):
        f = FORMATS[3]
        items = self.answer(f, [("user", "[think 30][tool add] x")])["items"]
        output = {"type": "function_call_output", "call_id": items[1]["call_id"], "output": "1"}
        user = {"role": "user", "content": "x"}
        thought, call = items
        self.assertEqual(self.post(f, [], input=[user, thought, call, output])[0], 200)
        without_id = {k: v for k, v in thought.items() if k != "id"}
        self.assertEqual(self.post(f, [], input=[user, without_id, call, output])[0], 200)
        self.refused(f, 400, "verified", [], input=[user, {**thought, "encrypted_content": "x"}, call, output])
        self.refused(f, 400, "not found", [], input=[user, {k: v for k, v in thought.items() if k != "encrypted_content"}, call, output])
        self.refused(f, 400, "following item", [], input=[user, thought, user])
        self.refused(f, 400, "begins with 'fc'", [], input=[user, {**call, "id": "x"}, output])
        self.refused(f, 400, "Invalid value", [], input=[{"role": "user", "content": [{"type": "text", "text": "x"}]}])
        self.refused(f, 400, "tools[0].name", [("user", "x")], tools=[{"type": "function", "function": {"name": "n"}}])
        self.refused(f, 400, "max_output_tokens", [("user", "x")], max_output_tokens=8)

    def test_refusals_in_their_own_words(self):
        say = lambda script: [("user", script)]
        o, a, g, r = FORMATS
        for f in (o, r):
            head, body = self.refused(f, 429, "rate_limit_exceeded", say("[status 429][retry-after 7] x"))
            self.assertEqual(head["retry-after"], "7")
            self.assertTrue(head["x-request-id"])
            self.refused(f, 429, "insufficient_quota", say("[quota] x"))
            self.refused(f, 400, "context_length_exceeded", say("[window 10] x"))
        head, body = self.refused(a, 529, "", say("[status 529][retry-after 7] x"))
        self.assertEqual((head["retry-after"], body["type"], body["error"]["type"]), ("7", "error", "overloaded_error"))
        self.assertTrue(head["request-id"])
        self.refused(a, 429, "rate_limit_error", say("[status 429] x"))
        self.refused(a, 400, "credit balance", say("[quota] x"))
        self.refused(a, 400, "prompt is too long", say("[window 10] x"))
        head, body = self.refused(g, 429, "RESOURCE_EXHAUSTED", say("[status 429][retry-after 34.4] x"))
        self.assertNotIn("retry-after", head)
        self.assertEqual(body["error"]["details"][1]["retryDelay"], "34.4s")
        self.assertIn("PerMinute", body["error"]["details"][0]["violations"][0]["quotaId"])
        self.refused(g, 429, "PerDay", say("[quota] x"))
        self.refused(g, 400, "exceeds the maximum number of tokens", say("[window 10] x"))
        _, body = self.refused(g, 503, "UNAVAILABLE", say("[status 503] x"))
        self.assertIsInstance(body, list)
        for f in FORMATS:
            self.post(f, say("[status 500 1] twice"))
            self.assertEqual(self.post(f, say("[status 500 1] twice"))[0], 200)

    def test_errors_in_streams(self):
        for f, words in zip(FORMATS, ("server_error", "overloaded_error", "UNAVAILABLE", "response.failed")):
            status, _, text = self.post(f, [("user", "[error 2][chunks 5][size 1000]")])
            self.assertEqual(status, 200)
            self.assertIn(words, text)
            self.assertIn("all work", text)

    def test_control(self):
        x = [("user", "x")]
        self.get("/control?window=10")
        for f in FORMATS:
            self.assertEqual(self.post(f, x)[0], 400)
        self.get("/control?window=-1&storm=4&status=503")
        self.assertEqual([self.post(f, x)[0] for f in FORMATS * 2], [503] * 4 + [200] * 4)
        self.get("/control?key=other")
        self.assertEqual([self.post(f, x)[0] for f in FORMATS], [401, 401, 400, 401])
        self.assertEqual(self.get("/last-head"), {"path": "/v1/responses", "key": "k"})
        self.get("/control?key=k")
        self.assertEqual([self.post(f, x)[0] for f in FORMATS], [200] * 4)
        for f, path in zip(FORMATS, ("/v1/models", "/v1/models", "/v1beta/models", "/v1/models")):
            self.assertEqual(self.ask("GET", path, headers=f.headers)[0], 200)
            self.assertIn(self.ask("GET", path)[0], (400, 401))
        self.assertEqual(self.ask("GET", "/control?nonsense=1")[0], 400)

    def test_answers_set_beforehand(self):
        self.ask("POST", "/answers", {"other": "x", 'a "b"\n': '[plain][tool add {"n":1}] all\nis said', "c": "[plain] of c"})
        for f in FORMATS:
            text = ("user", 'a "b"\n')
            calls = self.answer(f, [text])["calls"]
            self.assertEqual([c[1:3] for c in calls], [("add", {"n": 1})])
            calls = [(c[0] or "x", *c[1:]) for c in calls]
            said = self.answer(f, [text, ("calls", calls), ("results", [(calls[0][0], "add", "2")])])["text"]
            self.assertEqual((said, self.answer(f, [("user", "c")])["text"]), ("all\nis said", "of c"))

    def raw(self, f, script):
        """What comes over the socket until its end, and the error that ended it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
            body = json.dumps(f.body([("user", script)])).encode()
            head = "".join(f"{k}: {v}\r\n" for k, v in f.headers.items())
            s.sendall(f"POST {f.path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body)
            got = b""
            try:
                while piece := s.recv(65536):
                    got += piece
                return got, None
            except (ConnectionResetError, socket.timeout) as e:
                return got, type(e)

    def test_faults(self):
        for f in FORMATS:
            got, error = self.raw(f, "[reset 2][chunks 5][size 1000]")
            self.assertEqual(error, ConnectionResetError)
            self.assertTrue(b"all work" in got and not got.endswith(b"0\r\n\r\n"))
            got, error = self.raw(f, "[cut 2][chunks 5][size 1000]")
            self.assertTrue(error is None and b"all work" in got and not got.endswith(b"0\r\n\r\n"))
            got, error = self.raw(f, "[half-head] x")
            self.assertTrue(error is None and got.startswith(b"HTTP/1.1 200") and b"\r\n\r\n" not in got)
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                with self.assertRaises(ssl.SSLError):
                    ssl._create_unverified_context().wrap_socket(s)

    def test_silence(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=0.3)
        c.request("POST", OpenAI.path, json.dumps(FORMATS[0].body([("user", "[stall 1] x")])))
        r = c.getresponse()
        self.assertTrue(r.readline().startswith(b"data: "))
        self.assertEqual(self.get("/stats")["open"], 1)
        with self.assertRaises(socket.timeout):
            r.read()
        c.close()
        wait_for(lambda: self.get("/stats")["open"] == 0, 5)

    def test_drip(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
            body = json.dumps(FORMATS[0].body([("user", "[drip 1][chunks 1] x")])).encode()
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            pieces = list(iter(lambda: s.recv(65536), b""))
            self.assertGreater(len(pieces), 100)
            self.assertTrue(b"".join(pieces).endswith(b"0\r\n\r\n"))


def script_content(text):
    return {"role": "user", "parts": [{"text": text}]}


if __name__ == "__main__":
    unittest.main()
