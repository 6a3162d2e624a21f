# SPDX-License-Identifier: Apache-2.0
"""Protocols that clients already speak, by the clients themselves (tests/clients): AG-UI, the AI SDK's UI message stream, MCP; and what those
clients do not try."""
import json
import unittest
import uuid

import clients
from invariants import violations
from node import Node


class Protocols(unittest.TestCase):
    seconds = 90

    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", workers=2, migrated=True).start()
        cls.addClassCleanup(cls.node.close)
        cls.agent("asks")
        cls.agent("free")
        status, _, answer = cls.node.request("PUT", "/v1/agents/asks/policy", {"profile": "full", "ask": ["memory_store"]})
        if status != 200:
            raise AssertionError(answer)

    @classmethod
    def agent(cls, name, tenant=1, config="{}"):
        cls.node.sql(f"INSERT INTO tb.tenants (tenant_id, slug) VALUES ({tenant}, 'tenant{tenant}') ON CONFLICT DO NOTHING;"
                     f"INSERT INTO tb.agents (tenant_id, agent_id, name, revision) VALUES ({tenant}, gen_random_uuid(), '{name}', 1);"
                     " INSERT INTO tb.agent_revisions (tenant_id, agent_id, revision, config, created_by) SELECT tenant_id, agent_id, 1,"
                     f" '{config}', 'test' FROM tb.agents WHERE tenant_id = {tenant} AND name = '{name}';"
                     " INSERT INTO tb.agent_tool_policies (tenant_id, agent_id, profile) SELECT tenant_id, agent_id, 'full'"
                     f" FROM tb.agents WHERE tenant_id = {tenant} AND name = '{name}'")

    def token(self, tenant, scopes, user=None):
        id, secret = uuid.uuid4(), uuid.uuid4().hex
        self.node.sql(f"INSERT INTO tb.tenants (tenant_id, slug) VALUES ({tenant}, 'tenant{tenant}') ON CONFLICT DO NOTHING;"
                      "INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes, user_id)"
                      f" VALUES ({tenant}, '{id}', sha256('{secret}'), '{{{scopes}}}', {repr(user) if user else 'NULL'})")
        return f"tb1.{tenant}.{id}.{secret}"

    def tearDown(self):
        self.assertEqual(violations(self.node), {})

    def test_agui(self):
        clients.run(self.node, "agui.mjs")

    def test_mcp(self):
        clients.run(self.node, "mcp.mjs", env={"TB_READER": self.token(1, "read"), "TB_OTHER": self.token(77, "run,read,write")})

    def test_ui_message_stream(self):
        clients.run(self.node, "uistream.mjs")

    # ---- past the clients

    def post(self, path, body, want=200, token=None, **headers):
        status, head, answer = self.node.request("POST", path, body, token=token, headers=headers)
        self.assertEqual(status, want, answer)
        return answer

    def test_refusals_name_the_member(self):
        user = {"id": "1", "role": "user", "content": "hi"}
        said = {"id": "1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}
        for path, body, param in (("/v1/agui", {}, "threadId"), ("/v1/agui", {"threadId": "t", "runId": "r", "messages": [user], "x": 1}, "x"),
                                  ("/v1/agents/main/agui", {"threadId": "t", "runId": "r", "messages": [user], "tools": [{"name": "read"}]}, "tools[0].name"),
                                  ("/v1/ui", {}, "id"), ("/v1/ui", {"id": "c", "messages": [said], "trigger": "x"}, "trigger"),
                                  ("/v1/agents/main/ui", {"id": "c", "messages": []}, "messages")):
            self.assertEqual(self.post(path, body, 400)["error"]["param"], param)
        for path, body in (("agui", {"threadId": "t", "runId": "r", "messages": [user]}), ("ui", {"id": "c", "messages": [said]})):
            self.post(f"/v1/agents/nobody/{path}", body, 404)
            self.post(f"/v1/{path}", body, 403, token=self.token(1, "read"))
        # The whole conversation comes with each message: far more than other bodies may be.
        long = [{"id": str(i), "role": "assistant", "content": "x" * 100000} for i in range(30)]
        run = self.agui("long", "r1", [*long, user])
        self.assertEqual(run[-1]["type"], "RUN_FINISHED")
        self.assertEqual(self.node.rows("SELECT count(*) AS n FROM tb.session_messages m JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                                        " WHERE s.session_key = 'agui:long'")[0]["n"], 2)

    def agui(self, thread, run, messages, agent="main", token=None):
        body = {"threadId": thread, "runId": run, "messages": messages}
        return [data for _, _, data in self.node.sse(f"/v1/agents/{agent}/agui", {"Authorization": f"Bearer {token or self.node.token()}"},
                                                     method="POST", body=body)]

    def test_tenants_have_threads_and_chats_of_their_own(self):
        self.agent("main", 78)
        other = self.token(78, "run,read")
        user = [{"id": "1", "role": "user", "content": "hi"}]
        ours, theirs = self.agui("same", "same", user), self.agui("same", "same", user, token=other)
        self.assertEqual([ours[-1]["type"], theirs[-1]["type"]], ["RUN_FINISHED"] * 2)
        self.assertNotEqual(ours[0]["metadata"]["runId"], theirs[0]["metadata"]["runId"])
        self.assertEqual(self.node.sql("SELECT count(DISTINCT tenant_id) FROM tb.agent_sessions WHERE session_key = 'agui:same'"), "2")
        # An approval of ours, and the run that waits for it, in a chat of the same name.
        part = self.asks("mine")
        said = [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}, {"id": "2", "role": "assistant", "parts": [part]}]
        self.agent("asks", 78)
        self.post("/v1/agents/asks/ui", {"id": "mine", "messages": said}, 404, token=other)
        self.assertEqual(self.node.request("GET", "/v1/agents/asks/ui/mine/stream", token=other)[0], 204)
        self.assertEqual(self.node.sql(f"SELECT state FROM tb.approvals WHERE approval_id = '{part['approval']['id']}'"), "pending")
        # It is asked again when the chat is opened again, and ends with a denial.
        text = self.node.request("GET", "/v1/agents/asks/ui/mine/stream")[2]
        self.assertIn("tool-approval-request", text)
        part["approval"]["approved"] = False
        status, _, text = self.node.request("POST", "/v1/agents/asks/ui", {"id": "mine", "messages": said})
        self.assertEqual(status, 200)
        self.assertIn("tool-output-denied", text)
        self.assertNotIn("tool-input-start", text)

    def asks(self, chat):
        """What a client would send back of a call that a person is asked about."""
        said = [{"id": "1", "role": "user", "parts": [{"type": "text", "text": '[tool memory_store {"text":"x"}] go'}]}]
        status, _, text = self.node.request("POST", "/v1/agents/asks/ui", {"id": chat, "messages": said})
        self.assertEqual(status, 200, text)
        chunks = [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]
        self.assertEqual(chunks[-1], {"type": "finish", "finishReason": "tool-calls"})
        asked = next(c for c in chunks if c["type"] == "tool-approval-request")
        return {"type": "dynamic-tool", "toolName": "memory_store", "toolCallId": asked["toolCallId"], "state": "approval-responded",
                "approval": {"id": asked["approvalId"], "approved": True}}

    def test_a_message_that_is_steered_into_a_run_is_answered_by_that_run(self):
        user = [{"id": "1", "role": "user", "content": "[tool memory_get {}][chunks 12][pause 150] the long first one of the two"}]
        first = self.node.sse("/v1/agents/main/agui", method="POST", body={"threadId": "steer", "runId": "1", "messages": user})
        while next(first)[2]["type"] != "TOOL_CALL_RESULT":
            pass
        second = self.agui("steer", "2", [{"id": "2", "role": "user", "content": "the second"}])
        self.assertEqual(second[-1]["type"], "RUN_FINISHED")
        self.assertIn("the second", "".join(e["delta"] for e in second if e["type"] == "TEXT_MESSAGE_CONTENT"))
        self.assertEqual(list(first)[-1][2]["type"], "RUN_FINISHED")
        self.assertEqual(self.node.get(f"/v1/runs/{second[0]['metadata']['runId']}")[2]["status"], "superseded")

    # ---- MCP by hand

    META = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}

    def mcp(self, method, params=None, want=200, code=None, id=7, modern=True, token=None, **headers):
        body = {"jsonrpc": "2.0", "method": method, "params": {**(params or {}), **(self.META if modern else {})}}
        if id is not None:
            body["id"] = id
        given = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method} if modern else {}
        status, head, answer = self.node.request("POST", "/mcp", body, token=token, headers={**given, **headers})
        self.assertEqual(status, want, answer)
        self.assertEqual((answer.get("error") or {}).get("code") if answer else None, code, answer)
        if id is not None:
            self.assertEqual((answer["jsonrpc"], answer["id"]), ("2.0", None if want == 403 else id))
        return answer

    def test_mcp_by_hand(self):
        for method in ("GET", "DELETE", "PUT"):
            self.assertEqual(self.node.request(method, "/mcp")[0], 405)
        self.assertEqual(self.node.request("POST", "/mcp", {}, token="")[0], 401)
        found = self.mcp("server/discover")["result"]
        self.assertEqual((found["resultType"], found["cacheScope"]), ("complete", "private"))
        self.assertIn("2025-11-25", found["supportedVersions"])
        tools = self.mcp("tools/list", id="text")["result"]
        self.assertGreater(tools["ttlMs"], 0)
        self.assertNotIn("ttlMs", self.mcp("tools/list", modern=False)["result"])
        for method in ("initialize", "ping", "logging/setLevel", "resources/subscribe", "prompts/list", "none/such"):
            self.mcp(method, want=404, code=-32601)
        self.mcp("prompts/list", modern=False, code=-32601)
        self.assertEqual(self.mcp("ping", modern=False)["result"], {})
        for asked, given in (("2025-03-26",) * 2, ("2025-06-18",) * 2, ("2025-11-25",) * 2, ("2024-11-05", "2025-11-25")):
            self.assertEqual(self.mcp("initialize", {"protocolVersion": asked}, modern=False)["result"]["protocolVersion"], given)
        self.mcp("notifications/initialized", id=None, want=202, modern=False)
        self.mcp("notifications/cancelled", id=None, want=202)
        self.mcp("tools/list", {"cursor": "x"}, code=-32602)
        self.mcp("tools/call", {"name": "none"}, code=-32602, **{"Mcp-Name": "none"})
        self.mcp("tools/call", {"name": "run_get"}, 400, -32020, **{"Mcp-Name": "other"})
        self.mcp("tools/list", want=400, code=-32020, **{"Mcp-Method": "ping"})
        for place in ({"Host": "evil.example.com"}, {"Origin": "http://evil.example.com"}, {"Origin": "null"}):
            self.mcp("tools/list", want=403, code=-32600, **place)
        self.mcp("tools/list", Origin="http://localhost:3000")
        error = self.mcp("tools/list", {"_meta": {}}, 400, -32022, modern=False, **{"MCP-Protocol-Version": "1.0"})["error"]
        self.assertEqual((error["data"]["requested"], error["data"]["supported"]), ("1.0", found["supportedVersions"]))

    def tool(self, name, args, token):
        result = self.mcp("tools/call", {"name": name, "arguments": args}, token=token, **{"Mcp-Name": name})["result"]
        return result["content"][0]["text"] if result["isError"] else result["structuredContent"]

    def test_end_users_see_their_own(self):
        ann, ben = self.token(1, "run,read", "ann"), self.token(1, "run,read", "ben")
        run = self.tool("sessions_send", {"message": "[delay 60000] hers", "sessionKey": "hers", "timeoutSeconds": 0}, ann)["runId"]
        for name, args in (("run_get", {"runId": run}), ("run_wait", {"runId": run}), ("run_cancel", {"runId": run}),
                           ("sessions_history", {"sessionKey": "hers"}), ("sessions_send", {"message": "x", "sessionKey": "hers"})):
            self.assertRegex(self.tool(name, args, ben), "^not_found", name)
        self.assertEqual(self.tool("sessions_list", {}, ben)["sessions"], [])
        self.assertIn(self.tool("run_cancel", {"runId": run}, ann)["status"], ("cancelling", "cancelled"))
        said = {"threadId": "her thread", "runId": "1", "messages": [{"id": "1", "role": "user", "content": "hi"}]}
        self.assertEqual(self.agui("her thread", "1", said["messages"], token=ann)[-1]["type"], "RUN_FINISHED")
        self.post("/v1/agents/main/agui", {**said, "runId": "2"}, 404, token=ben)
