# SPDX-License-Identifier: Apache-2.0
"""Client libraries as they come from npm, against a node with the fake model: programs of tests/clients."""
import clients
from test_main_job import WithNode


class Clients(WithNode):
    model = "fake"
    workers = 2
    seconds = 40

    def test_the_libraries_are_there(self):
        clients.run(self.node, "libraries.mjs")

    def test_chat_completions(self):
        clients.run(self.node, "chat.mjs")

    def test_responses(self):
        clients.run(self.node, "responses.mjs")

    def test_openai_agents(self):
        clients.run(self.node, "agents.mjs")

    def test_ai_sdk(self):
        clients.run(self.node, "ai.mjs")
