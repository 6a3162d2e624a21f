# SPDX-License-Identifier: Apache-2.0
"""How well jails hold: one line at start, in /readyz, status and doctor; what asks for more does not start. Control groups, where root
can have them, and that none of them outlives its node."""
import contextlib
import glob
import json
import os
import signal
import subprocess
import unittest

from node import GROUPS, wait_for
from test_main_job import WithNode
from test_tools import WithTools

FULL = {"TERABITS_SANDBOX_REQUIRE": "full"}


def hierarchies():
    """Of cgroup v1, the groups this process is in; [] where there are none to write."""
    found = []
    with open("/proc/self/cgroup") as f:
        groups = {name: path.strip() for _, names, path in (line.split(":", 2) for line in f) for name in names.split(",")}
    for name in ("memory", "pids"):
        path = f"/sys/fs/cgroup/{name}{groups.get(name, '')}".rstrip("/")
        if name in groups and os.access(path, os.W_OK):
            found.append(path)
    return found if len(found) == 2 else []


class WithLevel(WithNode):
    def lines(self):
        return [x for x in self.node.log().splitlines() if "event=sandbox " in x]

    def refused(self, env):
        """What terabitsd says when it ends by itself with that."""
        p = subprocess.run(self.node.command("terabitsd"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, cwd="/",
                           env={**self.node.program_env(), **env})
        said = [x for x in p.stderr.splitlines() if "event=usage" in x]
        self.assertEqual((p.returncode, len(said)), (2, 1), p.stderr)
        return said[0]

    @contextlib.contextmanager
    def stopped(self):
        self.assertEqual(self.node.stop(), 0)
        try:
            yield
        finally:
            wait_for(lambda: not self.node.all_pids())
            self.node.start_daemon()
            self.node.wait_ready()

    def check_told(self, level, *parts):
        self.assertEqual(len(self.lines()), self.node.log().count("event=node-ready"))
        line = self.lines()[-1]
        for part in (f"level={level.upper()}", "pid/net/mnt=yes", "seccomp=yes", "landlock=", *parts):
            self.assertIn(part, line)
        self.assertEqual(self.node.get("/readyz")[2]["sandbox"], level)
        told = self.node.admin("status")["sandbox"]
        self.assertEqual(told["level"], level)
        self.assertIn(told["summary"], line)
        self.assertIn(f"sandbox   {level}: {told['summary']}", self.node.ctl("status").stdout)
        return told

    def doctor(self, env=None):
        p = self.node.ctl("doctor", "-o", "json", env=env)
        (check,) = [c for c in json.loads(p.stdout)["checks"] if c["check"] == "sandbox"]
        return check["verdict"], check["text"]


@unittest.skipIf(GROUPS, "control groups were delegated to the node")
class AsUser(WithLevel):
    def test_reduced_is_told(self):
        told = self.check_told("reduced", "user-ns=yes", "tenant-uid=no", "cgroup=none", "memory limits are per process plus a watchdog",
                               "Delegate=memory pids cpu")
        self.assertIn(told["missing"], self.lines()[-1])
        verdict, text = self.doctor()
        self.assertEqual(verdict, "warn")
        self.assertIn("the node's jails are reduced: ", text)
        self.assertIn(told["missing"], text)
        self.assertEqual(self.doctor(env=FULL)[0], "FAIL")
        self.assertEqual(os.listdir(os.path.join(self.node.state, "cgroups")), [])

    def test_without_a_node(self):
        with self.stopped():
            said = self.refused(FULL)
            self.assertIn("TERABITS_SANDBOX_REQUIRE is full, and jails are reduced here: cgroup=none", said)
            self.assertIn("Delegate=memory pids cpu", said)
            self.assertIn("'most' is none of full, reduced", self.refused({"TERABITS_SANDBOX_REQUIRE": "most"}))
            verdict, text = self.doctor()
            self.assertEqual(verdict, "warn")
            self.assertIn("started from here, jails are reduced: user-ns=yes", text)
            verdict, text = self.doctor(env={"TERABITS_BINARIES": "/nonexistent"})
            self.assertEqual(verdict, "FAIL")
            self.assertIn("TERABITS_BINARIES", text)

    def test_user_namespaces_switched_off(self):
        """What the launcher and doctor say of it, in a user namespace of ours in which no further one may be made."""
        off = "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-sys_admin "
        launcher = self.node.command("terabits-launcher", "--probe")
        at = launcher.index(os.path.join(self.node.bin, "terabits-launcher"))
        inside = launcher[:at] + ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c",
                                  off + "--inh-caps=-all --ambient-caps=-all " + " ".join(launcher[at:])]
        p = subprocess.run(inside, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.node.program_env(), timeout=60)
        self.assertEqual(p.returncode, 2, p)
        self.assertEqual(p.stderr.count("\n"), 1, p.stderr)
        self.assertIn("user.max_user_namespaces", p.stderr)


