# SPDX-License-Identifier: Apache-2.0
"""A node of its own for a test: private cluster, fake model server, terabitsd, and the means to ask and to break them."""
import atexit
import contextlib
import fcntl
import glob
import hashlib
import http.client
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import contract

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A directory of cgroup v2 in which this process may make groups with controllers; each node is then started in one of its own, given to who
# starts it, as a service manager does (Delegate=). scripts/vm-test has one.
GROUPS = os.environ.get("TB_GROUPS")
USER = "tb-test"  # the cluster refuses root; everything runs as this user when the tests run as root


def default_build():
    return os.environ.get("TB_BUILD", os.path.join(ROOT, "build", "asan"))


def wait_for(what, seconds=20, every=0.02):
    """The first true value of what(); AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain")
        time.sleep(every)


def free_port():
    """Below the range from which the kernel takes ports of clients: one of those could sit on it while a node restarts."""
    while True:
        port = random.randint(15000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def as_user():
    """The command prefix that drops root."""
    if os.getuid():
        return []
    try:
        pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER], check=True)
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


def own(path):
    if os.getuid() == 0:
        as_user()
        subprocess.run(["chown", "-R", f"{USER}:{USER}", path], check=True)


def digest(*parts):
    """A short name for what depends on these texts, numbers and files' contents (path: ["/..."])."""
    h = hashlib.sha256()
    for part in parts:
        if isinstance(part, list):
            for path in part:
                with open(path, "rb") as f:
                    h.update(f.read())
        h.update(f"|{part}|".encode())
    return h.hexdigest()[:12]


