# SPDX-License-Identifier: Apache-2.0
"""Protocols that clients already speak, by the clients themselves (tests/clients): AG-UI, the AI SDK's UI message stream, MCP."""
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

    def token(self, tenant, scopes):
        id, secret = uuid.uuid4(), uuid.uuid4().hex
        self.node.sql(f"INSERT INTO tb.tenants (tenant_id, slug) VALUES ({tenant}, 'tenant{tenant}') ON CONFLICT DO NOTHING;"
                      "INSERT INTO tb.api_tokens (tenant_id, token_id, secret_sha256, scopes)"
                      f" VALUES ({tenant}, '{id}', sha256('{secret}'), '{{{scopes}}}')")
        return f"tb1.{tenant}.{id}.{secret}"

    def tearDown(self):
        self.assertEqual(violations(self.node), {})

    def test_agui(self):
        clients.run(self.node, "agui.mjs")

    def test_mcp(self):
        clients.run(self.node, "mcp.mjs", env={"TB_READER": self.token(1, "read"), "TB_OTHER": self.token(77, "run,read,write")})

    def test_ui_message_stream(self):
        clients.run(self.node, "uistream.mjs")
