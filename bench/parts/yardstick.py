# SPDX-License-Identifier: Apache-2.0
"""What Postgres alone does on this machine in this minute: pgbench over plain twins of the journal's tables."""
import os
import statistics

from parts.stand import ROOT


class Yardstick:
    def __init__(self, stand):
        self.stand = stand
        stand.node.sql_file(os.path.join(ROOT, "bench", "yardstick.sql"))
        stand.sql("CHECKPOINT")
        self.seen = {}

    def measure(self, name, script, clients):
        out = self.stand.node.pgbench(os.path.join(ROOT, "bench", script), clients, max(1, round(self.stand.seconds)))
        tps = [line.split()[2] for line in out.splitlines() if line.startswith("tps")]
        if not tps:
            raise RuntimeError(f"pgbench {script} with {clients} clients finished no transaction: give it more --seconds")
        self.seen.setdefault(name, []).append(round(float(tps[0]), 1))

    def inserts(self):
        """C1 and C16: single-row durable INSERTs a second of 1 and 16 clients."""
        self.measure("C1", "insert.sql", 1)
        self.measure("C16", "insert.sql", 16)

    def turns(self):
        """A turn of two commits, 32 clients and one."""
        self.measure("turn2", "turn2.sql", 32)
        self.measure("turn2_1", "turn2.sql", 1)

    def mean(self, name):
        return statistics.mean(self.seen[name])

    def text(self, name):
        return " and ".join(f"{v:,.0f}" for v in self.seen[name])