def kept(name, make):
    """A directory that make(path) filled once, for all later ones that need the same; one that nobody needed for a day goes. As root
    where the tests' user can reach it."""
    home = os.path.join(ROOT, "build", "kept") if os.getuid() else "/var/tmp/terabits-test"
    path = os.path.join(home, name)
    os.makedirs(home, exist_ok=True)
    with open(os.path.join(home, f".{name}"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(path):
            for old in os.scandir(home):
                if old.is_dir() and old.stat().st_mtime < time.time() - 86400:
                    shutil.rmtree(old.path, ignore_errors=True)  # somebody else may be at it
            new = path + ".new"
            shutil.rmtree(new, ignore_errors=True)
            os.mkdir(new)
            make(new)
            os.rename(new, path)
        os.utime(path)
    return path


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


SETTINGS = ("listen_addresses=''\nwal_compression=lz4\ncheckpoint_timeout=15min\nmax_wal_size=4GB\njit=off\n"
            "max_connections=200\n")
# Small segments: a third of what every node copies would be an empty log.
INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N", "--wal-segsize=1")
# Of four databases two are only more files to copy.
OBJECTS = ("CREATE ROLE terabits_owner LOGIN CREATEROLE PASSWORD 'owner'", "CREATE DATABASE terabits OWNER terabits_owner",
           "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'", "DROP DATABASE template0", "DROP DATABASE postgres")


class Psql:
    """One that stays: to begin one, and to connect, takes longer than most answers."""

    def __init__(self, cluster, conninfo, *args, errors=subprocess.STDOUT, env=None):
        self.p = subprocess.Popen([os.path.join(cluster.bin, "psql"), "-XAtq", "-d", conninfo, *args], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **(env or {})})

    def ask(self, text):
        """What it printed; None when it ended."""
        answer = self.run(text)
        return answer and answer[1]

    def run(self, text):
        """(whether it went well, what it printed); None when it ended."""
        end = "\x1fend "
        try:
            self.p.stdin.write(f"{text}\n;\n\\echo {end}:ERROR\n")
            self.p.stdin.flush()
        except BrokenPipeError:
            return None
        lines = []
        for line in self.p.stdout:
            if line.startswith(end):
                return line == end + "false\n", "".join(lines)
            lines.append(line)
        return None

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.p.stdin.close()
        self.p.stdout.close()
        self.p.wait()


class Cluster:
    """A private Postgres below dir; reachable by its unix socket only. fsync: as where it must outlive the machine; otherwise it does
    not wait for the disk, and what it wrote before it is killed is as safe, with the kernel."""

    def __init__(self, dir, fsync=False, data=None):
        """data: a directory of a stopped one to begin with."""
        self.dir = dir
        found = sorted(glob.glob(os.path.join(ROOT, ".deps/pg/usr/lib/postgresql/*/bin")))
        if not found:
            raise SystemExit("no Postgres under .deps: run scripts/setup")
        self.bin = self.reachable(found[-1])
        self.socket = os.path.join(dir, "s")
        self.data = os.path.join(dir, "pg")
        self.readers, self.writers = [], []
        self.cause = digest(self.bin, os.stat(self.bin).st_mtime, SETTINGS, OBJECTS, INITDB)
        os.makedirs(self.socket)
        own(dir)
        data = data or os.path.join(kept(f"cluster-{self.cause}", self.begin), "pg")
        subprocess.run(["cp", "-a", data, self.data], check=True)
        with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
            f.write(f"unix_socket_directories='{self.socket}'\nfsync={'on' if fsync else 'off'}\n"
                    f"shared_buffers={'256MB' if fsync else '32MB'}\n")
        self.start()
        self.owner = f"host={self.socket} port=5432 dbname=terabits user=terabits_owner password=owner"

    @staticmethod
    def reachable(bin):
        """Postgres finds its files relative to itself; a checkout below /root is closed to another user."""
        if os.getuid():
            return bin
        bin = os.path.realpath(bin)  # .deps may be a link: one copy for every checkout that shares it
        tree = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(bin))))  # .../usr
        copy = kept(f"postgres-{digest(tree, os.stat(bin).st_mtime)}",
                    lambda path: shutil.copytree(tree, path, symlinks=True, dirs_exist_ok=True))
        return os.path.join(copy, os.path.relpath(bin, tree))

    def begin(self, path):
        """initdb takes longer than most tests."""
        self.data = os.path.join(path, "pg")
        own(path)
        self.tool("initdb", "-D", self.data, *INITDB)
        with open(os.path.join(self.data, "pg_hba.conf"), "w") as f:
            f.write("local all postgres trust\nlocal all all scram-sha-256\n")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
            f.write(SETTINGS)
        self.tool("pg_ctl", "-D", self.data, "-l", os.path.join(self.dir, "pg.log"), "-o", f"-k {self.socket}", "-w", "start")
        for text in OBJECTS:
            self.sql(text, "template1")
        self.stop("fast")
        self.data = os.path.join(self.dir, "pg")

    def tool(self, name, *args):
        subprocess.run(as_user() + [os.path.join(self.bin, name), *args], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, cwd="/")

    def start(self):
        self.tool("pg_ctl", "-D", self.data, "-l", os.path.join(self.dir, "pg.log"), "-w", "start")

    def stop(self, mode="immediate"):
        for sessions in (self.readers, self.writers):
            while sessions:
                sessions.pop().close()
        subprocess.run(as_user() + [os.path.join(self.bin, "pg_ctl"), "-D", self.data, "-m", mode, "-w", "stop"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def pid(self):
        with open(os.path.join(self.data, "postmaster.pid")) as f:
            return int(f.readline())

    def psql(self, *args, conninfo=None, check=True, input=None):
        conninfo = conninfo or f"host={self.socket} dbname=terabits user=postgres"
        p = subprocess.run([os.path.join(self.bin, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", conninfo, *args],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, input=input)
        if check and p.returncode:
            raise AssertionError(f"psql: {p.stderr}")
        return p

    def sql(self, text, database="terabits"):
        word = text.split(None, 1)[0] if database == "terabits" and ";" not in text else ""
        if word == "SELECT":
            answer = self.read(text)
            if answer is not None:
                return answer.strip()
        if word in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            answer = self.write(text)
            if answer is not None:
                return answer.strip()
        return self.psql("-c", text, conninfo=f"host={self.socket} dbname={database} user=postgres").stdout.strip()

    def write(self, text):
        """By a session that nobody uses at the moment; None when it had ended: a statement is one transaction, so nothing was done."""
        try:
            writer = self.writers.pop()
        except IndexError:
            writer = Psql(self, f"host={self.socket} dbname=terabits user=postgres")
        answer = writer.run(text)
        if answer is None:
            writer.close()
            return None
        self.writers.append(writer)
        if not answer[0]:
            raise AssertionError(f"psql: {answer[1]}")
        return answer[1]

    def read(self, text):
        """By a session that cannot write and that nobody uses at the moment; None for what it cannot answer."""
        try:
            reader = self.readers.pop()
        except IndexError:
            reader = Psql(self, f"host={self.socket} dbname=terabits user=postgres", "-v", "ON_ERROR_STOP=1", errors=subprocess.DEVNULL,
                          env={"PGOPTIONS": "-c default_transaction_read_only=on"})
        answer = reader.ask(text)
        if answer is None:
            reader.close()
        else:
            self.readers.append(reader)
        return answer


class Node:
    """model: "offline", "fake", or a dict of environment variables. The environment of the tests reaches the node as far as `env`
    says and no further. migrated: with the database and the secrets that `terabitsctl migrate` makes of nothing. as_root: terabitsd
    is started by root, as it may be, and not by the tests' user."""

    contract = None

    def __init__(self, build=None, model="offline", workers=1, env=None, migrated=False, fsync=False, as_root=False):
        self.build = build or default_build()
        self.model = model
        self.as_root = as_root
        self.dir = tempfile.mkdtemp(prefix="tbn", dir=os.environ.get("TB_TMP", "/tmp"))
        os.chmod(self.dir, 0o711)
        self.state = os.path.join(self.dir, "state")
        self.runtime = os.path.join(self.dir, "r")
        self.log_file = os.path.join(self.dir, "log")
        self.token_file = os.path.join(self.state, "token")
        self.port = free_port()
        self.fake = self.daemon = None
        self.groups = []
        self.fake_port = None
        self.bin = self.reachable_programs()
        os.makedirs(os.path.join(self.state, "secrets"), mode=0o700)
        os.makedirs(self.runtime)
        self.migrated = migrated
        begin = migrated and self.migrated_before()
        self.cluster = Cluster(os.path.join(self.dir, "c"), fsync, begin and os.path.join(begin, "pg"))
        if begin:
            self.take_secrets(begin)
        with open(os.path.join(self.state, "secrets", "owner"), "w") as f:
            f.write(self.cluster.owner)
        os.chmod(os.path.join(self.state, "secrets", "owner"), 0o600)
        self.env = {
            "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TERABITS_STATE_DIR": self.state, "TERABITS_RUNTIME_DIR": self.runtime,
            "TERABITS_LISTEN": f"127.0.0.1:{self.port}", "TERABITS_WORKERS": str(workers), "TERABITS_SECCOMP": "kill", "TERABITS_USER": USER,
            "TERABITS_MIGRATIONS": os.path.join(self.dir, "migrations"),
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        }
        shutil.copytree(os.path.join(ROOT, "migrations"), os.path.join(self.dir, "migrations"))
        if isinstance(model, dict):
            self.env.update(model)
        self.env.update(env or {})
        own(self.dir)
        if as_root:
            subprocess.run(["chown", "-R", "root:root", self.state, self.runtime], check=True)
        atexit.register(self.close)

    def reachable_programs(self):
        source = os.path.join(self.build, "bin")
        if os.getuid():
            return source
        made = [[p, os.stat(p).st_mtime_ns, os.stat(p).st_size] for p in sorted(glob.glob(os.path.join(source, "*")))]
        installed = kept(f"programs-{digest(str(made))}", self.install)
        for folder in ("bin", "lib"):
            if os.path.isdir(os.path.join(installed, folder)):
                # Names of its own, by which its processes are known, of the same files.
                shutil.copytree(os.path.join(installed, folder), os.path.join(self.dir, folder), copy_function=link_or_copy)
        return os.path.join(self.dir, "bin")

    def install(self, path):
        """Installed programs look for their libraries in ../lib; those of a build tree in the checkout."""
        subprocess.run(["cmake", "--install", self.build, "--prefix", path], check=True, stdout=subprocess.DEVNULL)
        shutil.copy2(os.path.join(self.build, "bin", "fake-model"), os.path.join(path, "bin"))
        for lib in glob.glob(os.path.join(ROOT, ".deps/libs/usr/lib", "*", "*.so*")):
            os.makedirs(os.path.join(path, "lib"), exist_ok=True)
            shutil.copy2(lib, os.path.join(path, "lib"))

    def migrated_before(self):
        """What this build's `terabitsctl migrate` made of nothing: pg, state, and its socket's path in a file; kept, for its time."""
        def make(path):
            node = Node(self.build)
            node.migrate()
            node.cluster.stop("fast")
            subprocess.run(["cp", "-a", node.cluster.data, node.state, path], check=True)
            with open(os.path.join(path, "socket"), "w") as f:
                f.write(node.cluster.socket)
            node.close()
        programs = [os.path.join(self.build, "bin", "terabitsctl")] + sorted(glob.glob(os.path.join(ROOT, "migrations", "*.sql")))
        return kept(f"migrated-{digest(programs, SETTINGS, INITDB, OBJECTS, os.getuid())}", make)

    def take_secrets(self, begin):
        with open(os.path.join(begin, "socket")) as f:
            socket_then = f.read()
        shutil.copy2(os.path.join(begin, "state", "token"), self.token_file)
        for path in glob.glob(os.path.join(begin, "state", "secrets", "tb_*")):
            copy = os.path.join(self.state, "secrets", os.path.basename(path))
            with open(path) as f, open(os.open(copy, os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
                out.write(f.read().replace(socket_then, self.cluster.socket))

    def program_env(self):
        env = dict(self.env)
        if os.getuid() == 0 and os.path.isdir(os.path.join(self.dir, "lib")):
            env["LD_LIBRARY_PATH"] = os.path.join(self.dir, "lib")
        return env

    def command(self, name, *args):
        return ([] if self.as_root else as_user()) + [os.path.join(self.bin, name), *args]

    # ---- life

    def start(self):
        if self.model == "fake" and not self.fake:
            self.start_fake()
        if not self.migrated:
            self.migrate()
        self.start_daemon()
        self.wait_ready()
        return self

    def migrate(self):
        p = self.ctl("migrate")
        if p.returncode:
            raise AssertionError(f"migrate: {p.stderr}")
        self.migrated = True

    def start_fake(self):
        self.fake = subprocess.Popen(self.command("fake-model"), stdout=subprocess.PIPE, text=True, env=self.program_env())
        self.fake_port = int(self.fake.stdout.readline().split()[1])
        self.env["OPENAI_BASE_URL"] = f"http://127.0.0.1:{self.fake_port}/v1"
        self.env["OPENAI_API_KEY"] = "test-key"

    def start_fake_for_all(self):
        """As start_fake, and it is every provider that a model's name can say."""
        self.start_fake()
        for name in ("ANTHROPIC", "GEMINI"):
            self.env[f"{name}_BASE_URL"] = f"http://127.0.0.1:{self.fake_port}"
            self.env[f"{name}_API_KEY"] = "test-key"

    @contextlib.contextmanager
    def model_stopped(self):
        """The model answers nothing meanwhile: what it was asked stays under way, however long the rest takes."""
        os.kill(self.fake.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.fake.pid, signal.SIGCONT)

    def into_a_group(self):
        """The command prefix that goes into a new one."""
        if not GROUPS:
            return []
        group = os.path.join(GROUPS, f"{os.path.basename(self.dir)}.{len(self.groups)}")
        os.mkdir(group)
        self.groups.append(group)
        if os.getuid() == 0 and not self.as_root:
            for name in (".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
                shutil.chown(os.path.join(group, name), USER, USER)
        return ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', group]

    def start_daemon(self):
        command = self.into_a_group() + self.command("terabitsd")
        with open(self.log_file, "a") as log:
            self.daemon = subprocess.Popen(command, stdout=log, stderr=log, env=self.program_env(), cwd="/",
                                           start_new_session=True)

    def wait_ready(self, seconds=30):
        def ready():
            if self.daemon.poll() is not None:
                raise AssertionError(f"terabitsd ended with {self.daemon.returncode}: {self.tail()}")
            try:
                return self.admin("status")["state"] == "serving" and self.get("/readyz")[0] == 200
            except (OSError, ValueError, http.client.HTTPException):
                return False
        wait_for(ready, seconds)

    def stop(self, sig=signal.SIGTERM, seconds=40):
        """Ends terabitsd; its exit status."""
        self.daemon.send_signal(sig)
        status = self.daemon.wait(seconds)
        wait_for(lambda: not self.all_pids(), 10)
        return status

    def close(self):
        if not os.path.isdir(self.dir):
            return
        atexit.unregister(self.close)
        if self.daemon and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        if self.fake:
            self.fake.kill()
            self.fake.wait()
            self.fake.stdout.close()
        left = []
        if self.daemon:
            try:
                wait_for(lambda: not self.all_pids(), 10)
            except AssertionError:
                left = self.all_pids()
        self.remove_groups()
        self.cluster.stop()
        log = self.log()
        if os.environ.get("KEEP"):
            print(f"kept: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        for sign in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "event=bug", "assertion"):
            if sign in log:
                raise AssertionError(f"the node's log says '{sign}':\n{log[log.index(sign) - 500:][:6000]}")
        if left:
            raise AssertionError(f"processes were left: {left}")

    def remove_groups(self):
        """Control groups of a node that was killed: the next one of its state directory would, but there will be none."""
        bases = list(self.groups)
        for record in glob.glob(os.path.join(self.state, "cgroups", "*")):
            with open(record) as f:
                bases += f.read().split()
        for base in bases:
            for path, _, _ in os.walk(base, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)

    def log(self):
        try:
            with open(self.log_file, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def tail(self, lines=15):
        return "\n".join(self.log().splitlines()[-lines:])

    # ---- processes

    def pids(self):
        """Process ids by kind: supervisor, edge, worker, launcher."""
        out = {"supervisor": [self.find_daemon()], "edge": [], "worker": [], "launcher": []}
        for c in self.admin("status")["children"]:
            out[c["kind"]].append(c["pid"])
            if c["kind"] == "worker":
                out["launcher"].append(c["launcherPid"])
        return {k: [p for p in v if p and p > 0] for k, v in out.items()}

    def find_daemon(self):
        return self.daemon.pid  # setpriv execs: the pid stays

    def all_pids(self):
        """Every process whose program is this node's."""
        out = []
        for exe in glob.glob("/proc/[0-9]*/exe"):
            try:
                target = os.readlink(exe)
            except OSError:
                continue
            if target.startswith(self.bin + "/terabits"):
                try:
                    with open(exe[:-3] + "environ", "rb") as f:
                        if os.getuid() == 0 or self.state.encode() in f.read():
                            out.append(int(exe.split("/")[2]))
                except (FileNotFoundError, ProcessLookupError):  # it ends while we look
                    continue
        return out

    def kill(self, kind, ordinal=0, sig=signal.SIGKILL):
        """Returns when the supervisor has noticed."""
        pid = self.pids()[kind][ordinal]
        os.kill(pid, sig)
        if kind != "supervisor" and sig == signal.SIGKILL:
            wait_for(lambda: pid not in self.pids()[kind], 10)
        return pid

    def postmaster_pid(self):
        return self.cluster.pid()

    # ---- asking

    def ctl(self, *args, env=None, input=None, timeout=60):
        return subprocess.run(self.command("terabitsctl", *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**self.program_env(), **(env or {})}, input=input, timeout=timeout, cwd="/")

    def admin(self, command, args=None):
        """The answer, also when it is an error."""
        request = {"cmd": command} if args is None else {"cmd": command, "args": args}
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(os.path.join(self.state, "admin.sock"))
            s.sendall(json.dumps(request).encode() + b"\n")
            with s.makefile() as lines:
                return json.loads(lines.readline())
        finally:
            s.close()

    def token(self):
        with open(self.token_file) as f:
            return f.read().strip()

    def request(self, method, path, body=None, token=None, headers=None, timeout=60):
        """(status, headers by lower-case name, decoded JSON or text). token "" sends none."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            h = dict(headers or {})
            if token != "":
                h.setdefault("Authorization", f"Bearer {token or self.token()}")
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
                h.setdefault("Content-Type", "application/json")
            c.request(method, path, body, h)
            r = c.getresponse()
            text = r.read().decode(errors="replace")
            head = {k.lower(): v for k, v in r.getheaders()}
            try:
                answer = json.loads(text)
            except ValueError:
                return r.status, head, text
            if head.get("content-type") == "application/json":
                self.hold_to_contract(method, path, r.status, answer)
            return r.status, head, answer
        finally:
            c.close()

    def hold_to_contract(self, method, path, status, answer):
        """The document is that of the first node of this process: one build's nodes have the same."""
        if Node.contract is None:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                c.request("GET", "/openapi.json")
                Node.contract = contract.Contract(json.loads(c.getresponse().read()))
            except (OSError, ValueError, http.client.HTTPException):
                return  # it goes away just now: a later answer will do
            finally:
                c.close()
        Node.contract.check(method, path, status, answer)

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body, **kw)

    def enqueue(self, message, session=None, agent="main", mode=None, **kw):
        body = {"message": message}
        if mode:
            body["queueMode"] = mode
        if session:
            body["sessionKey"] = session
        status, _, answer = self.post(f"/v1/agents/{agent}/runs", body, **kw)
        if status != 202:
            raise AssertionError(f"enqueue: {status} {answer}")
        return answer["runId"]

    def sse(self, path, headers=None, method="GET", body=None, timeout=60):
        """Yields (id, event, data as dict) until the stream ends."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            h = {"Authorization": f"Bearer {self.token()}", **(headers or {})}
            c.request(method, path, json.dumps(body) if body else None, h)
            r = c.getresponse()
            if r.status != 200:
                raise AssertionError(f"stream: {r.status} {r.read()}")
            id = event = None
            for raw in r:
                line = raw.decode().rstrip("\r\n")
                if line.startswith("id:"):
                    id = line[3:].strip()
                elif line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:"):
                    yield id, event, json.loads(line[5:])
                    event = None
        finally:
            c.close()

    def events(self, run, last=None):
        return list(self.sse(f"/v1/runs/{run}/events", {"Last-Event-ID": last} if last else None))

    def run(self, message, session=None, agent="main"):
        """(run id, its events)."""
        run = self.enqueue(message, session, agent)
        return run, self.events(run)

    def wait(self, run, ms=60000):
        status, _, answer = self.get(f"/v1/runs/{run}/wait?timeoutMs={ms}", timeout=ms / 1000 + 30)
        if status != 200:
            raise AssertionError(f"wait: {status} {answer}")
        return answer

    def wait_until_ok(self, run, seconds=60):
        """As wait, over a time in which the door may answer 503."""
        def answered():
            status, _, answer = self.get(f"/v1/runs/{run}/wait?timeoutMs=5000")
            return answer if status == 200 and answer["status"] != "timeout" else None
        return wait_for(answered, seconds, 0.2)

    def wait_until_accepted(self, message, session, seconds=20):
        def accepted():
            status, _, answer = self.post("/v1/agents/main/runs", {"message": message, "sessionKey": session})
            return answer["runId"] if status == 202 else None
        return wait_for(accepted, seconds, 0.1)

    # ---- the database, past the product

    def sql(self, text):
        return self.cluster.sql(text)

    def rows(self, text):
        out = self.sql(f"SELECT coalesce(json_agg(q), '[]') FROM ({text}) q")
        return json.loads(out)

    def sql_file(self, path):
        with open(path) as f:
            self.cluster.psql("-f", "-", input=f.read())

    def pgbench(self, script, clients, seconds):
        with open(script) as f:
            copy = os.path.join(self.dir, os.path.basename(script))
            with open(copy, "w") as out:
                out.write(f.read())
        tool = os.path.join(self.cluster.bin, "pgbench")
        return subprocess.run([tool, "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds), "-f", copy, "-h",
                               self.cluster.socket, "-U", "postgres", "terabits"], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True).stdout

    def model_stats(self, reset=False):
        return self.fake_get("/stats?reset=1" if reset else "/stats")

    def fake_get(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.fake_port, timeout=10)
        try:
            c.request("GET", path)
            return json.loads(c.getresponse().read())
        finally:
            c.close()
