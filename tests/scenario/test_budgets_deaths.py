# SPDX-License-Identifier: Apache-2.0
"""A worker dies at one named instant between an answer and what is counted of it. Needs a build with fault points."""
import os
import sys
import uuid

from node import ROOT, Node, own, wait_for
from test_budgets import WithMoney

sys.path.insert(0, os.path.join(ROOT, "tests", "chaos"))
from faults import DIE, Faults  # noqa: E402


class Deaths(WithMoney):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", workers=1, migrated=True)
        cls.faults = Faults(cls.node.dir)
        own(cls.node.dir)
        cls.node.env.update(cls.faults.env())
        cls.addClassCleanup(cls.faults.close)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def test_between_an_answer_and_its_commit(self):
        """The provider told twice of one answer, the ledger has it once; what was reserved for the lost one is free, and a budget counts what the
        ledger has. After the commit nothing is told or counted twice."""
        self.put("/v1/budgets", scope="tenant", period="day", tokens=10 ** 9)
        for point, asked, lost in (("worker.t2.send", 3, 1), ("worker.t2.landed", 2, 0), ("worker.t5.send", 3, 1), ("worker.t5.landed", 2, 0)):
            self.node.model_stats(reset=True)
            self.faults.arm(point, DIE)
            run = self.post('[tool memory_store {"text":"kept"}] note', uuid.uuid4().hex)
            wait_for(lambda p=point: self.faults.hits(p) == 1)
            self.assertEqual(self.node.wait_until_ok(run)["status"], "ok", (point, self.ended(run)["error"]))
            self.faults.disarm()
            told, rows = self.node.model_stats(), self.ledger(run)
            self.assertEqual((told["requests"], len(rows), [u["step"] for u in rows]), (asked, 2, [1, 2]), point)
            spent = sum(u["tokens_out"] for u in rows)
            self.assertEqual(told["told_out"] - spent > 0, lost > 0, point)
            end = self.ended(run)
            self.assertEqual((end["tokens_in"], end["tokens_out"]), (sum(u["tokens_in"] for u in rows), spent), point)
            (b,) = self.budgets()
            ledger = int(self.node.sql("SELECT sum(tokens_in + tokens_out) FROM tb.usage_ledger"))
            self.assertEqual((b["used"]["tokens"], b["reserved"]["tokens"]), (ledger, 0), point)
