# SPDX-License-Identifier: Apache-2.0
"""Programs that use all there is, many at once: each ends as its limits say, and the node serves another tenant meanwhile as if nothing
were. On a node that an ordinary user started and on one that root started."""
import json
import os
import time
import unittest

from node import wait_for
from test_containment import WithProbes

FILES = 100000 if os.environ.get("TB_LONG") else 5000
MOST_SECONDS = 15  # for a run of somebody else, on a machine whose processors are all busy


def python(text):
    return "python3 - <<'EOF'\n" + text + "\nEOF"


def ended(*ways):
    """By one of these."""
    return lambda out: any(out.get(way) for way in ways)


def said(text):
    return lambda out: "error" not in out and text in out.get("stdout", "") + out.get("stderr", "")


# name: (script, seconds it may take, whether it ended as it should)
BOMBS = {
    "forks": (":(){ :|:& };:; sleep 60", 3, ended("timed_out", "stderr")),
    "more forks": (python("import os, time\nn = 0\ntry:\n while True:\n  if os.fork() == 0:\n   os.setsid()\n   time.sleep(60)\n  n += 1\n"
                          "except OSError as e: print('refused', n <= 64, flush=True)\nwhile True: pass"), 4, said("refused True")),
    "memory": (python("import time\nkeep = []\nwhile True:\n keep.append(bytearray(b'x') * 20000000)\n time.sleep(0.01)"), 30,
               lambda out: out.get("out_of_memory") or "MemoryError" in out["stderr"] or out.get("signal")),
    "much little memory": (python("import os, time\nfor i in range(15):\n if os.fork() == 0:\n  x = bytearray(b'x') * 100000000\n"
                                  "  time.sleep(60)\ntime.sleep(60)"), 30, ended("out_of_memory")),
    "temporary files": ("for d in /tmp /dev/shm; do for i in 1 2 3; do head -c 60000000 /dev/zero >$d/$i; done; done; "
                        "du -sm /tmp /dev/shm; : >/tmp/1; for i in $(seq 5000); do echo >/tmp/f$i || { echo no more; break; }; done", 30,
                        lambda out: "no more" in out["stdout"] and int(out["stdout"].split()[0]) <= 64
                        and int(out["stdout"].split()[2]) <= 16),
    "a large file": ("dd if=/dev/zero of=big bs=1M seek=255 count=9; stat -c %s big; rm big", 30,
                     said(f"{256 << 20}\n")),
    "a sparse file": ("truncate -s 1T sparse; truncate -s 257M sparse; stat -c %s sparse; rm -f sparse", 10, said("File size limit exceeded")),
    "output": ("long=$(head -c 5000 /dev/zero | tr '\\0' x); yes $long & yes $long >&2 & yes $long", 2,
               lambda out: out["timed_out"] and len(out["stdout"]) + len(out["stderr"]) < 250000 and "left out" in out["stderr"]),
    "descriptors": (python("import os\nn = 0\ntry:\n while True:\n  os.pipe()\n  n += 2\nexcept OSError as e: print(e, n < 300)"), 10,
                    said("Too many open files")),
    "deep directories": (python("import os\nfor i in range(1000):\n os.mkdir('d')\n os.chdir('d')\nprint('deep')") + "\nrm -rf d", 30,
                         lambda out: said("deep")(out) or "nested deeper" in out["error"]),
    "many files": (python(f"import os\nos.mkdir('m')\nfor i in range({FILES}): os.close(os.open(f'm/{{i}}', os.O_CREAT))\n"
                          "print('many')") + "\nrm -rf m", 60, said("many")),
    "a long command": ("/bin/true $(head -c 5000000 /dev/zero | tr '\\0' x)", 10, said("Argument list too long")),
    "processor time": ("while :; do :; done", 1, ended("timed_out")),
    "zombies": (python("import os, time\nfor i in range(10):\n if os.fork() == 0: os._exit(0)\nfor i in range(50):\n"
                       " if os.fork() == 0:\n  if os.fork() == 0: os._exit(0)\n  os._exit(0)\n os.wait()\nprint('still here')"), 20,
                said("still here")),
    "deaf to signals": ("trap '' TERM INT HUP QUIT PIPE ALRM; while :; do sleep 1; done", 1, ended("timed_out")),
    "stopped": ("kill -STOP $$", 1, ended("timed_out")),
    "locks": (python("import fcntl, time\nf = open('l', 'w')\nfor i in range(2000): fcntl.lockf(f, fcntl.LOCK_EX, 1, 2 * i)\n"
                     "print('locked')"), 10, said("locked")),
}


LONG = bool(os.environ.get("TB_LONG"))
# What takes the machine's time: once is enough, where there is not much.
HEAVY = ("much little memory", "deep directories", "many files")
LEFT_OUT = () if LONG else ("memory",)


class Bombs:
    heavy = True

    def light(self, name):
        script, seconds, _ = BOMBS[name]
        return self.post(f"[tool bash {json.dumps({'script': script, 'timeout_s': seconds})}] go", f"bomb {name}", agent=self.runner(name))

    def test_forks(self):
        """By themselves: where a tenant has a user of its own, its jails have its processes together."""
        self.light_all(["forks", "more forks"])

    def test_all_others_at_once(self):
        left_out = LEFT_OUT + (() if self.heavy else HEAVY)
        self.light_all([name for name in BOMBS if not name.endswith("forks") and name not in left_out])

    def light_all(self, names):
        pids = self.node.pids()
        self.others_bash("true")
        processes = len(self.node.all_pids())
        runs = {name: self.light(name) for name in names}
        slowest, rounds = 0, 0
        while any(self.state(run) for run in runs.values()):
            began = time.monotonic()
            self.assertEqual(self.others_bash("echo well", session=f"beside-{rounds}")["stdout"], "well\n")
            slowest, rounds = max(slowest, time.monotonic() - began), rounds + 1
        print(f"{rounds} runs of another tenant beside them, the slowest took {slowest:.1f} s")
        self.assertLess(slowest, MOST_SECONDS)
        self.assertGreater(rounds, 0)
        wrong = {}
        for name, run in runs.items():
            self.assertEqual(self.node.wait(run)["status"], "ok", name)
            out = self.node.rows(f"SELECT output FROM tb.tool_executions WHERE run_id = '{run}'")[0]["output"]
            if not BOMBS[name][2](out):
                wrong[name] = {k: v[-300:] if isinstance(v, str) else v for k, v in out.items()}
        self.assertFalse(wrong, json.dumps(wrong, indent=1))
        self.assertEqual(self.node.pids(), pids)  # nobody was started anew
        # But for jails that wait for the next call, one a launcher.
        wait_for(lambda: len(self.node.all_pids()) <= processes + self.workers + 1)
        self.assertEqual(self.bash("echo well")["stdout"], "well\n")
        if "deep directories" in names:  # who was told to remove them can
            self.assertEqual(self.bash("rm -rf d; ls", agent="deep directories")["stdout"], "")

    def test_arguments(self):
        """Longer than a call may be: said, not done."""
        run = self.post(f"[tool exec {json.dumps({'argv': ['/bin/true'] + ['x' * 90000] * 2})}] go", "argv", agent=self.runner())
        self.assertEqual(self.node.wait(run)["status"], "ok")
        out = self.node.rows(f"SELECT output FROM tb.tool_executions WHERE run_id = '{run}'")[0]["output"]
        self.assertIn("128 KiB", out["error"])


class ByAnOrdinaryUser(Bombs, WithProbes):
    pass


class ByRoot(Bombs, WithProbes):
    as_root = True
    heavy = LONG


if __name__ == "__main__":
    unittest.main()
