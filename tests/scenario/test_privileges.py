# SPDX-License-Identifier: Apache-2.0
"""Who our own processes are, what they may, and what they see: started by root, and by a user."""
import contextlib
import glob
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
import uuid

from node import USER, Node, as_user, wait_for
from test_tools import WithTools

CAPS = {"setgid": 6, "setuid": 7, "kill": 5, "chown": 0, "setpcap": 8, "sys_admin": 21}
LAUNCHER = ("setgid", "setuid", "kill", "setpcap", "sys_admin")


def mask(*names):
    return sum(1 << CAPS[n] for n in names)


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def capabilities(pid):
    """(effective, permitted, inheritable, bounding, ambient)"""
    s = status(pid)
    return tuple(int(s[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb"))


def owner(path):
    st = os.lstat(path)
    return st.st_uid, st.st_gid


class Looks:
    """What holds of every node. as_root: who starts it."""
    workers = 1
    as_root = False

    @classmethod
    def make(cls):
        return Node(model="fake", migrated=True, as_root=cls.as_root)

    @classmethod
    def setUpClass(cls):
        cls.node = cls.make()
        cls.addClassCleanup(cls.node.close)
        cls.node.start()
        cls.agents = {}

    def one(self, kind):
        return self.node.pids()[kind][0]

    def check_confined(self, kind):
        pid = self.one(kind)
        s = status(pid)
        self.assertEqual((s["NoNewPrivs"], s["Seccomp"]), ("1", "2"), kind)
        self.assertEqual(capabilities(pid)[:3] + capabilities(pid)[4:], (0, 0, 0, 0), kind)

    def seen(self, kind, path):
        return os.path.lexists(f"/proc/{self.one(kind)}/root{path}")

    def check_view(self, kind):
        n = self.node
        for path in ("/etc/hosts", "/etc/resolv.conf", "/etc/ssl", "/proc/self/status", n.cluster.socket + "/.s.PGSQL.5432"):
            self.assertEqual(self.seen(kind, path), os.path.lexists(path), f"{kind}: {path}")
        for path in (n.state, n.bin, n.log_file, n.cluster.data, "/etc/passwd", "/etc/shadow", "/usr/bin", "/usr/lib", "/bin", "/home",
                     "/root", "/var", "/run", "/sys", "/proc/1", "/proc/version"):
            self.assertFalse(self.seen(kind, path), f"{kind}: {path}")
        pid = self.one(kind)
        links = os.listdir(f"/proc/{pid}/root{n.runtime}/l")
        self.assertEqual(len(links), 1, "its own link and no other")
        with open(f"/proc/{pid}/mountinfo") as f:
            mounts = [line.split() for line in f]
        for m in mounts:
            options = set(m[5].split(","))
            self.assertLessEqual({"ro", "nosuid", "noexec"}, options, m)
            self.assertTrue("nodev" in options or m[4].startswith("/dev/"), m)

    def test_edge_and_worker_may_nothing_and_see_nothing(self):
        for kind in ("edge", "worker"):
            self.check_confined(kind)
            self.check_view(kind)

    def test_the_database_comes_back(self):
        n = self.node
        n.cluster.stop("fast")
        n.cluster.start()  # another socket by the same name
        run = n.wait_until_accepted("after the restart", "restart")
        self.assertEqual(n.wait_until_ok(run)["status"], "ok")

    def check_launcher_restarts(self):
        before = self.one("worker")
        self.assertEqual(self.bash("echo one")["stdout"], "one\n")
        self.node.kill("launcher")
        wait_for(lambda: self.node.pids()["worker"] not in ([], [before]))
        self.node.wait_ready()
        self.assertEqual(self.bash("echo two")["stdout"], "two\n")


class StartedByAUser(Looks, WithTools):
    def test_the_supervisor(self):
        s = status(self.one("supervisor"))
        self.assertEqual(s["NoNewPrivs"], "1")
        self.assertEqual([int(s[f"Cap{k}"], 16) for k in ("Eff", "Prm", "Inh", "Amb")], [0] * 4)


@unittest.skipIf(os.getuid(), "needs root")
class StartedByRoot(Looks, WithTools):
    as_root = True

    @classmethod
    def make(cls):
        """With what an earlier life of it left: as root, and as the user that it is now."""
        node = super().make()
        cls.user = pwd.getpwnam(USER)
        cls.foreign = os.path.join(node.dir, "foreign")
        with open(cls.foreign, "w") as f:
            f.write("root's own\n")
        cls.old = os.path.join(node.state, "workspaces", "1", str(uuid.uuid4()))
        os.makedirs(os.path.join(cls.old, "deep"))
        os.symlink(cls.foreign, os.path.join(cls.old, "link"))
        os.mkdir(os.path.join(node.state, "log"))
        os.symlink(cls.foreign, os.path.join(node.state, "log", "link"))
        os.link(cls.foreign, os.path.join(node.state, "log", "second-name"))
        os.chown(os.path.join(cls.old, "deep"), cls.user.pw_uid, cls.user.pw_gid)
        return node

    def test_uids_and_capabilities(self):
        handed_on = mask(*LAUNCHER, "chown")
        of_launcher = mask(*LAUNCHER)
        want = {"supervisor": (mask("kill", "chown", "sys_admin"), handed_on, handed_on, 0, 0),
                "launcher": (of_launcher, of_launcher, 0, 0, 0),
                "edge": (0,) * 5, "worker": (0,) * 5}
        pids = {kind: found[0] for kind, found in self.node.pids().items()}
        self.assertEqual({kind: capabilities(pid) for kind, pid in pids.items()}, want)
        for kind, pid in pids.items():
            s = status(pid)
            self.assertEqual(s["Uid"].split(), [str(self.user.pw_uid)] * 4, kind)
            self.assertEqual(s["Gid"].split(), [str(self.user.pw_gid)] * 4, kind)
            self.assertEqual((s["NoNewPrivs"], s["Groups"].strip()), ("1", ""), kind)
            self.assertEqual(s["Seccomp"], "0" if kind == "supervisor" else "2", kind)
            # Not dumpable: what the kernel shows of it is root's.
            self.assertEqual(os.stat(f"/proc/{pid}/fd").st_uid, 0, kind)

    def test_a_tenants_jail_has_its_own_uid(self):
        out = self.bash("id -u; touch made; stat -c %u . made /workspace/..")
        uid = str(2000000000 + int(self.node.sql("SELECT min(tenant_id) FROM tb.tool_executions")))
        self.assertEqual(out["stdout"].split(), [uid, uid, uid, str(self.user.pw_uid)])
        made = glob.glob(os.path.join(self.node.state, "workspaces", "*", "*", "made"))
        self.assertEqual([owner(path) for path in made], [(int(uid), int(uid))])

    def test_a_dead_launcher_is_replaced_and_takes_its_jails_along(self):
        run = self.post('[tool bash {"script":"exec sleep 7117"}] go', "left-alone", agent=self.runner())
        wait_for(self.sleepers)
        self.check_launcher_restarts()
        self.assertEqual(self.node.wait(run)["status"], "ok")
        wait_for(lambda: not self.sleepers())

    def sleepers(self):
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as f:
                    found += [path] if f.read() == b"sleep\x007117\x00" else []
            except OSError:
                pass
        return found

    def test_what_an_earlier_life_left_has_the_right_owner(self):
        n, us, tenant = self.node, (self.user.pw_uid, self.user.pw_gid), (2000000001, 2000000001)
        for name in ("", "secrets", "secrets/tb_worker", "token", "workspaces", "workspaces/1", "log"):
            self.assertEqual(owner(os.path.join(n.state, name)), us, name)
        for name in ("", "deep", "link"):
            self.assertEqual(owner(os.path.join(self.old, name)), tenant, name)
        self.assertEqual(owner(self.foreign), (0, 0), "a link was followed, or a second name taken for the first")
        self.assertEqual(owner(os.path.join(n.state, "log", "link")), (0, 0))

    def test_terabitsctl_of_root_leaves_the_nodes_files_to_it(self):
        p = self.node.ctl("migrate")
        self.assertEqual(p.returncode, 0, p.stderr)
        for path in glob.glob(os.path.join(self.node.state, "secrets", "*")):
            if os.path.basename(path) != "owner":
                self.assertEqual(owner(path), (self.user.pw_uid, self.user.pw_gid), path)


@unittest.skipUnless(shutil.which("openssl"), "no openssl to make a certificate with")
class Provider(unittest.TestCase):
    def test_its_certificate_is_judged_by_the_bundle(self):
        """Its name is found, and the bundle is read: else the refusal would be of the name, or of the bundle."""
        place = tempfile.mkdtemp(prefix="tbtls")
        self.addCleanup(shutil.rmtree, place)
        pem = os.path.join(place, "pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-keyout", pem, "-out", pem + ".crt"],
                       check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem + ".crt", pem)
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def serve():
            while True:
                try:
                    s, _ = server.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError):
                    context.wrap_socket(s, server_side=True).close()

        threading.Thread(target=serve, daemon=True).start()
        node = Node(model={"OPENAI_BASE_URL": f"https://localhost:{server.getsockname()[1]}/v1", "OPENAI_API_KEY": "k"}, migrated=True)
        self.addCleanup(node.close)
        node.start()
        node.enqueue("hello")
        wait_for(lambda: "event=model-retry" in node.log())
        said = next(line for line in node.log().splitlines() if "event=model-retry" in line)
        self.assertIn("self-signed certificate", said.replace("self signed", "self-signed"))


@unittest.skipIf(os.getuid(), "needs root")
class StartedWithOtherRights(unittest.TestCase):
    """One node, started in one way after the other."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="offline", migrated=True, as_root=True)
        cls.addClassCleanup(cls.node.close)

    def tearDown(self):
        if self.node.daemon and self.node.daemon.poll() is None:
            self.node.stop()

    def start_by(self, *prefix):
        n = self.node
        n.command = lambda name, *args: ([*prefix] if name == "terabitsd" else as_user()) + [os.path.join(n.bin, name), *args]
        n.start_daemon()
        n.wait_ready()

    def refused(self, **env):
        n = self.node
        p = subprocess.run([os.path.join(n.bin, "terabitsd")], env={**n.program_env(), **env}, cwd="/", text=True, timeout=30,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(p.returncode, 2, p.stdout)
        return p.stdout

    def test_ambient_capabilities_serve_as_root_does(self):
        caps = ",".join(f"+{name}" for name in CAPS)
        subprocess.run(["chown", "-R", f"{USER}:{USER}", self.node.state, self.node.runtime], check=True)
        self.start_by(*as_user(), f"--inh-caps={caps}", f"--ambient-caps={caps}")
        pids = self.node.pids()
        self.assertEqual(capabilities(pids["launcher"][0]), (mask(*LAUNCHER), mask(*LAUNCHER), 0, 0, 0))
        self.assertEqual(capabilities(pids["worker"][0])[:3], (0, 0, 0))

    def test_root_without_all_of_them_keeps_none_and_says_so(self):
        self.start_by("setpriv", "--bounding-set=-sys_admin,-kill", "--inh-caps=-all", "--")
        with open(self.node.log_file) as f:
            self.assertIn("the capabilities CAP_SYS_ADMIN, CAP_KILL are missing", f.read())
        pids = self.node.pids()
        for kind in ("supervisor", "launcher", "edge", "worker"):
            self.assertEqual(capabilities(pids[kind][0])[:3], (0, 0, 0), kind)
            self.assertEqual(status(pids[kind][0])["Uid"].split()[0], str(pwd.getpwnam(USER).pw_uid), kind)

    def test_users_that_are_none(self):
        self.assertIn("there is no user 'nobody-of-that-name'", self.refused(TERABITS_USER="nobody-of-that-name"))
        self.assertIn("'root' is root", self.refused(TERABITS_USER="root"))

    def test_a_directory_that_is_no_nodes(self):
        place = os.path.join(self.node.dir, "not-ours")
        os.makedirs(os.path.join(place, "something"), exist_ok=True)
        for setting in ("TERABITS_STATE_DIR", "TERABITS_RUNTIME_DIR"):
            self.assertIn(f"set {setting} to another one", self.refused(**{setting: place}))
            self.assertEqual(owner(place), (0, 0))


if __name__ == "__main__":
    unittest.main()
