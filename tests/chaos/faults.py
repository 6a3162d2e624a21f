# SPDX-License-Identifier: Apache-2.0
"""The file that tests share with the processes: orders to end or stop at a named instant (common/fault.h)."""
import mmap
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "scenario"))
from node import ROOT, as_user  # noqa: E402

DIE, STOP = 1, 2
SLOT = struct.Struct("=4I")  # action, passes, hits, pid


def points():
    with open(os.path.join(ROOT, "common", "fault.tbl")) as f:
        return re.findall(r'^FAULT_POINT\(\w+, +"([^"]+)"', f.read(), re.M)


class Faults:
    """points: their names in the order of the table."""

    def __init__(self, directory):
        self.points = points()
        self.path = os.path.join(directory, "faults")
        self.ledger = os.path.join(directory, "ledger")
        for path, size in ((self.path, SLOT.size * len(self.points)), (self.ledger, 0)):
            with open(path, "wb") as f:
                f.truncate(size)
            os.chmod(path, 0o666)
        as_user()
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), SLOT.size * len(self.points))

    def close(self):
        self.map.close()
        self.file.close()

    def env(self):
        return {"TERABITS_FAULTS": self.path, "TERABITS_LEDGER": self.ledger}

    def read(self, point):
        return SLOT.unpack_from(self.map, SLOT.size * self.points.index(point))

    def passes(self, point):
        return self.read(point)[1]

    def hits(self, point):
        return self.read(point)[2]

    def is_armed(self, point):
        return self.read(point)[0] != 0

    def arm(self, point, action):
        """Whoever passes next dies or stops, once."""
        struct.pack_into("=I", self.map, SLOT.size * self.points.index(point), action)

    def disarm(self):
        for p in self.points:
            self.arm(p, 0)

    def victim(self, point):
        return self.read(point)[3]

    def lines(self):
        with open(self.ledger) as f:
            return f.read().splitlines()
