# SPDX-License-Identifier: Apache-2.0
"""terabitsctl: requests, tables, errors and exit statuses against a stand-in for the admin socket; clients, catalogue, doctor and
top against a real node."""
import fcntl
import json
import os
import pty
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import unittest

from node import Node, default_build, wait_for

FINE, FAILED, USAGE, ABSENT, TIMEOUT, AWAY = range(6)
RUN = "01932d3f-7c5e-7a31-9c0d-2f4f3b1c6a58"
RUN2 = "01932d3f-7c5e-7a31-9c0d-2f4f3b1c6a59"
LANES = {"lanes": [
    {"tenant": "acme", "session": "s-few", "agent": "main", "slot": 7, "worker": 0, "active": RUN, "waiting": 1, "delayed": 0,
     "folded": 0, "paused": False, "head": RUN2},
    {"tenant": "acme", "session": "s-many", "agent": "main", "slot": 9, "worker": None, "active": None, "waiting": 40, "delayed": 2,
     "folded": 3, "paused": True, "head": None}], "total": 60}
STATUS = {"node": "n", "version": "9.9", "pid": 1, "state": "serving", "uptimeMs": 61000, "listen": "127.0.0.1:1", "model": "m",
          "database": True, "lanes": 2, "waiting": 41, "running": 1, "delayed": 2, "accepted": 5, "ended": 4, "retrying": 6,
          "rates": {"acceptedPerS": 2.5, "endedPerS": 1.5},
          "waits": {"p50Ms": 3, "p99Ms": 20, "reasons": {"lane_busy": 40, "tenant_cap": 1}}, "children": []}
WORKERS = {"workers": [{"ordinal": 0, "state": "ready", "pid": 4711, "launcherPid": 4712, "runs": 1, "slots": 4096, "rssKib": 20480,
                        "deaths": 0, "worstTurnUs": 1500, "uptimeMs": 61000, "pinned": 2}], "target": 1}
STATS = {"waiting": 41, "running": 1, "tenants": [{"tenant": "acme", "running": 1, "waiting": 41, "maxRunning": 50, "weight": 100}],
         "pauses": [{"scope": "lane", "tenant": "acme", "id": "s-many"}], "journal": {"up": True, "pending": 3, "lastBatchMs": 1500}}


class Admin:
    """A stand-in for the supervisor's end of admin.sock. answers: by command, an object or a function of the request; None hangs
    up, "silent" never answers."""

    def __init__(self, path):
        self.requests, self.answers = [], {}
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(16)
        self.held = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                c, _ = self.server.accept()
            except OSError:
                return
            with c.makefile("rb") as f:
                line = f.readline()
            if line:
                self.answer(c, line)
            else:
                c.close()  # it only looked whether somebody listens

    def answer(self, c, line):
        request = json.loads(line)
        self.requests.append(line.decode().rstrip("\n"))
        answer = self.answers.get(request["cmd"], {"error": f"unknown command {request['cmd']}", "code": "bad_request"})
        if answer == "silent":
            self.held.append(c)
            return
        if callable(answer):
            answer = answer(request.get("args"))
        if answer is not None:
            c.sendall(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")
        c.close()

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for c in self.held:
            c.close()
        self.thread.join(5)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command, env, rows=24, columns=100):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.text = ""
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env={**env, "TERM": "xterm"}, cwd="/",
                                        start_new_session=True)
        os.close(slave)
        os.set_blocking(self.master, False)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        try:
            while True:
                piece = os.read(self.master, 65536).decode(errors="replace")
                if not piece:
                    break
                self.text += piece
        except (BlockingIOError, OSError):
            pass
        return self.text

    def expect(self, pattern, seconds=20):
        wait_for(lambda: re.search(pattern, self.read()), seconds)

    def type(self, keys):
        """Forgets what was shown before."""
        self.read()
        self.text = ""
        os.write(self.master, keys.encode())

    def end(self, seconds=20):
        status = self.process.wait(seconds)
        self.read()
        os.close(self.master)
        return status


class WithAdmin(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="tbc", dir=os.environ.get("TB_TMP", "/tmp"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.admin = Admin(os.path.join(self.dir, "admin.sock"))
        self.addCleanup(self.admin.close)
        self.env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TERABITS_STATE_DIR": self.dir,
                    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}

    def command(self, *args):
        return [os.path.join(default_build(), "bin", "terabitsctl"), *args]

    def ctl(self, *args, env=None):
        return subprocess.run(self.command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**self.env, **(env or {})}, cwd="/", timeout=60)

    def answered(self, cmd, answer, *args, status=FINE):
        self.admin.answers[cmd] = answer
        p = self.ctl(*args)
        self.assertEqual(p.returncode, status, p.stderr + p.stdout)
        return p

    def asks(self, line, request, answer=None):
        """The words of `line` send exactly this request."""
        cmd = json.loads(request)["cmd"]
        self.answered(cmd, answer if answer is not None else {"changed": True}, *line.split())
        self.assertEqual(self.admin.requests[-1], request)


