# SPDX-License-Identifier: Apache-2.0
"""Paths that lead elsewhere, through every file tool and the real processes (paths.txt has them, and the unit tests of sandbox/files
have more); and reads and writes while a program of the same agent exchanges names for links."""
import json
import os
import time
import unittest

from test_containment import WithProbes

HERE = os.path.dirname(os.path.abspath(__file__))
CALLS = 8  # a message; a turn may have 10
LONG = bool(os.environ.get("TB_LONG"))
LINKS = """mkdir -p dir/sub .git/hooks real; echo harmless >a.txt; echo harmless >real/secret; echo kept >.git/config
ln -s {host} to-host; ln -s / to-root; ln -s .. to-up; ln -s {sibling} to-sibling; ln -s {tenant} to-tenant; ln -s dir/chain2 chain1
ln -s ../to-host dir/chain2; ln -s /proc/self to-proc; ln -s /proc/self/fd to-fd; ln -s /proc/self/cwd/.. to-cwd; ln -s /dev to-dev
ln -s loop2 loop1; ln -s loop1 loop2; ln -s self self; ln -s nowhere dangling; mkfifo pipe; ln -s .git to-git; ln -s ../.git/config dir/to-git-too
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'"""


class Paths(WithProbes):
    def setUp(self):
        home = self.bring()
        others = self.secrets_of_others(home)
        mine = os.path.dirname(home)
        self.places = {"host": os.path.join(self.node.dir, "host-canary"), "sibling": [p for p in others if p.startswith(mine + "/")][0],
                       "tenant": [p for p in others if not p.startswith(mine + "/")][0]}
        self.around.files += others
        self.assertEqual(self.bash(f"rm -rf /workspace/* /workspace/.[gt]*; {LINKS.format(**self.places)}")["exit"], 0)

    def tearDown(self):
        self.around.check_untouched(self)
        super().tearDown()

    def cases(self):
        with open(os.path.join(HERE, "paths.txt"), encoding="utf-8") as f:
            for line in f:
                if not line.startswith("#"):
                    kind, path = line.rstrip("\n").split(" ", 1)
                    path = json.loads(path)
                    for name, place in self.places.items():
                        path = path.replace("{%s}" % name, place)
                    yield kind, path

    def calls_of(self, kind, path):
        yield kind == "out", "read", {"path": path}
        yield kind != "any", "edit", {"path": path, "old_text": "canary", "new_text": "bird"}
        yield kind != "any", "write", {"path": path, "content": "overwritten"}
        yield kind == "out", "list_directory", {"path": path, "depth": 9, "hidden": True, "all": True, "contains": "canary"}

    def test_corpus(self):
        cases, fifth = list(self.cases()), os.getpid() % 5
        self.assertGreater(len(cases), 130)
        if not LONG:  # a fifth of them, by turns
            print(f"every fifth, from {fifth}")
            cases = cases[fifth::5]
        calls = [c for kind, path in cases for c in self.calls_of(kind, path)]
        runs = []
        for i in range(0, len(calls), CALLS):
            some = calls[i:i + CALLS]
            text = "".join(f"[tool {name} {json.dumps(args)}]" for _, name, args in some)
            runs.append((self.post(text + " go", f"corpus-{i}", agent=self.runner()), some))
        for run, some in runs:
            self.assertEqual(self.node.wait(run)["status"], "ok")
            rows = self.node.rows(f"SELECT tool, output FROM tb.tool_executions WHERE run_id = '{run}' ORDER BY step, call_no")
            self.assertEqual([r["tool"] for r in rows], [name for _, name, _ in some])
            for (is_refused, _, args), row in zip(some, rows):
                said = json.dumps(row["output"])
                where = f"{row['tool']} {args['path']!r}: {said[:300]}"
                # The name of another's file may stand in an answer, for it stood in the question; what it holds never.
                self.assertNotIn(self.canary, said, where)
                if is_refused:
                    self.assertIn("error", row["output"], where)
        self.assertEqual(self.bash("cat .git/config; ls .git/hooks | wc -l; ls -d .terabits 2>&1 | wc -l")["stdout"].split()[:2],
                         ["kept", "0"])

    def test_names_are_exchanged_meanwhile(self):
        """By a program in a jail of its own."""
        reads = 10000 if LONG else 80
        script = ("import ctypes, os\nlibc = ctypes.CDLL(None)\n"
                  f"os.symlink({os.path.dirname(self.places['sibling'])!r}, 'evil')\nopen('swaps', 'w').close()\n"
                  "while not os.path.exists('enough'):\n for i in range(1000): libc.renameat2(-100, b'real', -100, b'evil', 2)")
        swapper = self.post(f"[tool exec {json.dumps({'argv': ['/usr/bin/python3', '-c', script], 'timeout_s': 600})}] go", "swapper",
                            agent=self.runner())
        while not json.loads(json.dumps(self.bash("ls swaps 2>&1")))["stdout"].startswith("swaps\n"):
            time.sleep(0.05)
        call = ['[tool read {"path": "real/secret"}]', '[tool write {"path": "real/new", "content": "x"}]']
        text, runs = "".join(call[i % 4 == 3] for i in range(CALLS)) + " go", []
        for k in range(reads // 6 + 1):  # 6 reads and 2 writes each, 16 at a time
            runs.append(self.post(text, f"reader-{k % 16}", agent=self.runner()))
            if k >= 16:
                self.node.wait(runs[k - 16])
        inside = refused = 0
        for run in runs:
            self.assertEqual(self.node.wait(run)["status"], "ok")
            for row in self.node.rows(f"SELECT tool, output FROM tb.tool_executions WHERE run_id = '{run}'"):
                self.assertNotIn(self.canary, json.dumps(row["output"]))
                if row["tool"] == "read":
                    inside, refused = inside + ("error" not in row["output"]), refused + ("error" in row["output"])
        self.bash("touch enough")
        self.assertEqual(self.node.wait(swapper)["status"], "ok")
        print(f"{inside} reads inside, {refused} refused")
        self.assertGreater(min(inside, refused), 0)
        self.assertFalse(os.path.exists(os.path.join(os.path.dirname(self.places["sibling"]), "new")))


@unittest.skipUnless(LONG, "the walls are the same: where there is time")
class PathsByRoot(Paths):
    as_root = True


if __name__ == "__main__":
    unittest.main()
