# SPDX-License-Identifier: Apache-2.0
"""terabitsctl chat: from a pipe, for scripts; and at a terminal, where a person is asked, interrupts and gives commands."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
import uuid

from node import wait_for
from test_approvals import WithApprovals
from test_queue_modes import STORE

together = True


class Terminal:
    """The program at a terminal of its own, as a person sees it."""

    def __init__(self, node, *args, env=None):
        self.far, near = pty.openpty()
        attributes = termios.tcgetattr(near)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(near, termios.TCSANOW, attributes)
        self.p = subprocess.Popen(node.command("terabitsctl", "chat", *args), stdin=near, stdout=near, stderr=near, cwd="/",
                                  env={**node.program_env(), "TERM": "xterm", **(env or {})}, start_new_session=True,
                                  preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(near)
        self.text = ""

    def read(self, seconds):
        if not select.select([self.far], [], [], seconds)[0]:
            return False
        try:
            self.text += os.read(self.far, 65536).decode(errors="replace").replace("\r\n", "\n")
        except OSError:  # nobody is at the other end any more
            return False
        return True

    def until(self, pattern, seconds=20):
        """What is shown up to that, which is taken away."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            if not self.read(max(0, end - time.monotonic())):
                raise AssertionError(f"waited in vain for {pattern!r}, saw {self.text!r}")
        shown, self.text = re.split(pattern, self.text, maxsplit=1)
        return shown

    def say(self, line, until="> $"):
        os.write(self.far, line.encode() + b"\n")
        return self.until(until) if until else None

    def interrupt(self):
        os.write(self.far, b"\x03")

    def leave(self, line="/quit"):
        if line:
            os.write(self.far, line.encode() + b"\n")
        while self.read(10):
            pass
        os.close(self.far)
        return self.p.wait(10)