class Requests(WithAdmin):
    def test_each_command_sends_its_request(self):
        for line, cmd, args in (
                ("lane list", "lane.list", {}),
                ("lane list --tenant acme --agent main --only paused --limit 3", "lane.list",
                 {"tenant": "acme", "agent": "main", "only": "paused", "limit": 3}),
                ("lane show web:42 --tenant acme --agent main", "lane.show", {"tenant": "acme", "agent": "main", "session": "web:42"}),
                ("lane pause s1", "lane.pause", {"session": "s1"}),
                ("lane resume s1", "lane.resume", {"session": "s1"}),
                ("lane clear s1 --yes", "lane.clear", {"session": "s1"}),
                ("run list --state queued", "run.list", {"state": "queued"}),
                (f"run show {RUN} --tenant 7", "run.show", {"tenant": "7", "run": RUN}),
                (f"run why {RUN}", "run.why", {"run": RUN}),
                (f"run cancel {RUN}", "run.cancel", {"run": RUN}),
                (f"run retry {RUN}", "run.retry", {"run": RUN}),
                ("queue stats --limit 1000", "queue.stats", {"limit": 1000}),
                ("queue pause node", "queue.pause", {"scope": "node"}),
                ("queue pause agent --tenant acme --agent main", "queue.pause", {"tenant": "acme", "agent": "main", "scope": "agent"}),
                ("queue resume tenant --tenant acme", "queue.resume", {"tenant": "acme", "scope": "tenant"}),
                ("worker list", "worker.list", {}),
                ("worker scale 4", "worker.scale", {"n": 4}),
                ("worker drain 2", "worker.drain", {"worker": 2}),
                ("worker restart 2", "worker.restart", {"worker": 2}),
                ("worker restart --all", "worker.restart", {"all": True}),
                ("worker pin 3 --slot 17", "worker.pin", {"worker": 3, "slot": 17}),
                ("worker pin --unpin --slot 17", "worker.pin", {"worker": None, "slot": 17}),
                ("worker pin 0 --session web:1 --tenant acme --agent main", "worker.pin",
                 {"tenant": "acme", "agent": "main", "session": "web:1", "worker": 0}),
                ("dead list --tenant acme --limit 2", "dead.list", {"tenant": "acme", "limit": 2}),
                (f"dead show {RUN}", "dead.show", {"run": RUN}),
                (f"dead redrive {RUN}", "dead.redrive", {"run": RUN}),
                ("dead redrive --all --reason no_input --yes", "dead.redrive", {"reason": "no_input", "all": True}),
                ("dead redrive --all --tenant acme --reason poison --limit 9 --yes", "dead.redrive",
                 {"tenant": "acme", "reason": "poison", "limit": 9, "all": True})):
            with self.subTest(line):
                self.asks(line, json.dumps({"cmd": cmd, "args": args}, separators=(",", ":")))

    def test_status_and_drain_are_asked_as_ever(self):
        self.asks("status", '{"cmd":"status"}', STATUS)
        self.assertIn("waiting   40 lane_busy, 1 tenant_cap\n", self.ctl("status").stdout)
        self.asks("drain", '{"cmd":"drain"}', {"ok": True})

    def test_nothing_is_sent_for_a_wrong_command_line(self):
        for line, says in (("lane list --limit 0", "from 1 to 1000"), ("lane list --limt 3", "did you mean '--limit'"),
                           ("run show 123", "must be a uuid"), ("worker scale 63", "1 to 62"), ("worker restart", "WORKER or --all"),
                           ("lane lst", "Did you mean 'lane list'"), ("stauts", "Did you mean 'status'"), ("lane", "lane what?"),
                           ("queue pause everything", "node|tenant|agent"), ("lane list extra", "what is 'extra'"),
                           ("worker list -o xml", "table|json"), ("worker pin 3", "--session or --slot is missing")):
            with self.subTest(line):
                p = self.ctl(*line.split())
                self.assertEqual((p.returncode, p.stdout), (USAGE, ""))
                self.assertIn(says, p.stderr)
        self.assertEqual(self.admin.requests, [])


