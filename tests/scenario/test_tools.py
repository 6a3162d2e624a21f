# SPDX-License-Identifier: Apache-2.0
"""Programs in jails, through the real processes."""
import json
import os
import unittest

from node import wait_for
from test_queue_modes import WithQueue


class WithTools(WithQueue):
    workers = 2
    tools = ["bash", "exec", "read", "write", "edit", "list_directory"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.agents = {}

    def runner(self, name="one"):
        """An agent that may run programs."""
        if name not in self.agents:
            self.agents[name] = self.agent(tools=self.tools)
        return self.agents[name]

    def tool(self, name, agent="one", session=None, **arguments):
        """What a call of the tool gave."""
        session = session or f"{self.id()}-{agent}"
        run = self.post(f"[tool {name} {json.dumps(arguments)}] go", session[-200:], agent=self.runner(agent))
        self.assertEqual(self.node.wait(run)["status"], "ok", self.node.tail())
        rows = self.node.rows(f"SELECT state, output FROM tb.tool_executions WHERE run_id = '{run}'")
        self.assertEqual(len(rows), 1, rows)
        return rows[0]["output"]

    def bash(self, script, **more):
        return self.tool("bash", script=script, **more)


class Programs(WithTools):
    def test_a_script(self):
        out = self.bash("echo out; echo err >&2; echo $((6*7)) >f; exit 3")
        self.assertEqual((out["exit"], out["stdout"], out["stderr"]), (3, "out\n", "err\n"))
        self.assertEqual(self.bash("cat f; pwd; id -u")["stdout"], "42\n/workspace\n1000\n")

    def test_a_program(self):
        out = self.tool("exec", argv=["sort", "-r"], stdin="a\nb\nc\n", env={"LC_ALL": "C"})
        self.assertEqual((out["exit"], out["stdout"]), (0, "c\nb\na\n"))
        self.assertEqual(self.tool("exec", argv=["/bin/cat", "/proc/self/status"])["stdout"].count("NoNewPrivs:\t1"), 1)
        self.assertIn("no such file", self.tool("exec", argv=["/nonexistent"])["error"].lower())
        self.assertEqual(self.tool("exec", argv=["no-such-program"])["exit"], 127)

    def test_what_is_left_out(self):
        out = self.bash("seq 1000000")
        self.assertTrue(out["stdout"].startswith("1\n2\n"))
        self.assertTrue(out["stdout"].endswith("999999\n1000000\n"))
        self.assertIn("bytes left out", out["stdout"])
        self.assertLess(len(out["stdout"]), 110000)
        self.assertEqual(self.bash("head -c 1000 /dev/zero")["stdout"], "[binary 1000 bytes]")
        self.assertEqual(self.bash("printf '\\xff\\xfe ok'")["stdout"], "\ufffd\ufffd ok")

    def test_time(self):
        out = self.bash("echo begun; (sleep 100 &) ; sleep 100", timeout_s=1)
        self.assertEqual((out["timed_out"], out["stdout"]), (True, "begun\n"))
        self.assertLess(out["wall_ms"], 5000)

    def test_cancel_ends_it(self):
        run = self.post('[tool bash {"script":"echo $$ >pid; sleep 300"}] go', "cancel-it", agent=self.runner())
        wait_for(lambda: self.calls(run) == [("bash", "running")])
        wait_for(lambda: self.sleepers() == 1)
        self.assertEqual(self.cancel(run), (202, "cancelling"))
        self.assertEqual(self.ended(run)["result"], "cancelled")
        wait_for(lambda: self.sleepers() == 0)

    def sleepers(self):
        found = 0
        for pid in os.listdir("/proc"):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    found += f.read() == b"sleep\x00" b"300\x00"
            except OSError:
                pass
        return found

    def test_agents_do_not_see_each_other(self):
        self.bash("echo secret >mine")
        self.assertEqual(self.bash("ls -A", agent="two")["stdout"], ".terabits\n")
        where = os.path.join(self.node.state, "workspaces")
        self.assertEqual(self.bash(f"ls {where} /var {self.node.state} 2>&1 | grep -c secret", agent="two")["stdout"], "0\n")

    def test_no_network(self):
        out = self.bash(f"(exec 3<>/dev/tcp/127.0.0.1/{self.node.port}) 2>&1; cat /proc/net/dev | grep -c :")
        self.assertIn("\n1\n", out["stdout"])
        self.assertNotEqual(out["stdout"].split("\n")[0], "1")

    def test_only_who_is_told_so_may(self):
        agent = self.agent()
        run = self.post('[tool bash {"script":"echo hi"}] go', "not-allowed", agent=agent)
        self.assertEqual(self.node.wait(run)["status"], "ok")
        output = self.node.rows(f"SELECT output FROM tb.tool_executions WHERE run_id = '{run}'")[0]["output"]
        self.assertIn("there is no tool 'bash'", output["error"])

    def test_its_launcher_dies(self):
        run = self.post('[tool bash {"script":"sleep 301"}] go', "launcher", agent=self.runner())
        wait_for(lambda: self.calls(run) == [("bash", "running")])
        worker = self.node.admin("run.show", {"run": run, "tenant": 1})["worker"]
        child = [c for c in self.node.admin("status")["children"] if c["kind"] == "worker" and c["ordinal"] == worker][0]
        os.kill(child["launcherPid"], 9)
        self.assertEqual(self.node.wait(run)["status"], "ok")  # the model is told that the outcome is not known
        row = self.ended(run)
        self.assertEqual((row["result"], row["crashes"]), ("completed", 0))

    def test_a_program_is_written_compiled_run_and_changed(self):
        """What an agent with a shell is for."""
        def steps(*calls):
            text = "".join(f"[tool {name} {json.dumps(args)}]" for name, args in calls)
            run = self.post(text + " report", "cc", agent=self.runner("builder"))
            self.assertEqual(self.node.wait(run)["status"], "ok")
            return [r["output"] for r in self.node.rows(f"SELECT output FROM tb.tool_executions WHERE run_id = '{run}' ORDER BY step, call_no")]
        source = '#include <stdio.h>\nint main(void)\n{\n\tputs("hello");\n\treturn 0;\n}\n'
        build = {"script": "cc -Wall -o hello hello.c && ./hello"}
        wrote, ran = steps(("write", {"path": "hello.c", "content": source}), ("bash", build))
        self.assertTrue(wrote["created"])
        self.assertEqual((ran["exit"], ran["stdout"]), (0, "hello\n"), ran)
        edited, ran, listed = steps(("edit", {"path": "hello.c", "old_text": '"hello"', "new_text": '"goodbye"'}), ("bash", build), ("list_directory", {}))
        self.assertNotIn("error", edited)
        self.assertEqual((ran["exit"], ran["stdout"]), (0, "goodbye\n"), ran)
        self.assertEqual({e["path"] for e in listed["entries"]}, {"hello", "hello.c"})


class Files(WithTools):
    def test_write_read_edit_list(self):
        self.assertTrue(self.tool("write", path="notes/a.md", content="one\ntwo\nthree\ntwo\n")["created"])
        self.assertIn("two", self.tool("read", path="notes/a.md", from_line=2, lines=1)["text"])
        refused = self.tool("edit", path="notes/a.md", old_text="two", new_text="2")
        self.assertIn("occurs 2 times in notes/a.md (lines 2, 4)", refused["error"])
        self.assertNotIn("error", self.tool("edit", path="notes/a.md", old_text="three", new_text="3"))
        self.assertIn("one\ntwo\n3\ntwo\n", self.tool("read", path="/workspace/notes/a.md")["text"])
        self.assertEqual([e["path"] for e in self.tool("list_directory")["entries"]], ["notes/"])

    def test_what_leads_out(self):
        for path in ("../x", "/etc/passwd", "/proc/self/environ", "a/../../x"):
            self.assertIn("error", self.tool("read", agent="out", path=path), path)
        self.tool("bash", agent="out", script="ln -s /etc/passwd p; ln -s / root; mkfifo f")
        for path in ("p", "root/etc/passwd", "f"):
            self.assertIn("error", self.tool("read", agent="out", path=path), path)
            self.assertIn("error", self.tool("write", agent="out", path=path, content="x"), path)
        for path in (".git/hooks/post-commit", ".git/config", ".GIT/config"):
            self.assertIn("error", self.tool("write", agent="out", path=path, content="x"), path)


if __name__ == "__main__":
    unittest.main()
