# SPDX-License-Identifier: Apache-2.0
"""run.py LOGS [NAME]: the scenario tests, each class in a process of its own, several at once: they mostly wait. NAME: those whose name
has it. A line a file; what a failed class printed comes when it has ended, and is in LOGS.

Longest first: as long as last time, or as the class says (`seconds`), or by the number of its tests."""
import collections
import concurrent.futures
import json
import os
import subprocess
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
AT_ONCE = int(os.environ.get("TB_AT_ONCE", 3 * len(os.sched_getaffinity(0))))
LINES = 40


def tests_of(suite):
    for t in suite:
        if isinstance(t, unittest.TestSuite):
            yield from tests_of(t)
        else:
            yield t


def classes(name):
    """{unit: [test]}; a unit is a class, or a module whose classes share what they stand on (`together`)."""
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{name}*"] if name else None
    units = collections.defaultdict(dict)
    for t in tests_of(loader.discover(HERE, "test_*.py")):
        if isinstance(t, unittest.loader._FailedTest):
            raise SystemExit(t._exception)
        module = type(t).__module__
        unit = module if getattr(sys.modules[module], "together", False) else f"{module}.{type(t).__qualname__}"
        units[unit][t.id()] = t
    return {unit: list(tests.values()) for unit, tests in units.items()}


class Run:
    def __init__(self, logs, name):
        self.logs, self.name = logs, name
        self.units = classes(name)
        self.waiting = collections.Counter(unit.split(".")[0] for unit in self.units)
        self.began, self.seconds = {}, self.last_seconds()
        self.lock = threading.Lock()
        self.ok = True

    def last_seconds(self):
        try:
            with open(os.path.join(self.logs, "seconds.json")) as f:
                return json.load(f)
        except (OSError, ValueError):
            return {}

    def weight(self, unit):
        tests = collections.Counter(type(t) for t in self.units[unit])
        return self.seconds.get(unit) or sum(getattr(c, "seconds", 5 + n) for c, n in tests.items())

    def one(self, unit):
        began = time.monotonic()
        self.began.setdefault(unit.split(".")[0], began)
        log = os.path.join(self.logs, f"{unit}.log")
        names = [t.id() for t in self.units[unit]] if self.name else [unit]
        with open(log, "w") as out:
            p = subprocess.run([sys.executable, "-W", "error::ResourceWarning", "-m", "unittest", *names], cwd=HERE, stdout=out,
                               stderr=subprocess.STDOUT)
        with self.lock:
            self.ended(unit, p.returncode == 0, log, time.monotonic() - began)

    def ended(self, unit, ok, log, seconds):
        if ok and not self.name:
            self.seconds[unit] = round(seconds, 1)
        if not ok:
            self.ok = False
            with open(log, errors="replace") as f:
                print(*[line.rstrip() for line in f if not line.startswith("ts=")][-LINES:], f"FAILED {unit}: {log}", sep="\n")
        file = unit.split(".")[0]
        self.waiting[file] -= 1
        if not self.waiting[file]:
            count = sum(len(tests) for u, tests in self.units.items() if u.split(".")[0] == file)
            print(f"{file}: {count} tests, {time.monotonic() - self.began[file]:.1f} s", flush=True)

    def all(self):
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self.one, sorted(self.units, key=self.weight, reverse=True)))
        if not self.name:
            with open(os.path.join(self.logs, "seconds.json"), "w") as f:
                json.dump(self.seconds, f, indent=1)
        return self.ok


def main():
    if not 2 <= len(sys.argv) <= 3 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    logs, name = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    os.makedirs(logs, exist_ok=True)
    run = Run(logs, name)
    if not run.units:
        raise SystemExit(f"no test's name has '{name}'")
    sys.exit(not run.all())


if __name__ == "__main__":
    main()