class Answers(WithAdmin):
    def test_tables(self):
        out = self.answered("lane.list", LANES, "lane", "list").stdout.splitlines()
        self.assertEqual(out[0].split(), "TENANT SESSION AGENT SLOT WORKER ACTIVE WAITING DELAYED FOLDED PAUSED HEAD WHY".split())
        self.assertEqual(out[1].split(), ["acme", "s-few", "main", "7", "0", RUN, "1", "0", "0", "-", RUN2, "-"])
        self.assertEqual(out[2].split(), ["acme", "s-many", "main", "9", "-", "-", "40", "2", "3", "yes", "-", "-"])
        self.assertEqual(out[3], "2 of 60; --limit shows more")
        self.assertIn("there are more", self.answered("lane.list", {"lanes": LANES["lanes"], "more": True}, "lane", "list").stdout)
        self.assertEqual(self.answered("lane.list", {"lanes": [], "total": 0}, "lane", "list").stdout, "no lanes\n")
        out = self.answered("worker.list", WORKERS, "worker", "list").stdout
        self.assertRegex(out, r" 0 +ready +4711 +4712 +1 +4096 +2 +20\.0 MB +0 +1\.5 ms +1 min 1 s")
        self.assertIn("target  1", out)
        out = self.answered("queue.stats", STATS, "queue", "stats").stdout
        self.assertRegex(out, r"journal pending +3\n")
        self.assertRegex(out, r"last batch +1\.5 s\n")
        self.assertRegex(out, r"lane +acme +s-many")

    def test_json_is_the_answer_itself(self):
        for option in (["-o", "json"], ["--output=json"], ["--json"], ["-ojson"]):
            self.assertEqual(json.loads(self.answered("lane.list", LANES, "lane", "list", *option).stdout), LANES)
        self.assertEqual(json.loads(self.answered("status", STATUS, "status", "--json").stdout), STATUS)

    def test_sentences(self):
        for answer, words, says in (
                ({"changed": True}, "lane pause s", "the lane is paused"),
                ({"changed": False}, "lane pause s", "paused already"),
                ({"cancelled": 12}, "lane clear s --yes", "12 waiting runs were cancelled"),
                ({"status": "cancelling"}, f"run cancel {RUN}", f"run {RUN}: cancelling"),
                ({"run": RUN2}, f"run retry {RUN}", f"runs again as {RUN2}"),
                ({"from": 1, "to": 4}, "worker scale 4", "from 1 to 4 workers"),
                ({"slot": 17, "worker": 0}, "worker pin 0 --slot 17", "slot 17 stays on worker 0"),
                ({"slot": 17, "worker": None}, "worker pin --unpin --slot 17", "places slot 17 again"),
                ({"run": RUN, "state": "waiting", "why": "lane", "sentence": "it waits for the run before it", "estimateMs": 90000},
                 f"run why {RUN}", "it waits for the run before it\n"),
                ({"redriven": [{"run": RUN, "as": RUN2}], "skipped": [{"run": RUN2, "why": "closed"}]}, "dead redrive --all --yes",
                 "closed")):
            with self.subTest(words):
                noun, verb = words.split()[:2]
                self.assertIn(says, self.answered(f"{noun}.{verb}", answer, *words.split()).stdout)

    def test_an_archived_run_has_an_error_and_is_no_error(self):
        row = {"run": RUN, "tenant": "acme", "result": "failed", "errorCode": "model_auth", "error": "refused", "attempts": 1}
        out = self.answered("run.show", row, "run", "show", RUN).stdout
        self.assertRegex(out, r"error +refused")
        self.assertRegex(out, r"code +model_auth")

    def test_errors_and_exit_statuses(self):
        for code, status in (("not_found", ABSENT), ("bad_request", USAGE), ("conflict", FAILED), ("unavailable", FAILED),
                             ("internal", FAILED), (None, FAILED)):
            answer = {"error": f"because of {code}"}
            if code:
                answer["code"] = code
            p = self.answered("run.cancel", answer, "run", "cancel", RUN, status=status)
            self.assertIn(f"the node answered: because of {code}", p.stderr)
            self.assertEqual(p.stdout, "")

    def test_a_node_that_hangs_up_or_babbles(self):
        self.assertIn("did not answer", self.answered("lane.list", None, "lane", "list", status=AWAY).stderr)
        self.assertIn("no JSON", self.answered("lane.list", b"[1,\n", "lane", "list", status=FAILED).stderr)

    def test_no_node(self):
        p = self.ctl("lane", "list", env={"TERABITS_STATE_DIR": self.dir + "/other"})
        self.assertEqual(p.returncode, AWAY)
        self.assertIn("Start one with ./run serve, or set TERABITS_STATE_DIR", p.stderr)

    def test_a_silent_node_is_a_timeout(self):
        p = self.answered("lane.list", "silent", "lane", "list", status=TIMEOUT)
        self.assertIn("may still happen", p.stderr)

    def test_what_others_wrote_does_not_steer_the_terminal(self):
        row = {"run": RUN, "error": "\x1b[2J\r\nowned\x9b31m", "reason": "poison"}
        out = self.answered("dead.show", row, "dead", "show", RUN).stdout
        self.assertNotRegex(out, r"[\x00-\x09\x0b-\x1f\x7f\x9b]")
        self.assertIn("owned", out)


