# SPDX-License-Identifier: Apache-2.0
"""Client libraries as they come from npm, against a node with the fake model: programs of tests/clients."""
import unittest

import clients
import invariants
from node import Node


class TestClients(unittest.TestCase):
    seconds = 40

    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True).start()
        cls.addClassCleanup(cls.node.close)

    def tearDown(self):
        invariants.check(self.node)

    def test_the_libraries_are_there(self):
        clients.run(self.node, "libraries.mjs")