class Full:
    """With control groups: of v2 where a group was delegated to the node, else of v1."""
    env = FULL
    workers = 1
    namespaces = ("user-ns=no", "tenant-uid=yes")

    def mine(self):
        """Every group of this node, and of no other one beside it."""
        found = []
        for record in glob.glob(os.path.join(self.node.state, "cgroups", "*")):
            with open(record) as f:
                found += [at for base in f.read().split() for at, _, _ in os.walk(base)]
        return found

    def left_of(self, groups):
        return [g for g in groups if os.path.exists(g)]

    def of_launchers(self):
        """The beginnings of the names of groups, one for each launcher that has some."""
        return {os.path.basename(b).split(".")[0] for b in self.mine() if "." in os.path.basename(b)}

    def started(self):
        """A run whose jail sleeps."""
        run = self.post('[tool bash {"script":"sleep 400 & sleep 400"}] go', self.id()[-40:], agent=self.runner())
        wait_for(lambda: self.calls(run) == [("bash", "running")])
        return run

    def test_full_is_told(self):
        groups = "cgroup=v2(memory,pids,cpu)" if GROUPS else "cgroup=v1(memory,pids)"
        told = self.check_told("full", *self.namespaces, groups, "proc=yes")
        self.assertEqual(told["missing"], "")
        verdict, text = self.doctor(env=FULL)
        self.assertEqual(verdict, "ok", text)
        self.assertIn("the node's jails are full: ", text)

    def test_memory_of_all_its_processes(self):
        hog = ("import os, time\nfor i in range(6):\n if os.fork() == 0:\n  x = bytearray(b'x') * 250000000\n  time.sleep(100)\n"
               "time.sleep(100)")
        out = self.tool("exec", argv=["/usr/bin/python3", "-c", hog])
        self.assertIs(out.get("out_of_memory"), True, out)
        self.assertEqual(self.bash("echo next")["stdout"], "next\n")
        self.assertEqual(self.bash("ls /sys/fs/cgroup /sys 2>&1 | grep -c 'No such'")["stdout"], "2\n")

    def test_nothing_of_a_killed_launcher_is_left(self):
        run = self.started()
        old = set(self.of_launchers())
        for pid in self.node.pids()["launcher"]:  # the worker's, and the edge's
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        wait_for(lambda: old - set(self.of_launchers()))  # an edge keeps its name, so does its next launcher
        self.assertEqual(self.bash("echo on")["stdout"], "on\n")
        self.assertLessEqual(len(self.of_launchers()), 2)

    def test_nothing_of_a_killed_or_stopped_node_is_left(self):
        run = self.started()
        old = self.mine()
        self.assertTrue(old)
        os.kill(self.node.find_daemon(), signal.SIGKILL)
        self.node.daemon.wait()
        wait_for(lambda: not self.node.all_pids())
        self.node.start_daemon()
        self.node.wait_ready()
        self.assertEqual(self.left_of(old), [])
        self.assertEqual(len(os.listdir(os.path.join(self.node.state, "cgroups"))), 1)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        self.bash("true")
        old = self.mine()
        self.assertTrue(old)
        with self.stopped():
            self.assertEqual(self.left_of(old), [])
            self.assertEqual(os.listdir(os.path.join(self.node.state, "cgroups")), [])


@unittest.skipIf(os.getuid() or not (GROUPS or hierarchies()), "control groups, and root, are needed")
class AsRoot(Full, WithTools, WithLevel):
    as_root = True


@unittest.skipUnless(GROUPS, "a delegated group of cgroup v2 is needed: scripts/vm-test")
class Delegated(Full, WithTools, WithLevel):
    """To an ordinary user."""
    namespaces = ("user-ns=yes", "tenant-uid=no")