class Confirmation(WithAdmin):
    RISKY = ("lane clear s", "dead redrive --all", f"token revoke {RUN}", "tenant suspend acme")

    def test_without_a_terminal_it_says_what_to_add(self):
        for line in self.RISKY:
            p = self.ctl(*line.split())
            self.assertEqual(p.returncode, USAGE, line)
            self.assertIn("add --yes", p.stderr)
            self.assertEqual("--dry-run" in p.stderr, line.split()[0] in ("lane", "dead"), line)
        self.assertEqual(self.admin.requests, [])

    def test_one_run_is_no_risk(self):
        self.asks(f"dead redrive {RUN}", json.dumps({"cmd": "dead.redrive", "args": {"run": RUN}}, separators=(",", ":")))

    def test_on_a_terminal_it_asks(self):
        self.admin.answers["lane.clear"] = {"cancelled": 3}
        for typed, status, sent in (("n\n", FAILED, 0), ("\n", FAILED, 0), ("yes\n", FINE, 1)):
            self.admin.requests.clear()
            t = Terminal(self.command("lane", "clear", "s"), self.env)
            t.expect(r"cancels every run of the lane that has not started\. Go on\? \[y/N\]")
            t.type(typed)
            self.assertEqual(t.end(), status, t.text)
            self.assertEqual(len(self.admin.requests), sent)

    def test_dry_run_of_a_lane_only_reads(self):
        runs = [{"run": "r-running", "state": "running"}, {"run": "r-queued", "state": "queued"}, {"run": "r-folded", "state": "folded"},
                {"run": "r-retry", "state": "retry_wait"}]
        out = self.answered("lane.show", {"session": "s", "runs": runs}, "lane", "clear", "s", "--dry-run").stdout
        self.assertIn("nothing was changed", out)
        self.assertEqual(re.findall(r"r-\w+", out), ["r-queued", "r-folded"])
        self.assertEqual([json.loads(r)["cmd"] for r in self.admin.requests], ["lane.show"])

    def test_dry_run_of_redrive_shows_its_selection(self):
        dead = [{"run": "d-1", "reason": "poison"}, {"run": "d-2", "reason": "deadline"},
                {"run": "d-3", "reason": "poison", "redrivenAs": RUN}, {"run": "d-4", "reason": "poison"}, {"run": "d-5", "reason": "poison"}]
        args = ("dead", "redrive", "--all", "--reason", "poison", "--limit", "2", "--tenant", "acme", "--dry-run")
        out = self.answered("dead.list", {"dead": dead}, *args).stdout
        self.assertEqual(re.findall(r"d-\d", out), ["d-1", "d-4"])
        self.assertEqual(json.loads(self.admin.requests[-1]), {"cmd": "dead.list", "args": {"tenant": "acme", "limit": 1000}})
        got = json.loads(self.answered("dead.list", {"dead": dead}, *args, "-o", "json").stdout)
        self.assertEqual((got["dryRun"], [d["run"] for d in got["dead"]]), (True, ["d-1", "d-4"]))


class Top(WithAdmin):
    def setUp(self):
        super().setUp()
        self.admin.answers = {"status": STATUS, "lane.list": LANES, "worker.list": WORKERS, "queue.stats": STATS}

    def test_once(self):
        for args in (["--once"], []):  # without a terminal there is no screen
            p = self.ctl("top", *args)
            self.assertEqual(p.returncode, FINE, p.stderr)
            self.assertIn("terabits 9.9  serving, up 1 min 1 s", p.stdout)
            self.assertIn("2.5 accepted/s, 1.5 ended/s; starts waited 3 ms (half), 20 ms (99 of 100)", p.stdout)
            self.assertLess(p.stdout.index("s-many"), p.stdout.index("s-few"))
            self.assertIn("20.0 MB", p.stdout)
            self.assertNotIn("\x1b", p.stdout)
        self.assertLess(*map(self.ctl("top", "--once", "--sort", "active").stdout.index, ("s-few", "s-many")))

    def test_a_node_that_knows_only_status(self):
        self.admin.answers = {"status": STATUS}
        p = self.ctl("top", "--once")
        self.assertEqual(p.returncode, FINE)
        self.assertIn("lane.list: the node answered: unknown command", p.stdout)

    def test_no_node(self):
        p = self.ctl("top", "--once", env={"TERABITS_STATE_DIR": self.dir + "/other"})
        self.assertEqual((p.returncode, p.stdout), (AWAY, ""))
        self.assertIn("no node runs", p.stderr)

    def asked(self):
        return sum('"status"' in r for r in self.admin.requests)

    def test_screen(self):
        t = Terminal(self.command("top"), self.env)
        t.expect("serving, up 1 min 1 s")
        t.expect(r"s sort \(waiting\)")
        wait_for(lambda: self.asked() >= 3, 10)  # it refreshes by itself
        t.type("s")
        t.expect(r"active\)")
        t.type("p")
        t.expect("PAUSED")
        paused = self.asked()
        t.type("s")  # still drawn, not asked
        t.expect("tenant")
        self.assertEqual(self.asked(), paused)
        t.type("p")
        wait_for(lambda: self.asked() > paused, 10)
        self.admin.answers["status"] = {**STATUS, "version": "10.1"}
        t.expect(r"10\.1")
        t.type("q")
        self.assertEqual(t.end(), FINE, t.text)
        self.assertIn("\x1b[?1049l", t.text)  # the terminal is as before

    def test_another_size(self):
        t = Terminal(self.command("top", "--interval", "3600"), self.env, rows=24, columns=100)
        t.expect("s-many")
        asked = self.asked()
        # Several sizes may be one to it, and one of which it knew leaves nothing to draw: two in turn, until it says something.
        for rows, columns in ((5, 20), (1, 1), (60, 200)):
            def spoke():
                t.resize(rows + 1, columns)
                t.resize(rows, columns)
                return t.read() or t.process.poll() is not None
            wait_for(spoke, 30, 0.2)
            self.assertIsNone(t.process.poll(), t.text)

        def drawn():
            t.resize(59, 199)
            t.resize(60, 200)
            return re.search(r"\x1b\[60;1H|\x1b\[60d|PAUSED|q quit", t.read())
        wait_for(drawn, every=0.2)
        self.assertEqual(self.asked(), asked)
        t.type("q")
        self.assertEqual(t.end(), FINE)

    def test_the_node_goes_away_and_comes_back(self):
        t = Terminal(self.command("top"), self.env)
        t.expect("serving")
        self.admin.answers["status"] = None
        t.expect("did not answer")
        self.admin.answers["status"] = {**STATUS, "state": "draining"}
        t.expect("draining")
        t.type("q")
        self.assertEqual(t.end(), FINE)


