# SPDX-License-Identifier: Apache-2.0
"""What ./run makes of its words: commands go to terabitsctl, which alone knows them, the rest is a message. The script is the real one,
in a tree where nothing is set up, built or started, and a node seems to answer."""
import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from node import ROOT, default_build

COMMON = """. "{root}/scripts/common.sh"
ROOT={dir} STATE={dir}/state LOCKS={dir}/locks AS=()
make_places() {{ :; }}
stage() {{ BIN={dir}/bin; }}
as_node() {{ "$@"; }}
"""
CLUSTER = "pg_ensure() { echo ensured >>\"$ROOT/said\"; }\npg_done() { :; }\n"
# Help is the real program's affair, and so is the complaint about what is no command; the rest is noted.
CTL = """#!/bin/sh
case $1 in
help | lanes) exec {ctl} "$@" ;;
status) [ $# -gt 1 ] || exit 0 ;;
esac
printf '<%s>' "$@" >>{dir}/said
"""


class Run(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="tbr", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.dir)
        for name in ("scripts", "bin", "tools", "state", "build/release"):
            os.makedirs(os.path.join(self.dir, name))
        shutil.copy(os.path.join(ROOT, "run"), self.dir)
        ctl = os.path.join(default_build(), "bin", "terabitsctl")
        self.write("scripts/common.sh", COMMON.format(root=ROOT, dir=self.dir))
        self.write("scripts/cluster.sh", CLUSTER)
        self.write("bin/terabitsctl", CTL.format(ctl=ctl, dir=self.dir))
        self.write("build/release/build.ninja", "")
        for tool in ("scripts/setup", "tools/ninja"):
            self.write(tool, "#!/bin/sh\n")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(os.path.join(self.dir, "state", "admin.sock"))

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o755)

    def run_it(self, *words):
        """(exit status, stderr, what terabitsctl was asked)"""
        said = os.path.join(self.dir, "said")
        open(said, "w").close()
        p = subprocess.run([os.path.join(self.dir, "run"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True, env={**os.environ, "PATH": os.path.join(self.dir, "tools") + ":" + os.environ["PATH"]}, timeout=60)
        with open(said) as f:
            return p.returncode, p.stderr, f.read()

    def test_commands_are_terabitsctls(self):
        for words in (("lane", "list", "-o", "json"), ("run", "why", "x"), ("top", "--once"), ("status", "-o", "json")):
            self.assertEqual(self.run_it(*words), (0, "", "".join(f"<{w}>" for w in words)))

    def test_files_are_meant_from_here(self):
        for word, asked in (("@a b", "@{}/a b"), ("--system-prompt=@x.md", "--system-prompt=@{}/x.md"), ("@/etc/x", "@/etc/x"), ("a@b", "a@b"),
                            ("new\nline\n", "new\nline\n"), ("", "")):
            self.assertEqual(self.run_it("agent", "create", "x", word)[2],
                             f"ensured\n<agent><create><x><{asked.format(os.getcwd())}>", repr(word))

    def test_some_need_the_database(self):
        for words in (("migrate", "--check"), ("tenant", "list")):
            self.assertEqual(self.run_it(*words), (0, "", "ensured\n" + "".join(f"<{w}>" for w in words)))

    def test_the_rest_is_a_message(self):
        for words in (("two words", "--session", "s"), ("--", "status"), ("hello",)):
            status, err, said = self.run_it(*words)
            self.assertEqual((status, said), (0, "<send><--wait><15>" + "".join(f"<{w}>" for w in words)))
            self.assertEqual("'hello' is no command: it is sent as a message" in err, words == ("hello",))
        self.assertEqual(self.run_it("send", "--session", "s", "status")[::2], (0, "<send><--session><s><status>"))

    def test_words_that_are_nothing(self):
        status, err, said = self.run_it("lanes", "list")
        self.assertEqual((status, said), (1, ""))
        self.assertIn("there is no command 'lanes'. Did you mean 'lane'?", err)
        self.assertIn('./run "lanes list"', err)
        self.assertEqual(self.run_it("--nonsense")[0], 1)


if __name__ == "__main__":
    unittest.main()
