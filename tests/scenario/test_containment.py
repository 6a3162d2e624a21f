# SPDX-License-Identifier: Apache-2.0
"""What a hostile program gets at from inside a jail: nothing. `jail-probe` (tests/probes) tries, through the real processes, on a node
that an ordinary user started and on one that root started."""
import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import unittest
import uuid

from node import ROOT, as_user, wait_for
from test_tools import WithTools

TENANT_UID = 2000000000  # supervisor/workspaces.c
PROBES = re.compile(r'^\t\{"\w+", "([^"]+)", \w+\},$', re.M)
IPC_CREAT, IPC_RMID = 0o1000, 0
# What has to be found outside of a jail, or the probes prove nothing.
FOUND_OUTSIDE = ("by name", "by dots", "by roots of processes", "the root", "devices", "kernel files", "listed",
                 "environments", "signals", "every number", "properties", "shared memory", "tcp", "abstract socket", "named socket",
                 "other families", "status", "hidden memory", "parts of the kernel")


def all_probes():
    names = []
    for name in ("files", "processes", "network", "privileges"):
        with open(os.path.join(ROOT, "tests", "probes", f"probe_{name}.c")) as f:
            names += PROBES.findall(f.read())
    return names


class Surroundings:
    """Of a jail: what it must neither see nor change. The host's files, processes, sockets and shared memory."""

    def __init__(self, test, canary, uid):
        self.canary = canary
        self.files, self.sockets = [], []
        self.sentinel = self.process(test, uid)
        self.tcp = self.listen(test, socket.AF_INET, ("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        test.addClassCleanup(self.udp.close)
        self.abstract = f"terabits-{canary}"
        self.abstract_socket = self.listen(test, socket.AF_UNIX, "\0" + self.abstract)
        self.key = 0x7b000000 | os.getpid() & 0xffffff
        libc = ctypes.CDLL(None, use_errno=True)
        segment = libc.shmget(self.key, 4096, IPC_CREAT | 0o666)
        assert segment >= 0
        test.addClassCleanup(libc.shmctl, segment, IPC_RMID, None)

    @staticmethod
    def process(test, uid):
        user = [] if os.getuid() else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        p = subprocess.Popen(user + ["sleep", "10000"], cwd="/")
        test.addClassCleanup(p.wait)
        test.addClassCleanup(p.kill)
        return p

    @staticmethod
    def listen(test, family, address):
        s = socket.socket(family)
        s.bind(address)
        s.listen()
        s.setblocking(False)
        test.addClassCleanup(s.close)
        return s

    def put(self, path, mode=0o644, owner=None):
        with open(path, "w") as f:
            f.write(self.canary + "\n")
        os.chmod(path, mode)
        if owner is not None and os.getuid() == 0:
            os.chown(path, owner, owner)
        self.files.append(path)

    def facts(self, **more):
        lines = [f"canary={self.canary}", f"pid={more.get('pid', self.sentinel.pid)}", f"tcp={self.tcp.getsockname()[1]}",
                 f"udp={self.udp.getsockname()[1]}", f"abstract={self.abstract}", f"key={self.key}"]
        lines += [f"host={path}" for path in self.files] + [f"unix={path}" for path in self.sockets]
        return "\n".join(lines + [f"only={name}" for name in more.get("only", ())]) + "\n"

    def check_untouched(self, test):
        for path in self.files:
            with open(path) as f:
                test.assertEqual(f.read(), self.canary + "\n", path)
        test.assertIsNone(self.sentinel.poll())
        test.assertEqual(os.getpriority(os.PRIO_PROCESS, self.sentinel.pid), 0)
        for s in (self.tcp, self.abstract_socket):
            test.assertRaises(BlockingIOError, s.accept)
        test.assertRaises(BlockingIOError, self.udp.recv, 100)
        for path in ("/usr/probe", "/etc/probe", "/probe", "/var/probe", "/run/probe"):
            test.assertFalse(os.path.exists(path), path)


class WithProbes(WithTools):
    """A node, another tenant and another agent on it with a secret each, and what surrounds them."""

    @classmethod
    def setUpClass(cls):
        if cls.as_root and os.getuid():
            raise unittest.SkipTest("needs root")
        cls.canary = f"canary{uuid.uuid4().hex}"
        cls.env = {"TB_TEST_CANARY": cls.canary}
        super().setUpClass()
        n = cls.node
        uid = TENANT_UID + 1 if cls.as_root else os.stat(n.state).st_uid
        cls.around = Surroundings(cls, cls.canary, uid)
        cls.around.put(os.path.join(n.dir, "host-canary"), 0o666)
        cls.around.put(os.path.join(n.state, "state-canary"), 0o644, os.stat(n.state).st_uid)
        cls.around.put(os.path.join(n.state, "secrets", "canary"), 0o600, os.stat(n.state).st_uid)
        if os.getuid() == 0:
            path = f"/etc/terabits-probe-{os.getpid()}-{cls.as_root}"
            cls.around.put(path)
            cls.addClassCleanup(os.unlink, path)
        cls.around.sockets = [os.path.join(n.state, "admin.sock"), os.path.join(n.cluster.socket, ".s.PGSQL.5432")]
        cls.other = cls.second_tenant()

    @classmethod
    def second_tenant(cls):
        """Its token."""
        n = cls.node
        made = n.ctl("tenant", "create", "other")
        assert made.returncode == 0, made.stderr
        made = n.ctl("agent", "create", "main", "--tenant", "other")
        assert made.returncode == 0, made.stderr
        tenant = int(n.sql("SELECT tenant_id FROM tb.tenants WHERE slug = 'other'"))
        n.sql(f"UPDATE tb.agent_tool_policies SET profile = 'full' WHERE tenant_id = {tenant}")
        n.sql(f"UPDATE tb.agent_revisions SET config = config || '{json.dumps({'tools': cls.tools})}' WHERE tenant_id = {tenant}")
        made = n.ctl("token", "create", "--tenant", "other", "--scopes", "run,read")
        assert made.returncode == 0, made.stderr
        return re.search(r"tb1\.\S+", made.stdout).group()

    def others_bash(self, script, session="s"):
        """In a jail of the other tenant."""
        n = self.node
        status, _, answer = n.post("/v1/agents/main/runs", {"message": f"[tool bash {json.dumps({'script': script})}] go",
                                                           "sessionKey": session}, token=self.other)
        self.assertEqual(status, 202, answer)
        run = answer["runId"]
        status, _, answer = n.get(f"/v1/runs/{run}/wait?timeoutMs=60000", token=self.other)
        self.assertEqual((status, answer["status"]), (200, "ok"), n.tail())
        return n.rows(f"SELECT output FROM tb.tool_executions WHERE run_id = '{run}'")[0]["output"]

    def workspaces(self):
        """Directories of all agents' files on the host."""
        top = os.path.join(self.node.state, "workspaces")
        return {os.path.join(top, t, a) for t in os.listdir(top) for a in os.listdir(os.path.join(top, t))}

    def bring(self, agent="one"):
        """The probe program into the agent's workspace; its directory on the host."""
        mark = f"mark-{uuid.uuid4().hex}"
        self.bash(f"touch {mark}", agent=agent)
        home = [w for w in self.workspaces() if os.path.exists(os.path.join(w, mark))][0]
        program = os.path.join(home, "probe")
        shutil.copy2(os.path.join(self.node.build, "bin", "jail-probe"), program)
        os.chmod(program, 0o755)
        os.unlink(os.path.join(home, mark))
        return home

    def secrets_of_others(self, home):
        """A file of the other tenant and one of another agent of the same tenant, for all to read as far as modes go."""
        script = f"umask 0; printf '%s\\n' {self.canary} >secret; chmod 777 ."
        self.others_bash(script)
        self.bash(script, agent="neighbour")
        found = [os.path.join(w, "secret") for w in self.workspaces() - {home} if os.path.exists(os.path.join(w, "secret"))]
        self.assertEqual(len(found), 2)
        return found

    def census(self, mark):
        """How many processes have that in their command line."""
        n = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    n += mark.encode() in f.read()
            except OSError:
                pass
        return n


class Probes:
    def test_nothing_is_reached(self):
        pids, home = self.node.pids(), self.bring()
        self.around.files += self.secrets_of_others(home)
        out = self.tool("exec", argv=["/workspace/probe"], stdin=self.around.facts(), timeout_s=60)
        lines = out["stdout"].splitlines()
        self.assertEqual([line for line in lines if not line.startswith("held ")], [], out)
        self.assertEqual([line.split(" ", 2)[2].rsplit(": ", 1)[0].rstrip(":") for line in lines], all_probes())
        self.around.check_untouched(self)
        self.assertEqual(self.node.pids(), pids)
        self.assertEqual(os.path.exists(os.path.join(home, "core")), False)

    def test_the_probes_find_what_is_there(self):
        """Outside of a jail, as the same user."""
        user = self.around.process(type(self), os.stat(self.node.state).st_uid if not self.as_root else TENANT_UID + 1)
        program = os.path.join(self.node.dir, "probe")
        shutil.copy2(os.path.join(self.node.build, "bin", "jail-probe"), program)
        os.chmod(program, 0o755)
        before = self.around.files, self.around.sockets
        named = os.path.join(self.node.dir, "named")
        self.around.listen(type(self), socket.AF_UNIX, named)
        os.chmod(named, 0o777)
        self.around.files, self.around.sockets = [os.path.join(self.node.dir, "host-canary")], [named]
        facts = self.around.facts(pid=user.pid, only=FOUND_OUTSIDE)
        self.around.files, self.around.sockets = before
        uid = os.stat(self.node.state).st_uid if not self.as_root else TENANT_UID + 1
        prefix = [] if os.getuid() else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        p = subprocess.run(prefix + [program], input=facts, stdout=subprocess.PIPE, text=True, cwd="/",
                           env={"SECRET": self.canary})
        for s in (self.around.tcp, self.around.abstract_socket):
            s.accept()[0].close()
        self.assertEqual([line for line in p.stdout.splitlines() if not line.startswith("HOLE ")], [], p.stdout)
        self.assertEqual(len(p.stdout.splitlines()), len(FOUND_OUTSIDE))

    def test_nobody_survives(self):
        mark = f"stay{uuid.uuid4().hex}"
        script = (f"trap '' TERM HUP INT; s() {{ exec -a {mark} sleep 1000; }}; (s) & (setsid bash -c 'exec -a {mark} sleep 1000' &); "
                  f"(nohup bash -c 'exec -a {mark} sleep 1000' >/dev/null 2>&1 </dev/null &); "
                  f"python3 -c 'import os,sys\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
                  f"  os.execlp(\"sleep\", \"{mark}\", \"1000\")\n os._exit(0)\nos.wait()' 2>/dev/null; "
                  f"until [ $(cat /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -cx {mark}) -ge 3 ]; do :; done; echo up; ")
        out = self.bash(script + "exit 0", timeout_s=30)
        self.assertEqual(out["stdout"], "up\n", out)
        self.assertEqual(self.census(mark), 0)
        out = self.bash(script + "sleep 1000", timeout_s=3)
        self.assertTrue(out["timed_out"])
        self.assertEqual((out["stdout"], self.census(mark)), ("up\n", 0))

    def test_who_kills_all_kills_himself(self):
        pids = self.node.pids()
        for signal in ("KILL", "STOP", "TERM"):
            self.bash(f"sleep 100 & kill -{signal} 1; kill -{signal} -1; echo on; kill -CONT -1", timeout_s=3)
        self.bash("kill -9 $PPID; kill -9 0")
        self.around.check_untouched(self)
        self.assertEqual(self.node.pids(), pids)
        self.assertEqual(self.bash("echo well")["stdout"], "well\n")

    def test_agents_and_tenants_have_files_of_their_own(self):
        """Also where the names of the others' directories are known."""
        mark = f"own{uuid.uuid4().hex}"
        self.others_bash(f"umask 0; echo {mark} >theirs; chmod -R 777 .")
        self.bash(f"umask 0; echo {mark} >theirs; chmod -R 777 .", agent="neighbour")
        script = "".join(f"cat {w}/theirs /proc/*/root{w}/theirs; cp -r {w} /tmp/; echo x >{w}/theirs; " for w in self.workspaces())
        out = self.bash(f"({script}) 2>&1; grep -rs {mark[:8]} /workspace /tmp /dev/shm | head -1", agent="curious")
        self.assertNotIn(mark, out["stdout"].replace(f"grep -rs {mark[:8]}", ""))
        self.assertEqual(self.others_bash("cat theirs")["stdout"], mark + "\n")
        self.assertEqual(self.bash("cat theirs", agent="neighbour")["stdout"], mark + "\n")


class ByAnOrdinaryUser(Probes, WithProbes):
    pass


class ByRoot(Probes, WithProbes):
    as_root = True

    def test_each_tenant_has_a_user(self):
        self.bash("touch mine")
        self.others_bash("touch mine")
        owners = {os.stat(os.path.join(w, "mine")).st_uid for w in self.workspaces() if os.path.exists(os.path.join(w, "mine"))}
        self.assertEqual(len(owners), 2)
        self.assertTrue(all(uid > TENANT_UID for uid in owners))


if __name__ == "__main__":
    unittest.main()