class Texts(WithAdmin):
    def test_help(self):
        whole = self.ctl("help").stdout
        for word in ("lane clear SESSION", "dead redrive [RUN]", "completion bash|zsh|fish", "TERABITS_DATABASE_URL", "TERABITS_LISTEN"):
            self.assertIn(word, whole)
        one = self.ctl("help", "lane", "clear").stdout
        self.assertEqual(one, self.ctl("lane", "clear", "--help").stdout)
        self.assertIn("--dry-run", one)
        self.assertIn("wants --yes", one)
        self.assertEqual(self.ctl("help", "lane").stdout, self.ctl("lane", "--help").stdout)
        self.assertEqual(self.ctl("help", "nothing").returncode, USAGE)
        self.assertRegex(self.ctl("version").stdout, r"^terabitsctl \d+\.\d+\.\d+\n$")

    def complete(self, *words):
        script = ('source <("$0" completion bash); COMP_WORDS=(terabitsctl "$@"); COMP_CWORD=$#; _terabitsctl; echo "${COMPREPLY[*]}"')
        p = subprocess.run(["bash", "-c", script, *self.command(), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           env=self.env)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        return p.stdout.split()

    def test_bash_completes(self):
        self.assertEqual(self.complete("la"), ["lane"])
        self.assertEqual(self.complete("lane", ""), ["list", "show", "pause", "resume", "clear"])
        self.assertEqual(self.complete("lane", "list", "--on"), ["--only"])
        self.assertEqual(self.complete("lane", "list", "--only", ""), ["busy", "waiting", "paused"])
        self.assertEqual(self.complete("lane", "list", "-o", "j"), ["json"])
        self.assertEqual(self.complete("queue", "pause", "t"), ["tenant"])
        self.assertEqual(self.complete("completion", "z"), ["zsh"])
        self.assertIn("--json", self.complete("status", "--"))

    def test_scripts_parse(self):
        for shell, check in (("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])):
            script = os.path.join(self.dir, shell)
            with open(script, "w") as f:
                f.write(self.ctl("completion", shell).stdout)
            if shutil.which(shell):
                p = subprocess.run([*check, script], stderr=subprocess.PIPE, text=True)
                self.assertEqual((p.returncode, p.stderr), (0, ""))


class WithNode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node(model="fake", migrated=True)
        cls.addClassCleanup(cls.node.close)
        cls.node.start()

    def fine(self, *args, **kw):
        p = self.node.ctl(*args, **kw)
        self.assertEqual(p.returncode, FINE, p.stderr + p.stdout)
        return p.stdout

    def asks(self, *args):
        return json.loads(self.fine(*args, "-o", "json"))


class Runs(WithNode):
    def test_wait(self):
        run = self.node.enqueue("hello", session="w")
        got = self.asks("run", "wait", run)
        self.assertEqual((got["status"], got["runId"]), ("ok", run))
        self.assertRegex(self.fine("run", "wait", run), r"status +ok\n")

    def test_wait_for_what_fails(self):
        run = self.node.enqueue("[status 401]", session="f")
        p = self.node.ctl("run", "wait", run)
        self.assertEqual(p.returncode, FAILED, p.stderr)
        self.assertRegex(p.stdout, r"status +error\n")

    def test_wait_has_a_limit(self):
        run = self.node.enqueue("[hang]", session="slow")
        p = self.node.ctl("run", "wait", run, "--seconds", "1")
        self.assertEqual(p.returncode, TIMEOUT, p.stderr)
        self.assertIn("has not ended in 1 s", p.stderr)

    def test_absent_refused_away(self):
        for words in (("run", "wait", RUN), ("run", "tail", RUN)):
            self.assertEqual(self.node.ctl(*words).returncode, ABSENT, words)
            p = self.node.ctl(*words, env={"TERABITS_TOKEN": "tb1.1." + RUN + ".wrong"})
            self.assertEqual(p.returncode, FAILED, words)
            self.assertIn("refused the token", p.stderr)
        p = self.node.ctl("run", "wait", RUN, "--seconds", "0", env={"TERABITS_LISTEN": "127.0.0.1:1"})
        self.assertEqual(p.returncode, AWAY, p.stderr)

    def test_tail(self):
        run = self.node.enqueue('[tool memory_store {"text":"- tea"}] please', session="t")
        events = [json.loads(l) for l in self.fine("run", "tail", run, "--json").splitlines()]
        self.assertEqual(events[-1]["metadata"]["result"], "completed")
        self.assertEqual({e["runId"] for e in events}, {run})
        again = [json.loads(l) for l in self.fine("run", "tail", run, "--json").splitlines()]  # of an ended run, the same
        self.assertEqual([e["seq"] for e in again if e["type"] == "tool"], [e["seq"] for e in events if e["type"] == "tool"])
        self.assertIn("memory_store", self.fine("run", "tail", run))
        run = self.node.enqueue("[status 401]", session="tf")
        self.assertEqual(self.node.ctl("run", "tail", run).returncode, FAILED)

    def test_status_top_wait(self):
        self.assertIn("serving", self.fine("status"))
        self.assertEqual(self.asks("status")["state"], "serving")
        self.assertIn("serving", self.fine("top", "--once"))
        self.fine("wait", "--seconds", "5")
        p = self.node.ctl("wait", "--seconds", "0", env={"TERABITS_LISTEN": "127.0.0.1:1"})
        self.assertEqual(p.returncode, AWAY)


class Catalogue(WithNode):
    def audited(self, action):
        return self.node.rows(f"SELECT tenant_id, actor, object FROM tb.audit_log WHERE action = '{action}' ORDER BY at")

    def test_tenant_agent_token(self):
        made = self.asks("tenant", "create", "acme", "--weight", "300", "--max-queued", "7")
        self.assertEqual((made["slug"], made["weight"], made["maxRunning"], made["maxQueued"]), ("acme", 300, 50, 7))
        p = self.node.ctl("tenant", "create", "acme")
        self.assertEqual(p.returncode, FAILED)
        self.assertIn("there is a tenant 'acme' already", p.stderr)
        self.assertEqual(self.audited("tenant.create")[-1]["object"], "acme")
        self.assertRegex(self.audited("tenant.create")[-1]["actor"], r"^uid:\d+$")
        self.assertRegex(self.fine("tenant", "list"), r" acme +active +300 +50 +7 ")

        prompt = os.path.join(self.node.dir, "prompt")
        with open(prompt, "w") as f:
            f.write("Ünïcode \"prompt\"\nof lines\n")
        agent = self.asks("agent", "create", "helper", "--tenant", "acme", "--system-prompt", "@" + prompt, "--queue-mode", "collect",
                          "--queue-cap", "5", "--queue-drop", "old", "--queue-debounce", "250", "--max-running", "3")
        self.assertEqual(agent["config"], {"systemPrompt": "Ünïcode \"prompt\"\nof lines\n", "queueMode": "collect", "queueCap": 5,
                                           "queueDrop": "old", "queueDebounceMs": 250})
        p = self.node.ctl("agent", "create", "helper", "--tenant", "acme")
        self.assertEqual(p.returncode, FAILED)
        self.assertIn("--replace", p.stderr)
        again = self.asks("agent", "create", "helper", "--tenant", str(made["id"]), "--replace", "--queue-cap", "9", "--model",
                          "openai/gpt-x")
        self.assertEqual((again["id"], again["revision"]), (agent["id"], 2))
        self.assertEqual(again["config"], {**agent["config"], "queueCap": 9, "model": "openai/gpt-x"})
        rows = self.node.rows(f"SELECT revision, config FROM tb.agent_revisions WHERE agent_id = '{agent['id']}' ORDER BY revision")
        self.assertEqual([r["config"] for r in rows], [agent["config"], again["config"]])
        self.assertEqual(self.node.sql(f"SELECT max_running FROM tb.agents WHERE agent_id = '{agent['id']}'"), "3")
        free = json.loads(self.node.ctl("agent", "create", "uncapped", "--tenant", "1", "-o", "json").stdout)
        self.assertEqual(self.node.sql(f"SELECT max_running FROM tb.agents WHERE agent_id = '{free['id']}'"),
                         self.node.sql("SELECT column_default FROM information_schema.columns WHERE table_schema = 'tb'"
                                       " AND table_name = 'agents' AND column_name = 'max_running'"))
        for action in ("agent.create", "agent.replace"):
            self.assertEqual([r["object"] for r in self.audited(action) if r["tenant_id"] == made["id"]], ["helper"])
        self.assertRegex(self.fine("agent", "list", "--tenant", "acme"), r"acme +helper +2 +openai/gpt-x +collect +3 ")
        self.assertRegex(self.fine("agent", "list"), r"default +main ")

        token = self.asks("token", "create", "--tenant", "acme", "--scopes", "run,read", "--expires", "30")
        self.assertTrue(token["token"].startswith(f"tb1.{made['id']}.{token['id']}."))
        secret = token["token"].split(".")[-1]
        for out in (self.fine("token", "list"), json.dumps(self.asks("token", "list"))):
            self.assertIn(token["id"], out)
            self.assertNotIn(secret, out)
        self.assertNotIn(secret, self.node.sql("SELECT array_agg(a::text) FROM tb.audit_log a"))

    def test_a_new_tenant_is_served_until_its_token_is_revoked(self):
        self.fine("tenant", "create", "beta")
        self.fine("agent", "create", "main", "--tenant", "beta")
        p = self.node.ctl("token", "create", "--tenant", "beta", "--scopes", "run,read")
        token = p.stdout.strip()
        self.assertIn("shown this once", p.stderr)
        status, _, answer = self.node.post("/v1/agents/main/runs", {"message": "hello"}, token=token)
        self.assertEqual(status, 202, answer)
        self.fine("run", "wait", answer["runId"], env={"TERABITS_TOKEN": token})
        id = token.split(".")[2]
        self.assertEqual(self.node.ctl("token", "revoke", RUN, "--yes").returncode, ABSENT)
        self.assertIn("is revoked", self.fine("token", "revoke", id, "--yes"))
        self.assertIn("already", self.fine("token", "revoke", id, "--yes"))
        self.assertEqual(len(self.audited("token.revoke")), 1)
        self.assertRegex(self.fine("token", "list", "--tenant", "beta"), id + r" +beta +run,read +revoked")

    def test_configuration_of_an_agent(self):
        def create(config, *more):
            return self.node.ctl("agent", "create", "configured", "--tenant", "default", "--config", "-", *more,
                                 input=config if isinstance(config, str) else json.dumps(config))

        def stored():
            return json.loads(self.node.sql("SELECT r.config FROM tb.agents a JOIN tb.agent_revisions r USING (tenant_id, agent_id, revision)"
                                            " WHERE a.name = 'configured'"))
        first = {"contextWindow": 32000, "budgets": {"run": {"calls": 5}}, "temperature": 0.5, "queueCap": 7, "systemPrompt": "be \u00e4"}
        p = create(first, "--queue-cap", "9")
        self.assertEqual(p.returncode, FINE, p.stderr)
        self.assertEqual(stored(), {**first, "queueCap": 9})
        for config, says in (({"contextWindow": -1}, "contextWindow must be"), ({"contextWindo": 1}, "means nothing: contextWindo"),
                             ({"fallbacks": ["x"]}, "fallbacks must hold models"), ([], "no object"), ("{", "no JSON"), ("", "is empty"),
                             ('{"model":"a/b","model":"a/c"}', "no JSON"), ("\xff", "configuration in -")):
            p = create(config, "--replace")
            self.assertEqual(p.returncode, USAGE, config)
            self.assertIn(says, p.stderr)
        self.assertEqual(stored(), {**first, "queueCap": 9})
        p = create({"contextWindow": None, "maxTokens": 100}, "--replace")
        self.assertEqual(p.returncode, FINE, p.stderr)
        self.assertEqual(stored(), {**first, "queueCap": 9, "contextWindow": None, "maxTokens": 100})

    def test_suspend_and_resume(self):
        self.fine("tenant", "create", "gamma")
        self.assertIn("'gamma' is suspended", self.fine("tenant", "suspend", "gamma", "--yes"))
        self.assertIn("already", self.fine("tenant", "suspend", "gamma", "--yes"))
        self.assertEqual(self.node.sql("SELECT status FROM tb.tenants WHERE slug = 'gamma'"), "suspended")
        self.assertIn("active again", self.fine("tenant", "resume", "gamma"))
        self.assertEqual([len(self.audited("tenant." + a)) for a in ("suspend", "resume")], [1, 1])

    def test_bad_input(self):
        for line, status, says in (
                ("tenant create Acme", USAGE, "lower-case"), ("tenant create 42", USAGE, "have a letter"),
                ("tenant create -- -a", USAGE, "begin with no dash"), ("tenant suspend nobody --yes", ABSENT, "tenant list"),
                ("agent create a --tenant nobody", ABSENT, "no tenant 'nobody'"),
                ("agent create a --tenant default --model gpt", USAGE, "PROVIDER/NAME"),
                ("agent create a --tenant default --system-prompt @/nonexistent", USAGE, "cannot be read"),
                ("agent create a --tenant default --queue-mode never", USAGE, "steer|followup|collect|interrupt"),
                ("token create --tenant default --scopes run,fly", USAGE, "not 'run,fly'"),
                ("token create --tenant default --scopes run,run", USAGE, "each once"),
                ("token create --tenant default --scopes run, --expires 0", USAGE, "1 to 3650"),
                ("token list --tenant 0", ABSENT, "no tenant '0'"), ("token create --scopes run", USAGE, "--tenant or --platform is missing")):
            with self.subTest(line):
                p = self.node.ctl(*line.split())
                self.assertEqual(p.returncode, status, p.stderr)
                self.assertIn(says, p.stderr)

    def test_many_at_once_make_different_tenants(self):
        results = []
        threads = [threading.Thread(target=lambda i=i: results.append(self.node.ctl("tenant", "create", f"many-{i}"))) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([p.returncode for p in results], [FINE] * 6, [p.stderr for p in results])
        self.assertEqual(self.node.sql("SELECT count(DISTINCT tenant_id) FROM tb.tenants WHERE slug LIKE 'many-%'"), "6")


class Doctor(unittest.TestCase):
    """Works with no node running."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node(fsync=True)
        cls.addClassCleanup(cls.node.close)

    def doctor(self, *args):
        p = self.node.ctl("doctor", "-o", "json", *args)
        self.assertEqual(p.stderr, "")
        got = json.loads(p.stdout)
        self.assertEqual(p.returncode, FAILED if got["fail"] else FINE)
        return {c["check"]: (c["verdict"], c["text"]) for c in got["checks"]}

    def verdict(self, check, *args):
        return self.doctor(*args)[check]

    def test_0_life_of_a_database(self):
        self.assertEqual(self.verdict("schema_version")[0], "FAIL")  # an empty database
        self.assertIn("terabitsctl migrate", self.verdict("schema_version")[1])
        self.assertEqual(set(self.doctor("--invariants")), {"database", "schema_version"})
        self.assertEqual(self.node.ctl("migrate").returncode, 0)
        found = self.doctor()
        for check in ("database", "database_version", "schema_version", "roles", "durability", "connections", "oldest_transaction",
                      "autovacuum", "transaction_ids", "kernel_seccomp", "open_files"):
            self.assertEqual(found[check][0], "ok", found[check])
        self.assertFalse([c for c, (v, _) in found.items() if v == "FAIL"])
        p = self.node.ctl("doctor")
        self.assertEqual(p.returncode, FINE, p.stdout)
        self.assertRegex(p.stdout, r"(?m)^ok +schema_version +\d+$")

        self.node.sql("ALTER ROLE tb_edge CREATEDB")
        self.assertEqual(self.verdict("roles")[0], "FAIL")
        self.assertIn("tb_edge", self.verdict("roles")[1])
        self.node.sql("ALTER ROLE tb_edge NOCREATEDB")
        self.node.sql("GRANT tb_supervisor TO tb_worker")
        self.assertIn("tb_worker", self.verdict("roles")[1])
        self.node.sql("REVOKE tb_supervisor FROM tb_worker")
        self.assertEqual(self.verdict("roles")[0], "ok")

        self.node.sql("ALTER ROLE tb_worker SET synchronous_commit = off")
        self.assertEqual(self.verdict("durability")[0], "FAIL")
        self.node.sql("ALTER ROLE tb_worker RESET synchronous_commit")

    def test_invariants(self):
        self.assertEqual(self.node.ctl("migrate").returncode, 0)
        names = [c for c in self.doctor("--invariants") if c not in ("database", "schema_version")]
        self.assertGreater(len(names), 1)
        self.assertFalse(set(names) & {"roles", "memory"})
        self.node.sql(f"INSERT INTO tb.run_inputs VALUES (1, '{RUN}', '{{}}')")
        broken = [(n, text) for n, (v, text) in self.doctor("--invariants").items() if v == "FAIL"]
        self.assertEqual(len(broken), 1, broken)
        self.assertIn(RUN, broken[0][1])
        self.node.sql(f"DELETE FROM tb.run_inputs WHERE run_id = '{RUN}'")
        self.assertFalse([n for n, (v, _) in self.doctor("--invariants").items() if v == "FAIL"])

    def test_no_database(self):
        p = self.node.ctl("doctor", env={"TERABITS_DATABASE_URL": "host=/nonexistent dbname=x password=hidden"})
        self.assertEqual(p.returncode, FAILED)
        self.assertRegex(p.stdout, r"(?m)^FAIL +database +the database cannot be reached by TERABITS_DATABASE_URL")
        self.assertNotIn("hidden", p.stdout + p.stderr)

    def test_the_catalogue_needs_a_schema_and_no_node(self):
        env = {"TERABITS_DATABASE_URL": self.node.cluster.owner.replace("dbname=terabits", "dbname=template1")}
        p = self.node.ctl("tenant", "list", env=env)
        self.assertEqual(p.returncode, FAILED)
        self.assertIn("migrate", p.stderr)
        self.assertEqual(self.node.ctl("migrate").returncode, 0)
        p = self.node.ctl("tenant", "create", "offline")
        self.assertEqual((p.returncode, p.stderr), (FINE, ""))

    def test_a_running_node_is_told(self):
        self.assertEqual(self.node.ctl("migrate").returncode, 0)
        path = os.path.join(self.node.state, "admin.sock")
        admin = Admin(path)
        self.addCleanup(os.unlink, path)
        self.addCleanup(admin.close)
        os.chmod(path, 0o777)  # the programs may run as another user
        admin.answers["invalidate"] = {}

        def told(*args):
            p = self.node.ctl(*args, "-o", "json")
            self.assertEqual((p.returncode, p.stderr), (FINE, ""))
            return json.loads(p.stdout), json.loads(admin.requests[-1])["args"]

        self.assertEqual(self.node.ctl("tenant", "create", "told").returncode, FINE)
        tenant = int(self.node.sql("SELECT tenant_id FROM tb.tenants WHERE slug = 'told'"))
        agent, args = told("agent", "create", "a", "--tenant", "told")
        self.assertEqual(args, {"tenant": tenant, "kind": "agent", "id": agent["id"]})
        self.assertEqual(told("tenant", "suspend", "told", "--yes")[1], {"tenant": tenant, "kind": "tenant"})
        self.assertEqual(told("tenant", "resume", "told")[1], {"tenant": tenant, "kind": "tenant"})
        made = json.loads(self.node.ctl("token", "create", "--tenant", "told", "--scopes", "read", "-o", "json").stdout)
        self.assertEqual(told("token", "revoke", made["id"], "--yes")[1], {"tenant": tenant, "kind": "token", "id": made["id"]})

        admin.answers["invalidate"] = {"error": "the edges are away", "code": "unavailable"}
        p = self.node.ctl("tenant", "suspend", "told", "--yes")  # it happened all the same
        self.assertEqual(p.returncode, FINE)
        self.assertIn("the running node was not told", p.stderr)
        self.assertEqual(self.node.sql("SELECT status FROM tb.tenants WHERE slug = 'told'"), "suspended")


if __name__ == "__main__":
    unittest.main()
