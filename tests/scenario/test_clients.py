# SPDX-License-Identifier: Apache-2.0
"""Client libraries as they come from npm, against a node with the fake model: programs of tests/clients."""
import json
import re

import clients
from test_main_job import WithNode


class Clients(WithNode):
    model = "fake"
    workers = 2
    seconds = 60

    def test_the_libraries_are_there(self):
        clients.run(self.node, "libraries.mjs")

    def test_chat_completions(self):
        clients.run(self.node, "chat.mjs")

    def test_responses(self):
        clients.run(self.node, "responses.mjs")

    def test_openai_agents(self):
        clients.run(self.node, "agents.mjs")

    def test_tools_of_the_client(self):
        clients.run(self.node, "tools.mjs")

    def test_embeddings(self):
        clients.run(self.node, "embeddings.mjs")

    def test_ai_sdk(self):
        clients.run(self.node, "ai.mjs")

    def test_the_description_is_an_openapi_document(self):
        clients.run(self.node, "openapi.mjs")

    def test_a_query_names_nothing_that_the_description_lacks(self):
        """Every route: a parameter that is none is refused, and the sentence names those that the document has."""
        _, _, document = self.node.get("/openapi.json")
        made = self.node.ctl("token", "create", "--platform", "--scopes", "admin", "-o", "json")
        platform = json.loads(made.stdout)["token"]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                target = re.sub(r"\{\w+\}", "x", path)
                status, _, answer = self.node.request(method.upper(), f"{target}?zzz=1")
                if status == 404:  # of the platform alone
                    status, _, answer = self.node.request(method.upper(), f"{target}?zzz=1", token=platform)
                known = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
                with self.subTest(operation["operationId"]):
                    self.assertEqual((status, answer["error"]["param"]), (400, "zzz"))
                    says = answer["error"]["message"].partition(": it takes ")[2]
                    self.assertEqual(says.split(", ") if says else [], known)