class Pipes(WithApprovals):
    def chat(self, text, *args, **kw):
        p = self.node.ctl("chat", *args, input=text, **kw)
        return p, [json.loads(line) for line in p.stdout.splitlines()] if "--json" in args else None

    def test_events_a_line_each(self):
        key = f"pipe-{uuid.uuid4()}"
        p, events = self.chat("hi there\n\nand again\n", "--agent", "main", "--session", key, "--json")
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        self.assertEqual([e["phase"] for e in events if e["type"] == "lifecycle"], ["start", "end", "start", "end"])
        self.assertEqual("".join(e.get("content", "") for e in events if e["type"] == "assistant"), "echo: hi thereecho: and again")
        _, _, found = self.node.get(f"/v1/agents/main/sessions/{key}/messages")
        self.assertEqual([m["role"] for m in found["messages"]], ["assistant", "user"] * 2)

    def test_builder_mode(self):
        name, key = f"b{uuid.uuid4().hex[:8]}", f"pipe-{uuid.uuid4()}"
        text = f'[tool agent_create {{"name": "{name}", "config": {{}}}}] please\n'
        self.assertEqual(self.node.post("/v1/agents", {"name": "builds", "profile": "full"})[0], 201)
        for options, status in (((), 404), (("--builder",), 200)):
            p, _ = self.chat(text, "--agent", "builds", "--session", key, *options)
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertEqual(self.node.get(f"/v1/agents/{name}")[0], status)
        self.node.request("DELETE", f"/v1/agents/{name}")
        p = self.node.ctl("send", "--builder", "--agent", "builds", "--session", key, text.strip())
        self.assertEqual((p.returncode, self.node.get(f"/v1/agents/{name}")[0]), (0, 200), p.stderr)

    def test_the_first_run_that_fails_ends_it(self):
        key = f"pipe-{uuid.uuid4()}"
        p, events = self.chat("fine\n[status 400] x\nnever sent\n", "--session", key, "--json")
        self.assertEqual(p.returncode, 1)
        self.assertIn("failed", p.stderr)
        self.assertEqual([e["type"] for e in events][-2:], ["error", "lifecycle"])
        self.assertEqual(self.node.sql(f"SELECT count(*) FROM tb.agent_runs r JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                                       f" WHERE s.session_key = '{key}'"), "2")

    def test_a_time_limit(self):
        p, events = self.chat("[pause 400] one two three four five six seven eight nine ten\n", "--timeout", "1", "--json")
        self.assertEqual(p.returncode, 4)
        self.assertIn("did not end in 1 s", p.stderr)
        self.assertEqual(events[-1]["metadata"]["result"], "cancelled")

    def test_what_a_model_writes_steers_no_terminal(self):
        evil = "\x1b]0;title\x07\x1b[2Jbell\u009b31m\x7f"
        p, _ = self.chat(evil + "\n")
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("echo: ]0;title[2Jbell31m", p.stdout)
        self.assertIsNone(re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", p.stdout + p.stderr))

    def test_wrong_uses(self):
        self.assertEqual(self.chat("", "--pick")[0].returncode, 2)
        p, _ = self.chat("/sesions\n")
        self.assertEqual(p.returncode, 2)
        self.assertIn("Did you mean /sessions?", p.stderr)
        p, _ = self.chat("/session\n")
        self.assertIn("It takes KEY", p.stderr)
        p, _ = self.chat("hi\n", "--agent", "nobody")
        self.assertEqual(p.returncode, 3)
        p, _ = self.chat("//hi\n")
        self.assertIn("echo: /hi", p.stdout)

    def test_an_edge_that_dies_in_a_stream(self):
        key = f"pipe-{uuid.uuid4()}"
        p = subprocess.Popen(self.node.command("terabitsctl", "chat", "--session", key, "--json"), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.node.program_env(), cwd="/")
        words = " ".join(f"w{i}" for i in range(12))
        p.stdin.write(f"[pause 100] {words}\n")
        p.stdin.close()
        lines = [p.stdout.readline() for _ in range(4)]
        self.node.kill("edge")
        lines += p.stdout.readlines()
        err = p.stderr.read()
        p.stdout.close()
        p.stderr.close()
        self.assertEqual(p.wait(30), 0, err)
        self.assertIn("trying again", err)
        self.assertEqual("".join(json.loads(x).get("content", "") for x in lines), f"echo: {words}")


class Terminals(WithApprovals):
    def test_a_person_is_asked(self):
        agent, key = self.asking(), f"tty-{uuid.uuid4()}"
        t = Terminal(self.node, "--agent", agent, "--session", key)
        t.until("> $")
        os.write(t.far, (STORE % ("one", f"{key}.md") + " go\n").encode())
        shown = t.until(r"REASON: $")
        self.assertIn("waits to be allowed", shown)
        self.assertIn(f'allow memory_store {{"text":"one","path":"{key}.md"}}', shown.replace('"path":"%s.md","text":"one"' % key,
                                                                                          '"text":"one","path":"%s.md"' % key))
        t.say("perhaps", r"REASON: $")
        shown = t.say("y")
        self.assertIn("was allowed", shown)
        self.assertRegex(shown, r"\x1b\[2m\[tool memory_store completed in \d+ ms\]\x1b\[0m")
        self.assertIn("done: ", shown)
        self.assertEqual(self.stored(key), "one")
        os.write(t.far, (STORE % ("two", f"{key}.md") + " go\n").encode())
        t.until(r"REASON: $")
        shown = t.say("n not on a Friday")
        self.assertIn("was refused: not on a Friday", shown)
        self.assertEqual(self.stored(key), "one")
        os.write(t.far, (STORE % ("three", f"{key}-3.md") + " go\n").encode())
        t.until(r"REASON: $")
        t.say("a")
        shown = t.say(STORE % ("four", f"{key}-4.md") + " go")
        self.assertNotIn("REASON", shown)
        self.assertEqual(self.stored(f"{key}-4"), "four")
        self.assertEqual(t.leave(), 0)

    def test_ctrl_c(self):
        key = f"tty-{uuid.uuid4()}"
        t = Terminal(self.node, "--session", key, env={"NO_COLOR": "1"})
        t.until("> $")
        t.say("[pause 300] one two three four five six seven eight nine ten eleven twelve", "echo: one")
        t.interrupt()
        shown = t.until("> $")
        self.assertIn("cancelling", shown)
        self.assertNotIn("twelve", shown)
        self.assertNotIn("\x1b", shown)
        run, = self.node.rows("SELECT r.result FROM tb.agent_runs r JOIN tb.agent_sessions s USING (tenant_id, session_id)"
                              f" WHERE s.session_key = '{key}'")
        self.assertEqual(run["result"], "cancelled")
        self.assertIn("echo: on we go", t.say("on we go"))
        t.interrupt()
        t.until("again leaves")
        t.until("> $")
        t.interrupt()
        self.assertEqual(t.leave(None), 0)
        t = Terminal(self.node, "--session", key)
        t.until("> $")
        t.say("[pause 300] one two three four five six seven eight nine ten eleven twelve", "echo: one")
        worker = self.node.pids()["worker"][0]
        os.kill(worker, signal.SIGSTOP)  # the run is at work whatever is asked of it
        try:
            t.interrupt()
            t.until("cancelling")  # two signals at once would be one
            t.interrupt()
            self.assertEqual(t.leave(None), 1)
        finally:
            os.kill(worker, signal.SIGCONT)

    def test_commands(self):
        agent, key = self.agent(), f"tty-{uuid.uuid4()}"
        t = Terminal(self.node, "--agent", agent, "--session", key)
        t.until("> $")
        self.assertIn("/compact [FOCUS]", t.say("/help"))
        self.assertIn("echo: first", t.say("first"))
        self.assertIn("echo: a\nb", t.say("a\\\nb"))
        self.assertIn("user: first\nassistant: echo: first\n", t.say("/history"))
        self.assertIn("inputTokens: ", t.say("/usage"))
        self.assertIn("sessionId: ", t.say("/context"))
        self.assertIn("echo: a\nb", t.say("/retry"))
        path = os.path.join(self.node.dir, "state", f"{key}.jsonl")
        self.assertNotIn("terabitsctl:", t.say(f"/export {path}"))
        with open(path) as f:
            self.assertEqual(json.loads(f.readline())["role"], "user")
        self.assertIn("exists", t.say(f"/export {path}"))
        self.assertIn(f"session {key}-2", t.say(f"/fork {key}-2"))
        self.assertIn("user: first", t.say("/history 200"))
        self.assertIn("see nothing", t.say("/reset"))
        self.assertIn("session chat-", t.say("/new"))
        shown = t.say("/sessions")
        self.assertIn(key, shown)
        self.assertIn(f"{key}-2", shown)
        self.assertIn(f"session {key} ", t.say(f"/session {key}"))
        self.assertIn("agent main", t.say("/agent main"))
        self.assertIn("no command /nonsense", t.say("/nonsense"))
        self.assertEqual(t.leave("\x04"), 0)
        t = Terminal(self.node, "--agent", agent, "--pick")
        shown = t.until("new one: $")
        n = re.search(rf"(\d+)  {key}  ", shown).group(1)
        t.say("99", "new one: $")
        self.assertIn(f"session {key} of agent {agent}", t.say(n))
        t.leave()
